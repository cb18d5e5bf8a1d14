"""Failures that wait for a service: settled once, by its decision or at the deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from octopus_plugins.events import Decision, ExceptionInfo, Failure
from octopus_plugins.frameworks.timers import Delays
from parsl_monitor.run.pending_decisions import ASK_AGAIN, LATE_IN_A_ROW, MAX_WATCHED, Verdict, Verdicts


@pytest.fixture
def delays() -> Iterator[Delays]:
    delays = Delays("octopus-test")
    yield delays
    delays.close()


@pytest.fixture
def verdicts(delays: Delays) -> Verdicts:
    return Verdicts(delays)


def decision(task_id: str = "7", try_id: int = 0, decider: str = "service") -> Decision:
    return Decision(run_id="run", time=1.0, task_id=task_id, try_id=try_id, action="retry", decider=decider)


class Waiting:
    """A held try that counts how often it is settled, and in which threads."""

    def __init__(self, task_id: str = "7", try_id: int = 0) -> None:
        self.settled: list[str] = []
        self.done = threading.Event()
        failure = Failure(
            run_id="run", time=1.0, task_id=task_id, try_id=try_id, exception=ExceptionInfo(type="ValueError")
        )
        self.verdict = Verdict(failure, decision(task_id, try_id, "workflow"), self._release)

    def _release(self) -> None:
        self.settled.append(threading.current_thread().name)
        self.done.set()


def test_a_decision_settles_the_try_that_waits_for_it(verdicts: Verdicts) -> None:
    waiting = Waiting()
    assert verdicts.hold(waiting.verdict, 30.0)
    assert verdicts.take("7", 0) is None  # nothing to take before it is settled
    remote = decision()
    assert verdicts.hear(remote)
    assert waiting.done.is_set()
    taken = verdicts.take("7", 0)
    assert taken is waiting.verdict and taken.remote is remote
    assert verdicts.take("7", 0) is None
    assert (verdicts.in_time, verdicts.late, len(verdicts)) == (1, 0, 0)


def test_at_the_deadline_the_try_is_settled_without_one(verdicts: Verdicts) -> None:
    waiting = Waiting()
    began = time.monotonic()
    verdicts.hold(waiting.verdict, 0.05)
    assert waiting.done.wait(10)
    assert time.monotonic() - began >= 0.05
    assert waiting.settled == ["octopus-test"]
    taken = verdicts.take("7", 0)
    assert taken is waiting.verdict and taken.remote is None
    assert (verdicts.in_time, verdicts.late) == (0, 1)


def test_a_decision_that_comes_late_changes_nothing(verdicts: Verdicts) -> None:
    waiting = Waiting()
    verdicts.hold(waiting.verdict, 0.01)
    assert waiting.done.wait(10)
    assert not verdicts.hear(decision())
    assert len(waiting.settled) == 1
    taken = verdicts.take("7", 0)
    assert taken is not None and taken.remote is None


def test_a_decision_about_another_try_or_task_settles_nothing(verdicts: Verdicts) -> None:
    waiting = Waiting(try_id=1)
    verdicts.hold(waiting.verdict, 30.0)
    assert not verdicts.hear(decision(try_id=0))
    assert not verdicts.hear(decision(task_id="8", try_id=1))
    assert waiting.settled == []
    assert len(verdicts) == 1


def test_a_deadline_after_the_decision_settles_nothing_again(verdicts: Verdicts, delays: Delays) -> None:
    waiting = Waiting()
    verdicts.hold(waiting.verdict, 0.02)
    verdicts.hear(decision())
    passed = threading.Event()
    delays.call(0.05, passed.set)
    assert passed.wait(10)
    assert len(waiting.settled) == 1


def test_a_hundred_tries_wait_without_a_thread_each(verdicts: Verdicts) -> None:
    before = threading.active_count()
    tries = [Waiting(str(number)) for number in range(100)]
    for waiting in tries:
        verdicts.hold(waiting.verdict, 30.0)
    assert threading.active_count() <= before + 1
    for number in range(100):
        assert verdicts.hear(decision(str(number)))
    assert all(len(waiting.settled) == 1 for waiting in tries)


def test_a_task_can_be_released_and_the_others_wait_on(verdicts: Verdicts) -> None:
    released, other = Waiting("7", try_id=2), Waiting("77")
    for each in (released, other):
        verdicts.hold(each.verdict, 30.0)
    verdicts.release("7")
    verdicts.release("nobody")
    assert (len(released.settled), len(other.settled), len(verdicts)) == (1, 0, 1)
    taken = verdicts.take("7", 2)
    assert taken is released.verdict and taken.remote is None


def come_late(verdicts: Verdicts, *numbers: int) -> None:
    for number in numbers:
        late = Waiting(str(number))
        verdicts.hold(late.verdict, 0.001)
        assert late.done.wait(10)


def test_after_a_few_late_decisions_in_a_row_nobody_waits_and_that_is_said_once(
    verdicts: Verdicts, caplog: pytest.LogCaptureFixture
) -> None:
    come_late(verdicts, *range(LATE_IN_A_ROW - 1))
    assert verdicts.worth_waiting("90", 0, 30.0)
    verdicts.hold(Waiting("90").verdict, 30.0)
    verdicts.hear(decision("90"))  # in time: the row begins anew
    come_late(verdicts, *range(10, 10 + LATE_IN_A_ROW - 1))
    assert verdicts.worth_waiting("91", 0, 30.0)
    assert not caplog.records
    come_late(verdicts, 20, 21)
    assert not verdicts.worth_waiting("92", 0, 30.0)
    assert len(caplog.records) == 1 and f"{LATE_IN_A_ROW} failures in a row" in caplog.text


def test_a_decision_in_time_that_nobody_waited_for_makes_the_service_worth_waiting_for_again(
    verdicts: Verdicts,
) -> None:
    come_late(verdicts, *range(LATE_IN_A_ROW))
    assert not verdicts.worth_waiting("90", 0, 0.0)
    assert not verdicts.worth_waiting("91", 0, 30.0)
    assert not verdicts.hear(decision("90"))  # after its deadline
    assert not verdicts.hear(decision("0"))  # of one that was waited for in vain
    assert not verdicts.worth_waiting("92", 0, 30.0)
    assert not verdicts.hear(decision("91"))
    assert verdicts.worth_waiting("93", 0, 30.0)


def test_now_and_then_one_waits_to_find_out_whether_the_service_is_in_time_again(
    verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_late(verdicts, *range(LATE_IN_A_ROW))
    assert not verdicts.worth_waiting("90", 0, 30.0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + ASK_AGAIN)
    assert verdicts.worth_waiting("91", 0, 30.0)
    assert not verdicts.worth_waiting("92", 0, 30.0)
    verdicts.hold(Waiting("91").verdict, 30.0)
    assert verdicts.hear(decision("91"))
    assert verdicts.worth_waiting("93", 0, 30.0)


def test_what_is_watched_of_a_late_service_is_bounded(verdicts: Verdicts) -> None:
    come_late(verdicts, *range(LATE_IN_A_ROW))
    for number in range(2 * MAX_WATCHED):
        assert not verdicts.worth_waiting(str(number), 7, 30.0)
    assert len(verdicts._watched) == MAX_WATCHED


def test_closing_settles_what_waits_and_holds_nothing_more(verdicts: Verdicts) -> None:
    waiting = Waiting()
    verdicts.hold(waiting.verdict, 30.0)
    verdicts.close()
    assert len(waiting.settled) == 1
    assert verdicts.take("7", 0) is waiting.verdict
    assert not verdicts.hold(Waiting("8").verdict, 30.0)


def test_a_try_that_cannot_be_settled_costs_the_others_nothing(
    verdicts: Verdicts, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    bad, good = Waiting("1"), Waiting("2")
    verdicts.hold(Verdict(bad.verdict.failure, bad.verdict.local, broken), 30.0)
    verdicts.hold(good.verdict, 30.0)
    assert verdicts.hear(decision("1"))
    assert verdicts.hear(decision("2"))
    assert len(good.settled) == 1
    assert [record.getMessage() for record in caplog.records] == ["Task 1 could not be settled"]
