"""Messages in, events out: what Parsl and the workers report, in the order that readers see it."""

from __future__ import annotations

from typing import Any

import pytest
from parsl.executors.high_throughput.errors import WorkerLost
from parsl.monitoring.message_type import MessageType

from octopus_plugins.events import Decision, Event, Failure, Heartbeat, ResourceSample, Run, Task
from octopus_plugins.htex.observation import TAG
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import Policy
from parsl_monitor.run.attempts import Attempts
from parsl_monitor.run.recorder import Story
from parsl_monitor.run.translate import Try

from .task_messages import task_info

PLACE = {"host": "node", "block": "0", "manager": "m", "worker_id": 1, "pid": 5}


class Collected:
    """In the place of the emitter: keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, *events: Event) -> None:
        self.events += (each for event in events for each in event.unfolded())


@pytest.fixture
def collected() -> Collected:
    return Collected()


@pytest.fixture
def story(collected: Collected) -> Story:
    story = Story(collected, Plugins(), Attempts())  # type: ignore[arg-type]
    story.run_id = "run"
    return story


def worker_message(kind: str, **content: Any) -> tuple[str, dict[str, Any]]:
    return TAG, {"kind": kind, "executor": "small", "place": PLACE, **content}


def sample(number: int, sequence: int) -> tuple[str, dict[str, Any]]:
    usage = {"time": 10.0 + sequence, "rss": 100}
    return worker_message("sample", number=number, started=9.0, sequence=sequence, usage=usage)


def launch(story: Story, number: int = 11) -> Any:
    story.hear(task_info("pending"))
    attempt = story.attempts.open("small")
    story.attempts.sent(attempt, number)
    story.hear(task_info("launched"))
    return attempt


def states(collected: Collected) -> list[str]:
    return [event.state for event in collected.events if isinstance(event, Task)]


def test_what_the_worker_saw_comes_before_the_task_s_end(story: Story, collected: Collected) -> None:
    attempt = launch(story)
    attempt.place, attempt.started, attempt.ended = PLACE, 1.0, 2.0
    story.hear(task_info("exec_done"))
    assert states(collected) == ["pending", "launched", "running", "running_ended", "exec_done"]
    assert collected.events[-1].host == "node"  # type: ignore[attr-defined]


def test_a_sample_tells_the_start_of_a_long_task_once(story: Story, collected: Collected) -> None:
    attempt = launch(story)
    story.hear(sample(11, 0))
    story.hear(sample(11, 1))
    attempt.started, attempt.ended = 9.0, 12.0
    story.hear(task_info("exec_done"))
    assert states(collected) == ["pending", "launched", "running", "running_ended", "exec_done"]
    samples = [event for event in collected.events if isinstance(event, ResourceSample)]
    assert [(event.task_id, event.try_id, event.sequence) for event in samples] == [("7", 0, 0), ("7", 0, 1)]


def test_a_sample_of_a_task_that_ended_is_dropped(story: Story, collected: Collected) -> None:
    launch(story)
    story.hear(task_info("exec_done"))
    before = list(collected.events)
    story.hear(sample(11, 0))
    assert collected.events == before
    assert len(story.attempts) == 0


def test_a_failure_that_no_handler_told_is_told_before_the_state(story: Story, collected: Collected) -> None:
    attempt = launch(story)
    attempt.failed = ValueError("x")
    story.hear(task_info("failed"))
    assert isinstance(collected.events[-2], Failure)
    assert collected.events[-2].categorization is not None
    assert states(collected)[-1] == "failed"


def test_a_failure_that_a_handler_told_is_not_told_again(story: Story, collected: Collected) -> None:
    launch(story)
    story.tell(story.failure(Try("run", "7", 0, app="app", executor="small"), ValueError("x")))
    story.hear(task_info("fail_retryable"))
    assert [type(event).__name__ for event in collected.events].count("Failure") == 1


def test_a_failed_dependency_without_a_handler_names_the_failed_tasks_only(story: Story, collected: Collected) -> None:
    story.hear(task_info("failed", task_id=1, task_fail_history="ValueError('x')"))
    story.hear(task_info("exec_done", task_id=2))
    story.hear(task_info("dep_fail", task_id=3, task_depends="1,2", task_fail_history="DependencyError(…)"))
    failure = collected.events[-2]
    assert isinstance(failure, Failure)
    assert failure.dependencies == ("1",)


def test_a_lost_worker_s_place_and_signal_come_from_what_was_heard_before(story: Story) -> None:
    launch(story)
    story.hear(worker_message("worker", time=1.0))
    dead = [{"pid": 5, "alive": False, "signal": 9}]
    story.hear(worker_message("heartbeat", time=2.0, period=1.0, workers=dead, node={"time": 2.0}))
    failure = story.failure(Try("run", "7", 0, executor="small"), WorkerLost(1, "node"))
    assert (failure.host, failure.pid, failure.worker_id, failure.signal) == ("node", 5, 1, 9)


def test_a_node_s_heartbeat_becomes_one(story: Story, collected: Collected) -> None:
    workers = [{"pid": 5, "rss": 100}]
    story.hear(worker_message("heartbeat", time=2.0, period=1.0, workers=workers, node={"time": 2.0, "load": 0.5}))
    (beat,) = collected.events
    assert isinstance(beat, Heartbeat)
    assert (beat.host, beat.executor, beat.workers[0].pid, beat.node and beat.node.load) == ("node", "small", 5, 0.5)


def test_the_run_s_end_counts_memoised_and_dependent_tasks_too(story: Story, collected: Collected) -> None:
    for number, state in enumerate(("exec_done", "memo_done", "failed", "dep_fail", "fail_retryable")):
        story.hear(task_info(state, task_id=number, task_fail_history="ValueError('x')"))
    story.hear((MessageType.WORKFLOW_INFO, {"run_id": "run", "time_completed": 1, "rundir": "/r"}))
    end = collected.events[-1]
    assert isinstance(end, Run)
    assert (end.state, end.tasks_done, end.tasks_failed) == ("ended", 2, 2)


def test_a_failure_that_parsl_asks_no_handler_about_is_decided_where_there_is_a_policy(
    story: Story, collected: Collected
) -> None:
    story.policy = Policy.default()
    story.hear(task_info("failed", task_fail_history="JoinError('x')"))
    story.hear(task_info("failed", task_id=8, task_fail_history="TypeError('join_app body must return a Future')"))
    story.hear(task_info("fail_retryable", task_id=9, task_fail_history="OSError('x')"))
    decisions = [event for event in collected.events if isinstance(event, Decision)]
    assert [(decision.task_id, decision.action) for decision in decisions] == [("7", "terminate"), ("8", "terminate")]
    kinds = [type(event).__name__ for event in collected.events]
    assert kinds == ["Failure", "Decision", "Task"] * 2 + ["Failure", "Task"]


def test_without_a_policy_it_is_told_and_not_decided(story: Story, collected: Collected) -> None:
    story.hear(task_info("failed", task_fail_history="JoinError('x')"))
    assert [type(event).__name__ for event in collected.events] == ["Failure", "Task"]


def test_a_failure_names_what_its_task_asked_for(story: Story, collected: Collected) -> None:
    attempt = launch(story)
    attempt.failed = ValueError("x")
    attempt.record = {"resource_specification": {"priority": 5, "octopus_note": object()}}
    story.hear(task_info("failed"))
    (failure,) = [event for event in collected.events if isinstance(event, Failure)]
    assert failure.resources == {"priority": 5}


def test_a_try_ended_where_it_ran_though_its_retry_was_moved(story: Story, collected: Collected) -> None:
    launch(story)
    story.hear(task_info("fail_retryable", task_executor="large"))
    story.hear(task_info("pending", try_id=1, task_executor="large"))
    ended, moved = collected.events[-2:]
    assert isinstance(ended, Task) and isinstance(moved, Task)
    assert (ended.state, ended.executor) == ("fail_retryable", "small")
    assert (moved.state, moved.executor) == ("pending", "large")


def test_an_attempt_knows_its_app_once_it_was_launched(story: Story) -> None:
    assert launch(story).app == "app"


def test_every_event_has_its_place_in_the_order(story: Story, collected: Collected) -> None:
    launch(story)
    story.hear(sample(11, 0))
    story.hear(task_info("exec_done"))
    assert [event.order for event in collected.events] == list(range(1, len(collected.events) + 1))


class Unheard(BaseException):
    """What no rule knows."""


def test_failed_tries_are_counted_by_category(story: Story) -> None:
    assert story.summary() == ""
    for number, error in enumerate((ZeroDivisionError("x"), ZeroDivisionError("y"), Unheard("z"))):
        subject = Try("run", str(number), 0, app="f", executor="small")
        story.tell(story.failure(subject, error))
    assert story.summary() == "numerical_error 2, unknown 1"


def test_a_sample_that_took_a_longer_way_takes_not_the_place_of_a_newer_one(story: Story) -> None:
    attempt = launch(story)
    for time in (12.0, 11.0):
        each = {"number": 11, "app": None, "worker_id": 1, "pid": 5, "started": 9.0, "sequence": 2}
        each["usage"] = {"time": time, "rss": 100}
        story.hear(worker_message("samples", time=time, period=1.0, stretch=1.0, tries=[each]))
    assert attempt.usage is not None and attempt.usage["time"] == 12.0


def test_a_sample_that_comes_after_its_try_s_result_changes_nothing(story: Story, collected: Collected) -> None:
    # The result is here, and Parsl has not told the state yet: it reads a large one, or a decider service is asked.
    attempt = launch(story)
    attempt.place, attempt.started, attempt.ended = PLACE, 9.0, 12.0
    attempt.usage = {"time": 12.0, "cpu_user": 2.5}
    usage = {"time": 11.0, "rss": 100, "cpu_user": 1.0}
    late = {"number": 11, "app": None, "worker_id": 1, "pid": 5, "started": 9.0, "sequence": 2, "usage": usage}
    story.hear(worker_message("samples", time=11.0, period=1.0, stretch=1.0, tries=[late]))
    story.hear(sample(11, 3))
    story.hear(task_info("exec_done"))
    assert states(collected) == ["pending", "launched", "running", "running_ended", "exec_done"]
    ended = next(event for event in collected.events if isinstance(event, Task) and event.state == "running_ended")
    assert ended.usage is not None and ended.usage.cpu_user == 2.5
