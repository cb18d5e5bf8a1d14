"""How one task's story is told."""

from __future__ import annotations

from typing import Any

import pytest

from octopus_plugins.cli.outcome import outcome
from octopus_plugins.events import Categorization, Decision, ExceptionInfo, Failure, Rung, Task, TryEvent
from octopus_plugins.streams.task_story import Relative, TaskStory, find_root

AT: dict[str, Any] = {"run_id": "r", "task_id": "7", "app": "f"}


def state(name: str, time: float, try_id: int = 0, **more: Any) -> Task:
    return Task(**AT, state=name, time=time, try_id=try_id, **more)


def failure(reason: str, time: float, try_id: int = 0, **more: Any) -> Failure:
    found = Categorization(layer="runtime", category="worker_lost", reason=reason, confidence=0.7)
    return Failure(
        **AT, time=time, try_id=try_id, exception=ExceptionInfo(type="E", message="x"), categorization=found, **more
    )


def decision(action: str, reason: str, time: float, try_id: int = 0, **more: Any) -> Decision:
    return Decision(**AT, time=time, try_id=try_id, action=action, reason=reason, **more)


def story(*events: TryEvent, **more: Any) -> TaskStory:
    return TaskStory(run_id="r", task_id="7", events=events, **more)


BEGIN = (state("pending", 100.0), state("launched", 101.0, executor="small"))


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ((*BEGIN, state("exec_done", 104.0)), "Task 7 (f) ended well at its first try, in 4.0 s."),
        ((*BEGIN, state("memo_done", 104.0)), "Task 7 (f) ended well: its result came from a memo."),
        (
            (*BEGIN, failure("it broke.", 102.0), state("launched", 102.0, 1), state("exec_done", 105.0, 1)),
            "Task 7 (f) ended well after 2 tries, in 5.0 s; before that, it failed: it broke.",
        ),
        (
            (*BEGIN, failure("it broke", 102.0), decision("terminate", "it broke; not retried: why", 102.0),
             state("failed", 103.0)),
            "Task 7 (f) failed at its first try, in 3.0 s: it broke; not retried: why.",
        ),
        (
            (BEGIN[0], failure("task 3 failed", 102.0), state("dep_fail", 103.0)),
            "Task 7 (f) failed without being tried: task 3 failed.",
        ),
        (BEGIN, "Task 7 (f) was last seen waiting in the queue on small."),
        (
            (*BEGIN, state("running", 103.0, executor="small", host="n1")),
            "Task 7 (f) was last seen running on n1 (small).",
        ),
        ((BEGIN[0],), "Task 7 (f) was last seen waiting for what it depends on."),
        ((failure("it broke", 102.0),), "Task 7 (f) has told no state; before that, it failed: it broke."),
    ],
)  # fmt: skip
def test_the_outcome_is_one_plain_sentence(events: tuple[TryEvent, ...], sentence: str) -> None:
    assert outcome(story(*events)) == sentence


def test_several_failures_on_the_way_are_counted() -> None:
    told = story(*BEGIN, failure("a", 102.0), failure("b", 103.0, 1), state("exec_done", 104.0, 2))
    assert "failed, the last of 2 times: b" in outcome(told)


def test_the_start_is_not_told_by_a_worker_s_clock() -> None:
    told = story(state("running", 10.0), *BEGIN)
    assert told.start == 100.0


def test_a_decision_of_a_person_is_not_a_try() -> None:
    stop = Decision(run_id="r", task_id="7", time=102.0, action="terminate", decider="person", serial="x")
    told = story(*BEGIN, stop)
    assert told.tries == 1
    assert not told.is_own(stop)


def test_the_root_is_the_failure_that_no_other_task_explains() -> None:
    def failed(task_id: str, *needs: str) -> Failure:
        return Failure(
            run_id="r", task_id=task_id, time=1.0, exception=ExceptionInfo(type="E"), dependencies=needs
        )  # fmt: skip

    latest = {one.task_id: one for one in (failed("7", "5"), failed("5", "2"), failed("2"), failed("8", "9"))}
    assert find_root("7", latest) == "2"
    assert find_root("8", latest) == "9"
    assert find_root("2", latest) is None
    assert find_root("1", {"1": failed("1", "3"), "3": failed("3", "1")}) == "3"


def shown(told: TaskStory, width: int = 80) -> str:
    from rich.console import Console

    from octopus_plugins.cli.explain import _Timeline

    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        for part in _Timeline(told, traceback=False).parts():
            console.print(part)
    return capture.get()


def test_rungs_passed_over_for_one_reason_share_a_line() -> None:
    rungs = tuple(Rung(name=name, reason="no retry can help") for name in ("same_node", "other_node", "other_executor"))
    told = story(*BEGIN, failure("it broke", 102.0), decision("terminate", "x", 102.0, considered=rungs))
    assert "· same node, other node, other executor: no retry can help" in shown(told)


def test_what_the_failure_has_said_is_not_said_again() -> None:
    told = story(*BEGIN, failure("it broke", 102.0), decision("retry", "it broke; retried elsewhere", 102.0))
    assert shown(told).count("it broke") == 1
    assert "retried elsewhere" in shown(told)


def test_dependencies_are_shown_with_what_became_of_them() -> None:
    told = story(
        state("pending", 100.0, depends=("3", "4", "5")),
        failure("task 4 failed", 102.0, dependencies=("4",)),
        relatives={"3": Relative("exec_done"), "4": Relative("failed", failure("", 101.0)), "5": Relative()},
    )
    text = shown(told)
    assert "after task 3 (done), task 4 (failed: worker_lost), task 5" in text
    assert "for want of task 4 (failed: worker_lost)" in text
    assert "Never sent to an executor" in text


def test_the_wait_before_a_retry_tells_how_much_of_it_was_decided() -> None:
    told = story(
        *BEGIN,
        failure("it broke", 102.0),
        decision("retry", "x", 102.0, delay=2.0),
        state("launched", 102.1, 1),
        state("running", 107.0, 1),
    )
    assert "began 5.0 s after the failure, 2.0 s of it as decided" in shown(told)


def test_what_a_person_decided_of_the_run_stands_where_it_happened() -> None:
    halt = Decision(
        run_id="r", task_id="*", time=103.0, action="terminate", halts_run=True, decider="person", reason="enough (ada)"
    )
    text = shown(story(*BEGIN, halt, state("failed", 104.0)))
    assert text.index("sent to executor small") < text.index("decided: the run is stopped") < text.index("for good")
    assert "enough (ada)" in text
    assert "decided by a person" in text


@pytest.mark.parametrize("width", [80, 120])
def test_every_line_fits(width: int) -> None:
    long = "a reason that goes on and on and says everything there is to say about it " * 4
    told = story(*BEGIN, failure(long, 102.0), decision("retry", long + "; more", 102.0))
    assert max(len(line) for line in shown(told, width).splitlines()) <= width
