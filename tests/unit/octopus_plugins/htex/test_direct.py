"""Samples on their way through the pool: which the node produces, and which go to the submit side."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from octopus_plugins.events import ResourceSample
from octopus_plugins.fabric import grants
from octopus_plugins.fabric.grants import Grant
from octopus_plugins.htex import direct
from octopus_plugins.htex.direct import Diversion, GrantMessage, take
from octopus_plugins.htex.observation import TAG, Settings

PLACE = {"host": "node", "block": "0", "manager": "m", "worker_id": 1, "pid": 5}
GRANT = Grant("me", {"bootstrap.servers": "127.0.0.1:9"}, 10_000)


class Scheduler:
    """In the place of Parsl's: a queue of results."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    def get_result(self, block: bool, timeout: float | None) -> Any:
        return self.results.pop(0)


class Taken:
    """In the place of the deputy, which talks to brokers: keeps what it is given."""

    def __init__(self, back: Any) -> None:
        self.events: list[ResourceSample] = []
        self.grants: list[Grant] = []
        self.delivered, self.returned, self.error = 0, 0, None

    def renew(self, fresh: Grant) -> None:
        self.grants.append(fresh)

    def send(self, event: ResourceSample, form: bytes) -> bool:
        self.events.append(event)
        return True


@pytest.fixture
def diversion(monkeypatch: pytest.MonkeyPatch) -> Iterator[Diversion]:
    monkeypatch.setattr(grants, "Deputy", Taken)
    monkeypatch.setattr(direct, "_latest", direct._Latest())
    yield Diversion(Scheduler(), Settings("run", "small", 1.0, 10.0), lambda form: None)


def message(kind: str = "sample", *, sequence: int = 0, worker: int = 1, subject: Any = ("7", 2)) -> bytes:
    usage = {"time": 10.0 + sequence, "rss": 100}
    content = {"kind": kind, "executor": "small", "number": 3, "started": 9.0, "sequence": sequence, "try": subject}
    content |= {"place": {**PLACE, "worker_id": worker}, "usage": usage}
    return pickle.dumps({"type": "monitoring", "payload": (TAG, content)})


def through(diversion: Diversion, *messages: Any) -> list[bool]:
    """Which of the messages go on to the submit side."""
    diversion._scheduler.results = list(messages)
    return [diversion.get_result() is not None for _ in messages]


def test_all_goes_to_the_submit_side_until_there_is_a_grant(diversion: Diversion) -> None:
    assert through(diversion, *(message(sequence=number) for number in range(3))) == [True] * 3
    assert diversion.report() == {}


def test_with_a_grant_all_but_a_tasks_first_sample_is_produced_here(diversion: Diversion) -> None:
    assert pickle.loads(pickle.dumps(GrantMessage(pickle.dumps(GRANT)))) == []
    assert through(diversion, *(message(sequence=number) for number in range(4))) == [True, False, False, False]
    events = diversion._deputy.events  # type: ignore[union-attr]
    assert [event.id for event in events] == [f"run/7/2/resource/{number}" for number in (1, 2, 3)]
    assert (events[0].host, events[0].executor, events[0].usage.rss) == ("node", "small", 100)


def test_now_and_then_a_sample_goes_to_the_submit_side(diversion: Diversion, monkeypatch: pytest.MonkeyPatch) -> None:
    take(pickle.dumps(GRANT))
    now = [100.0]
    monkeypatch.setattr(direct.time, "monotonic", lambda: now[0])
    gone = []
    for number in range(25):
        gone += through(diversion, message(sequence=number))
        now[0] += 1.0
    assert [number for number, went in enumerate(gone) if went] == [0, 10, 20]


def test_workers_are_told_apart(diversion: Diversion) -> None:
    take(pickle.dumps(GRANT))
    assert through(diversion, message(worker=1), message(worker=2), message(worker=1, sequence=1)) == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "other",
    [
        pickle.dumps({"type": "result", "task_id": 1, "result": b"monitoring" * 5}),
        message("heartbeat"),
        message("worker"),
        message(sequence=1, subject=None),
        b"monitoring, but no pickle",
    ],
)
def test_whatever_is_not_a_sample_of_a_named_task_goes_on_as_it_is(diversion: Diversion, other: bytes) -> None:
    take(pickle.dumps(GRANT))
    diversion._scheduler.results = [other]
    assert diversion.get_result() is other
    assert diversion._deputy.events == []  # type: ignore[union-attr]


def test_a_queue_that_was_empty_stays_so(diversion: Diversion) -> None:
    take(pickle.dumps(GRANT))
    diversion._scheduler.results = [None]
    assert diversion.get_result() is None


def test_what_cannot_be_read_as_a_grant_does_no_harm(diversion: Diversion, caplog: pytest.LogCaptureFixture) -> None:
    assert take(b"no pickle") == []
    assert "cannot be used (UnpicklingError)" in caplog.text
    assert diversion.report() == {}


def test_a_grant_message_shows_nothing() -> None:
    assert repr(GrantMessage(b"canary")) == "<GrantMessage>"
