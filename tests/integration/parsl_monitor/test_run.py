"""One workflow with most of what can happen in it, and what the topics then say. Real Parsl, real workers."""

from __future__ import annotations

import os
import platform
import signal
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import pytest
import workflow_apps as apps
from parsl.app.errors import AppTimeout
from parsl.config import Config
from parsl.executors.high_throughput.errors import WorkerLost

import octopus_plugins
from octopus_plugins.events import Failure, Task
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler

MEMORY_LIMIT = 6 << 30
PARSL_STATES = {"pending", "launched", "exec_done", "memo_done", "joining", "fail_retryable", "failed", "dep_fail"}


@pytest.fixture(scope="module")
def told(
    run: Callable[..., Any], executor: Callable[..., Any], settings: Callable[..., Any], tmp_path_factory: Any
) -> Any:
    """A run with everything on, two workers on one node."""
    octopus = settings()
    config = Config(
        executors=[executor("small", workers=2, worker_init=f"ulimit -v {MEMORY_LIMIT >> 10}", sample_period=0.05)],
        monitoring=OctopusMonitoringHub(workflow_name="everything", workflow_version="7", octopus=octopus),
        retry_handler=WrathRetryHandler({"categories": {"worker_lost": {"maximum_attempts": 3}}}),
        retries=2,
        strategy="none",
        initialize_logging=False,
    )
    stderr = str(tmp_path_factory.mktemp("output") / "complain.err")

    def workflow() -> dict[str, Any]:
        numbers = [apps.double(number) for number in range(8)]
        bug = apps.look_up("omega")
        futures = {f"double-{number}": future for number, future in enumerate(numbers)}
        return futures | {
            "total": apps.total(*numbers),
            "burn": apps.burn(1.2),
            "bug": bug,
            "dependent": apps.total(bug),
            "bash": apps.complain(7, stderr=stderr),
            "memory": apps.allocate(MEMORY_LIMIT + (1 << 30)),
            "walltime": apps.sleep_long(walltime=0.5),
            "join": apps.fan_out([1, 2, 3]),
            "failing-join": apps.fan_out_and_fail(),
            "remembered": (first := apps.remembered(1)),
            "killed": apps.die(),
            "busy-service": apps.ask_a_busy_service(),
            "context": apps.fail_while_handling(),
            "memoised": (first.result(timeout=150), apps.remembered(1))[1],
        }

    return run(config, workflow, octopus=octopus)


def test_the_workflow_gets_the_results_and_errors_of_plain_parsl(told: Any) -> None:
    assert [told.outcomes[f"double-{number}"] for number in range(8)] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert told.outcomes["total"] == 56
    assert told.outcomes["join"] == [2, 4, 6]
    assert told.outcomes["memoised"] == told.outcomes["remembered"] == 2
    assert isinstance(told.outcomes["bug"], ValueError)
    assert isinstance(told.outcomes["bug"].__cause__, KeyError)
    assert isinstance(told.outcomes["memory"], MemoryError)
    assert isinstance(told.outcomes["walltime"], AppTimeout)
    assert isinstance(told.outcomes["killed"], WorkerLost)


def test_every_state_change_of_a_task_arrives_in_order(told: Any) -> None:
    expected = ["pending", "launched", "running", "running_ended", "exec_done"]
    assert told.states("double-0") == expected
    assert told.states("total") == expected
    times = [task.time for task in told.tasks("total")]
    assert times == sorted(times)


def test_the_states_of_each_task_end_with_a_final_one(told: Any) -> None:
    last: dict[str, Task] = {}
    for task in told.tasks():
        last[task.task_id] = task
    assert {task.state for task in last.values()} == {"exec_done", "memo_done", "failed", "dep_fail"}
    done = [task for task in last.values() if task.state in ("exec_done", "memo_done")]
    assert len(done) == told.runs()[-1].tasks_done


def test_each_retry_tells_its_start_and_end_anew(told: Any) -> None:
    expected = ["launched", "running", "running_ended"]
    retried = ["pending", *expected, "fail_retryable"]
    assert told.states("bug") == [*retried, *retried, "pending", *expected, "failed"]
    assert [task.try_id for task in told.tasks("bug")] == [0] * 5 + [1] * 5 + [2] * 5


def test_worker_start_and_end_name_host_block_manager_worker_and_pid(told: Any) -> None:
    running, ended = (
        next(task for task in told.tasks("burn") if task.state == state) for state in ("running", "running_ended")
    )
    for task in (running, ended):
        assert task.host == platform.node()
        assert task.block == "0"
        assert task.manager
        assert task.worker_id in (0, 1)
        assert task.pid not in (None, os.getpid())
        assert (task.executor, task.app) == ("small", "burn") or task.state == "running"
    assert 1.2 <= ended.time - running.time < 30
    assert ended.usage.cpu_user > 0.1
    assert ended.usage.peak_rss > 64 << 20


def test_a_task_that_runs_for_a_while_is_sampled(told: Any) -> None:
    samples = told.samples("burn")
    assert len(samples) >= 3
    assert [sample.sequence for sample in samples] == list(range(len(samples)))
    usage = samples[-1].usage
    # The last one may come when the block is let go already.
    assert max(sample.usage.rss for sample in samples) > 64 << 20
    assert usage.open_files > 3
    assert usage.threads == 1  # of the task: nothing of ours runs beside it
    assert 0 < usage.cpu_user <= usage.time - samples[0].usage.time + 1.2  # of the try, not of the worker's life
    place = next(task for task in told.tasks("burn") if task.state == "running")
    assert {(sample.host, sample.pid, sample.try_id) for sample in samples} == {(place.host, place.pid, 0)}


def test_the_node_speaks_of_its_load_memory_disk_and_workers(told: Any) -> None:
    beats = [beat for beat in told.heartbeats() if beat.component == "node"]
    assert len(beats) >= 3
    beat = beats[0]
    assert (beat.host, beat.executor, beat.block, beat.state, beat.period) == (platform.node(), "small", "0", "up", 0.5)
    assert beat.node.load >= 0
    assert 0 < beat.node.memory_available <= beat.node.memory_total
    assert 0 < beat.node.disk_free <= beat.node.disk_total
    assert any(len([worker for worker in beat.workers if worker.alive]) == 2 for beat in beats)
    pids = {worker.pid for beat in beats for worker in beat.workers}
    assert {task.pid for task in told.tasks("burn") if task.pid} <= pids


def test_the_manager_is_seen_from_the_submit_side(told: Any) -> None:
    beats = [beat for beat in told.heartbeats() if beat.component == "manager"]
    assert beats
    assert {beat.state for beat in beats} <= {"up", "draining", "held", "lost"}
    assert (beats[0].executor, beats[0].worker_count, beats[0].state) == ("small", 2, "up")


def test_a_failure_event_is_complete(told: Any) -> None:
    failure = told.failures("bug")[0]
    assert (failure.task_id, failure.try_id, failure.app, failure.executor) == (
        told.task_ids["bug"],
        0,
        "look_up",
        "small",
    )
    assert (failure.host, failure.block) == (platform.node(), "0")
    assert failure.manager and failure.pid and failure.worker_id in (0, 1)
    assert failure.exception.type == "ValueError"
    assert failure.exception.message == "no parameter 'omega'"
    assert failure.exception.mro == ("ValueError", "Exception", "BaseException")
    assert "look_up" in failure.exception.location
    assert [cause.type for cause in failure.causes] == ["KeyError"]
    assert "no parameter 'omega'" in failure.traceback
    assert failure.submitted <= failure.launched <= failure.ended <= failure.time
    assert failure.launched <= failure.started + 0.1
    assert failure.usage.rss > 1 << 20
    assert failure.usage.peak_rss >= failure.usage.rss * 0.5
    assert failure.usage.open_files > 3
    assert failure.limits.address_space == MEMORY_LIMIT
    assert failure.limits.open_files > 0
    assert failure.node.memory_total > 0 and failure.node.disk_free > 0
    assert failure.versions["python"] == platform.python_version()
    assert failure.versions["parsl"] == parsl.version.VERSION
    assert failure.versions["octopus-plugins"] == octopus_plugins.__version__
    assert (failure.categorization.layer, failure.categorization.category) == ("application", "code_error")


def test_a_bash_app_s_failure_has_its_exit_code_and_the_end_of_its_standard_error(told: Any) -> None:
    failure = told.failures("bash")[0]
    assert failure.exit_code == 7
    assert failure.stderr_tail.endswith("solver: licence expired\n")
    assert "BashExitFailure" in failure.exception.type
    assert failure.categorization.category == "credentials_rejected"
    assert told.tasks("bash")[0].stderr.endswith("complain.err")


def test_what_cannot_be_pickled_is_known_as_its_worker_saw_it(told: Any) -> None:
    failure = told.failures("busy-service")[0]
    assert failure.categorization.category == "service_unavailable"
    assert failure.exception.type == "urllib.error.HTTPError"
    assert failure.exception.attributes["http_status"] == 429
    assert failure.exception.attributes["retry_after"] == 0.0
    assert "secret" not in str(failure)
    assert not isinstance(told.outcomes["busy-service"], urllib.error.HTTPError), "what stock Parsl gives: dill's error"


def test_the_context_of_a_plain_raise_is_known_though_parsl_loses_it(told: Any) -> None:
    failure = told.failures("context")[0]
    assert failure.exception.type == "RuntimeError"
    assert [cause.attributes["filename"] for cause in failure.causes] == ["/data/cell-7"]
    assert failure.categorization.category == "filesystem_error"
    assert [frame.origin for frame in failure.exception.frames] == ["own"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python shows notes from 3.11 on")
def test_the_user_s_exception_says_what_was_decided(told: Any) -> None:
    (note,) = told.outcomes["context"].__notes__
    assert note.startswith(f"Octopus: filesystem_error on {platform.node()}, terminate: ")
    assert "the run's 2 retries per task are used up" in note


def test_a_task_that_asks_for_more_than_it_may_have_ran_out_of_memory(told: Any) -> None:
    failure = told.failures("memory")[0]
    assert failure.exception.type == "MemoryError"
    assert failure.categorization.category == "memory_exhausted"
    assert failure.categorization.evidence["limit"] == MEMORY_LIMIT
    assert told.decisions("memory")[-1].action == "terminate"  # no other executor has more


def test_a_killed_worker_s_signal_is_seen_by_its_sibling(told: Any) -> None:
    failures = told.failures("killed")
    assert {failure.exception.type for failure in failures} == {"parsl.executors.high_throughput.errors.WorkerLost"}
    assert all(failure.host == platform.node() for failure in failures)
    # A manager that looks first leaves nothing to see; over several tries the sibling does.
    assert signal.SIGKILL in {failure.signal for failure in failures}
    assert any(worker.signal == signal.SIGKILL for beat in told.heartbeats() for worker in beat.workers)


def test_a_walltime_is_told_as_such(told: Any) -> None:
    assert {failure.categorization.category for failure in told.failures("walltime")} == {"walltime_exceeded"}


def test_what_depends_on_a_failed_task_names_it_and_is_not_retried(told: Any) -> None:
    (failure,) = told.failures("dependent")
    assert failure.dependencies == (told.task_ids["bug"],)
    assert failure.categorization.category == "dependency_failed"
    assert [decision.action for decision in told.decisions("dependent")] == ["terminate"]
    assert told.states("dependent") == ["pending", "dep_fail"]
    assert told.tasks("dependent")[0].depends == (told.task_ids["bug"],)


def test_a_join_tells_what_it_waits_for(told: Any) -> None:
    # Joins run in a thread of the workflow's process, where no worker reports.
    assert told.states("join") == ["pending", "launched", "joining", "exec_done"]
    assert len(next(task for task in told.tasks("join") if task.state == "joining").joins) == 3


def test_a_failed_join_is_a_failure_too(told: Any) -> None:
    (failure,) = told.failures("failing-join")
    assert failure.categorization.category == "join_failed"
    assert "parsl.dataflow.errors.JoinError" in failure.exception.mro
    joined = next(task for task in told.tasks("failing-join") if task.state == "joining").joins
    assert len(failure.dependencies) == 1 and failure.dependencies[0] in joined
    assert told.states("failing-join")[-1] == "failed"


def test_a_memoised_task_is_told_as_such(told: Any) -> None:
    assert told.states("memoised")[-1] == "memo_done"
    assert told.tasks("memoised")[-1].from_memo
    assert "launched" not in told.states("memoised")


def test_each_failure_of_a_try_has_one_decision(told: Any) -> None:
    def tries(events: list[Any]) -> list[tuple[str, int]]:
        return sorted((event.task_id, event.try_id) for event in events)

    failures: list[Failure] = told.failures()
    assert tries(told.decisions()) == tries(failures)
    assert {decision.decider for decision in told.decisions()} == {"workflow"}


def test_a_failed_join_has_a_decision_though_parsl_asks_no_handler_about_it(told: Any) -> None:
    (decision,) = told.decisions("failing-join")
    assert (decision.action, decision.category) == ("terminate", "join_failed")


def test_what_was_told_is_numbered_without_a_gap_and_a_failure_comes_before_its_decision(told: Any) -> None:
    failures, decisions = told.failures(), told.decisions()
    events = [*told.tasks(), *told.runs(), *told.samples(), *told.heartbeats(), *failures, *decisions]
    orders = sorted(event.order for event in events)
    # Blocks are told too, and this reader does not ask for them.
    assert len(set(orders)) == len(orders) and orders[0] >= 1
    of_decision = {(decision.task_id, decision.try_id): decision.order for decision in decisions}
    assert all(of_decision[failure.task_id, failure.try_id] > failure.order for failure in failures)


def test_the_run_is_configured_in_the_stream_before_its_first_task_ended(told: Any) -> None:
    configured = next(event for event in told.runs() if event.state == "configured")
    ended = [task.order for task in told.tasks() if task.state in ("exec_done", "fail_retryable", "failed")]
    assert configured.order < min(ended)
    assert configured.policy["categories"]["worker_lost"]["maximum_attempts"] == 3


def test_a_bug_is_tried_as_often_as_the_run_s_retries_allow(told: Any) -> None:
    *retried, last = told.decisions("bug")
    assert [decision.action for decision in retried] == ["retry", "retry"]
    assert (last.action, last.rule) == ("terminate", "run.retries")


def test_the_run_tells_its_start_configuration_and_end(told: Any) -> None:
    events = told.runs()
    assert [event.state for event in events] == ["started", "configured", "ended"]
    started, configured, ended = events
    assert (started.name, started.version, started.host) == ("everything", "7", platform.node())
    assert started.versions["parsl"]
    assert configured.retries == 2
    assert [(pool.label, pool.observed, pool.steerable, pool.workers_per_node) for pool in configured.pools] == [
        ("small", True, True, 2)
    ]
    failed = [name for name, outcome in told.outcomes.items() if isinstance(outcome, Exception)]
    assert ended.tasks_failed == len(failed) + 1  # the failing join's inner task
    assert ended.tasks_done == len(told.outcomes) - len(failed) + 4  # the joins' inner tasks


def test_nothing_is_left_in_the_spool(told: Any) -> None:
    assert [path for path in Path(told.config.spool_dir).rglob("*") if path.is_file()] == []


def test_nothing_was_complained_about(told: Any) -> None:
    assert told.messages == []
