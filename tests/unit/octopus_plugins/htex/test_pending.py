"""The queue of tasks, against one that is merely sorted."""

from __future__ import annotations

import random
from typing import Any

import pytest

from octopus_plugins.htex.broadcasts import task_like
from octopus_plugins.htex.interchange.pending import MAX_LANES, PLAIN, Kind, Pending
from octopus_plugins.htex.placement_hints import APP, AVOID, PREFER


def queue() -> Pending:
    return Pending(lambda kind, packed: None)


def entry(number: int, *, priority: float = 10.0, **context: Any) -> tuple[float, int, dict[str, Any]]:
    return -priority, -number, {"task_id": number, "context": context}


def app(name: str) -> dict[str, Any]:
    return {APP: name}


def avoid(*hosts: str) -> dict[str, Any]:
    return {AVOID: (hosts, 9e9)}


def test_it_is_parsl_s_queue_whatever_is_kept_apart() -> None:
    source, pending, plain = random.Random(7), queue(), []
    for number in range(2000):
        context: dict[str, Any] = app(source.choice(["fold", "dock", "join"])) if source.random() < 0.9 else {}
        if source.random() < 0.2:
            context |= avoid(f"node-{source.randrange(3)}")
        fresh = entry(number, priority=source.choice([0.0, 5.0, float("inf")]), **context)
        pending.add(fresh)
        plain.append(fresh)
        if source.random() < 0.3:
            plain.sort(key=lambda each: each[:2])
            assert pending.pop() == plain.pop()
        if source.random() < 0.02:
            pending.keep_apart(frozenset(source.sample(["fold", "dock", "join"], source.randrange(4))))
        assert len(pending) == len(plain)
    plain.sort(key=lambda each: each[:2])
    while plain:
        assert pending
        assert pending.pop() == plain.pop()
    assert not pending
    assert pending.is_plain
    with pytest.raises(IndexError):
        pending.pop()


def test_tasks_of_an_app_that_is_kept_apart_have_a_lane_of_their_own_and_lose_no_place() -> None:
    pending = queue()
    for number in range(6):
        pending.add(entry(number, **app("fold" if number % 2 else "dock")))
    assert pending.is_plain
    pending.keep_apart(frozenset({"fold"}))
    assert [kind for kind, _ in pending.heads()] == [PLAIN, Kind("fold")]
    assert [task["task_id"] for task in pending.take([PLAIN], 2, lambda *_: True)] == [0, 2]
    pending.keep_apart(frozenset())
    assert pending.is_plain
    assert [pending.pop()[2]["task_id"] for _ in range(len(pending))] == [1, 3, 4, 5]


def test_of_several_kinds_the_first_tasks_are_taken() -> None:
    pending = queue()
    for number in range(9):
        pending.add(entry(number, **({}, avoid("a"), avoid("b"))[number % 3]))
    pending.add(entry(9, priority=0.0, **avoid("a")))
    kinds = [kind for kind, _ in pending.heads()]
    assert pending.count(kinds) == len(pending) == 10
    assert [task["task_id"] for task in pending.take(kinds[:2], 5, lambda *_: True)] == [9, 0, 1, 3, 4]
    assert [task["task_id"] for task in pending.take(kinds, 99, lambda *_: True)] == [2, 5, 6, 7, 8]
    assert not pending


def test_each_task_with_wishes_decides_for_itself() -> None:
    pending = queue()
    for number in range(4):
        pending.add(entry(number, **avoid("a")))
        pending.add(entry(10 + number))
    kinds = [kind for kind, _ in pending.heads()]
    taken = pending.take(kinds, 99, lambda kind, context: False)
    assert [task["task_id"] for task in taken] == [0, 10, 11, 12, 13]


def test_wishes_of_too_many_kinds_are_not_honoured_and_cost_nothing_more() -> None:
    pending = queue()
    for number in range(3 * MAX_LANES):
        pending.add(entry(number, **{PREFER: ((f"node-{number}",), 9e9)}))
    assert len(pending.heads()) == MAX_LANES
    assert len(pending) == 3 * MAX_LANES


def test_a_notice_is_no_task() -> None:
    noticed: list[tuple[str, bytes]] = []
    pending = Pending(lambda kind, packed: noticed.append((kind, packed)))
    pending.add((-1.0, 0, task_like("pace", b"2")))
    assert not pending
    assert noticed == [("pace", b"2")]
