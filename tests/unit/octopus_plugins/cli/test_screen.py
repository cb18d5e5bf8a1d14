"""How things look on a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from octopus_plugins.cli import screen
from octopus_plugins.events import (
    EVENT_CLASSES,
    Categorization,
    Decision,
    ExceptionInfo,
    Failure,
    Heartbeat,
    Placement,
    Task,
)

NOW = datetime(2026, 3, 5, 12, 0, 0)
FAILURE = Failure(
    run_id="r", time=1.0, task_id="7", try_id=1, app="f", host="n1", executor="small",
    exception=ExceptionInfo(type="numpy._core._exceptions._ArrayMemoryError", message="Unable to allocate\nmore"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 3, 5, 1, 2, 3), "01:02:03"),
        (datetime(2026, 3, 4, 1, 2, 3), "03-04 01:02:03"),
        (datetime(2025, 3, 5, 1, 2, 3), "2025-03-05 01:02:03"),
    ],
)
def test_a_time_is_local_and_as_short_as_can_be(moment: datetime, expected: str) -> None:
    assert screen.local_time(moment.timestamp(), now=NOW) == expected


@pytest.mark.parametrize("seconds", [1e300, -1e300, float("inf"), float("nan")])
def test_what_is_no_time_is_shown_all_the_same(seconds: float) -> None:
    assert screen.local_time(seconds) == f"{seconds:g} s"
    assert screen.span(abs(seconds)) == "ages"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.44, "0.4 s"), (9.96, "10 s"), (12.4, "12 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_a_span_has_two_units_at_most(seconds: float, expected: str) -> None:
    assert screen.span(seconds) == expected


def test_a_failure_without_a_categorisation_shows_its_exception() -> None:
    assert screen.what_broke(FAILURE) == "_ArrayMemoryError: Unable to allocate"
    assert screen.category(FAILURE) == "unknown"
    assert "task 7 try 1 f n1 (small): unknown: _ArrayMemoryError" in screen.line(FAILURE).plain


def test_a_failure_shows_the_reason_of_its_categorisation() -> None:
    import msgspec

    found = Categorization(layer="runtime", category="memory_exhausted", reason="ran out of memory on n1")
    failure = msgspec.structs.replace(FAILURE, categorization=found)
    assert screen.what_broke(failure) == "ran out of memory on n1"
    assert screen.category(failure) == "memory_exhausted (runtime)"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"action": "terminate"}, "terminate"),
        ({"placement": Placement(rung="other_node", executor="small")}, "retry on other node"),
        ({"placement": Placement(rung="other_executor", executor="large")}, "retry on other executor large"),
        ({"delay": 200}, "retry after 3 min 20 s"),
        ({"mode": "passive"}, "retry (passive: not applied)"),
    ],
)  # fmt: skip
def test_a_decision_is_a_few_words(changes: dict[str, Any], expected: str) -> None:
    decision = Decision(
        **{"run_id": "r", "time": 1.0, "task_id": "7", "action": "retry", "executor": "small", **changes}
    )
    assert screen.action(decision) == expected


def test_every_class_of_event_has_a_line_of_its_own() -> None:
    lines = [screen.line(Heartbeat(run_id="r", time=1.0, host="n1", worker_count=4)).plain]
    lines += [screen.line(Task(run_id="r", time=1.0, task_id="7", state="running", host="n1")).plain]
    assert lines[0].endswith("heartbeat node n1 up, 4 workers")
    assert lines[1].endswith("task      task 7 running on n1")
    assert len(EVENT_CLASSES) == 8


def test_markup_in_what_a_task_says_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    failure = Failure(run_id="r", time=1.0, task_id="[red]7", exception=ExceptionInfo(type="E", message="[bold]x[/]"))
    screen.console().print(screen.line(failure))
    assert "task [red]7" in (out := capsys.readouterr().out)
    assert "[bold]x[/]" in out


def test_of_ids_of_globus_compute_the_beginning_is_shown_where_it_is_one_tasks_only() -> None:
    from octopus_plugins.cli.questions import _short_ids

    first, second, third = (f"{begin * 8}-1111-4111-8111-11111111111{n}" for n, begin in enumerate("aab"))
    assert _short_ids({"7", first, third}) == {"7": "7", first: "a" * 8, third: "b" * 8}
    assert _short_ids({first, second}) == {first: first, second: second}
    running = Task(run_id="r", time=1.0, task_id="7", state="running", host="n1", executor=third)
    assert screen.place(running) == "n1 (bbbbbbbb)"
