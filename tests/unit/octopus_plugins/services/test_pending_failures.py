from __future__ import annotations

import pytest

from octopus_plugins.events import Decision, ExceptionInfo, Failure
from octopus_plugins.services import pending_failures
from octopus_plugins.services.pending_failures import Undecided


def failure(task: int, time: float = 1.0) -> Failure:
    return Failure(run_id="r", task_id=str(task), time=time, exception=ExceptionInfo(type="OSError"))


def decision(task: int, try_id: int = 0) -> Decision:
    return Decision(run_id="r", task_id=str(task), try_id=try_id, time=1.0, action="retry")


def test_a_decision_settles_the_failure_of_its_try_only() -> None:
    waiting = Undecided()
    waiting.add(failure(1), 3)
    assert waiting.settle(decision(1, try_id=1)) is None
    assert waiting.waiting() == [(failure(1), 3)]
    assert waiting.settle(decision(1)) == failure(1)
    assert waiting.waiting() == []


def test_a_decision_may_come_before_its_failure() -> None:
    waiting = Undecided()
    assert not waiting.is_decided(failure(1))
    waiting.settle(decision(1))
    assert waiting.is_decided(failure(1))


def test_what_is_too_old_is_given_up() -> None:
    waiting = Undecided()
    for task in range(4):
        waiting.add(failure(task, time=float(task)), 0)
    assert list(waiting.give_up(before=2.0)) == [failure(0, 0.0), failure(1, 1.0)]
    assert [one.task_id for one, _ in waiting.waiting()] == ["2", "3"]


def test_a_bounded_number_waits_and_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_failures, "MAX_WAITING", 5)
    monkeypatch.setattr(pending_failures, "MAX_DECIDED", 5)
    waiting = Undecided()
    for task in range(8):
        waiting.add(failure(task), 0)
        waiting.settle(decision(100 + task))
    assert [one.task_id for one in waiting.give_up(before=0.0)] == ["0", "1", "2"]
    assert not waiting.is_decided(decision(102))
    assert waiting.is_decided(decision(103))


def test_what_says_that_it_is_yet_to_happen_is_given_up_with_the_others() -> None:
    waiting = Undecided()
    waiting.add(failure(1, time=1e9), 0, now=50.0)
    waiting.add(failure(2, time=40.0), 0, now=50.0)
    assert waiting.waits_since(failure(1, time=1e9)) == 50.0
    assert [one.task_id for one in waiting.give_up(before=45.0)] == ["2"]
    assert [one.task_id for one in waiting.give_up(before=51.0)] == ["1"]
    assert waiting.waiting() == []
