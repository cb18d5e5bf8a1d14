from __future__ import annotations

import pytest

from octopus_plugins.events import Task
from octopus_plugins.fabric.kafka import reader
from octopus_plugins.fabric.kafka.reader import Seen


def task(number: int, framework: str = "parsl") -> Task:
    return Task(run_id="run", task_id=str(number), time=1.0, state="running", framework=framework)


def test_an_event_is_seen_once_whatever_its_copies_say() -> None:
    seen = Seen(bounded=False)
    assert seen.add(task(1))
    assert not seen.add(Task(run_id="run", task_id="1", time=2.0, state="running", host="elsewhere"))
    assert seen.add(task(1, framework="globus_compute")), "the same id from another source is another event"


def test_a_reader_that_follows_forever_remembers_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_REMEMBERED", 10)
    seen = Seen(bounded=True)
    assert all(seen.add(task(number)) for number in range(25))
    assert not seen.add(task(24))
    assert not seen.add(task(10)), "at least the last ten are remembered"
    assert seen.add(task(0)), "and the oldest are forgotten"
