"""Runs with less than everything: through ``enable``, on threads, without retries, hub alone, handler alone."""

from __future__ import annotations

import logging
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import pytest
import workflow_apps as apps
from parsl import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor

from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler, enable

Make = Callable[..., Any]


def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(label="threads", max_threads=2)


def settings_of_a_run(**options: Any) -> dict[str, Any]:
    return {"retries": 2, "strategy": "none", "initialize_logging": False, **options}


def failing_workflow() -> dict[str, Any]:
    bug = apps.look_up("omega")
    return {"double": apps.double(4), "bug": bug, "dependent": apps.total(bug)}


@pytest.fixture(scope="module")
def enabled(run: Make, executor: Make, settings: Make) -> Any:
    """Plain Parsl executors, processes and threads, made to stream by ``enable``."""
    octopus = settings()
    config = Config(
        executors=[executor("processes", kind=HighThroughputExecutor, workers=2), threads()], **settings_of_a_run()
    )

    def workflow() -> dict[str, Any]:
        futures = {}
        for label in ("processes", "threads"):
            for name, function in (("double", apps.double), ("bug", apps.look_up)):
                app = python_app(function.func, executors=[label])
                futures[f"{name}-{label}"] = app(4, seconds=0.6) if name == "double" else app("omega")
        return futures

    return run(enable(config, octopus=octopus, sample_period=0.1, heartbeat_period=0.5), workflow, octopus=octopus)


@pytest.fixture(scope="module")
def hub_alone(run: Make, executor: Make, settings: Make) -> Any:
    octopus = settings()
    config = Config(
        executors=[executor("small")], monitoring=OctopusMonitoringHub(octopus=octopus), **settings_of_a_run(retries=1)
    )
    return run(config, failing_workflow, octopus=octopus)


@pytest.mark.slow
def test_enable_makes_a_plain_executor_s_workers_report(enabled: Any) -> None:
    assert enabled.outcomes["double-processes"] == 8
    states = enabled.tasks("double-processes")
    assert [task.state for task in states] == ["pending", "launched", "running", "running_ended", "exec_done"]
    assert states[2].pid not in (None, os.getpid())
    assert states[2].host == platform.node()
    assert enabled.failures("bug-processes")[0].limits is not None
    assert [beat for beat in enabled.heartbeats() if beat.component == "node"]


@pytest.mark.slow
def test_enable_tells_what_can_be_seen_of_threads(enabled: Any) -> None:
    assert enabled.outcomes["double-threads"] == 8
    assert enabled.states("double-threads") == ["pending", "launched", "exec_done"]
    failure = enabled.failures("bug-threads")[0]
    assert (failure.executor, failure.host, failure.pid) == ("threads", platform.node(), os.getpid())
    assert failure.exception.type == "ValueError"
    assert failure.categorization.category == "code_error"


@pytest.mark.slow
def test_enable_decides_on_every_executor(enabled: Any) -> None:
    for name in ("bug-processes", "bug-threads"):
        assert [decision.action for decision in enabled.decisions(name)] == ["retry", "retry", "terminate"]
        assert isinstance(enabled.outcomes[name], ValueError)
    pools = {pool.label: pool for event in enabled.runs() for pool in event.pools}
    assert (pools["processes"].steerable, pools["threads"].steerable) == (True, False)


@pytest.mark.slow
def test_without_a_handler_failures_are_told_and_categorised_and_retried_as_parsl_does(hub_alone: Any) -> None:
    assert hub_alone.outcomes["double"] == 8
    failures = hub_alone.failures("bug")
    assert [failure.try_id for failure in failures] == [0, 1]
    assert {failure.categorization.category for failure in failures} == {"code_error"}
    assert failures[0].host == platform.node()
    assert failures[0].exception.location and failures[0].traceback
    (dependent,) = hub_alone.failures("dependent")
    assert dependent.categorization.category == "dependency_failed"
    assert dependent.dependencies == (hub_alone.task_ids["bug"],)
    assert hub_alone.decisions() == []


@pytest.mark.slow
def test_without_a_hub_the_handler_decides_and_nothing_is_sent(run: Make, executor: Make, settings: Make) -> None:
    config = Config(executors=[executor("small")], retry_handler=WrathRetryHandler(), **settings_of_a_run(retries=5))
    told = run(config, failing_workflow)
    assert told.outcomes["double"] == 8
    assert isinstance(told.outcomes["bug"], ValueError)
    assert told.failures() == told.decisions() == told.tasks() == []
    assert told.messages == []


@pytest.mark.parametrize(("policy", "tries"), [(None, 10), ("published", 2)])
def test_without_a_hub_a_bug_is_tried_as_often_as_the_policy_says(
    run: Make, tmp_path: Any, policy: str | None, tries: int
) -> None:
    marker = tmp_path / "tries"

    @python_app
    def fail() -> None:
        with marker.open("a", encoding="utf-8") as file:
            file.write("x")
        raise ValueError("always the same")

    config = Config(executors=[threads()], retry_handler=WrathRetryHandler(policy), **settings_of_a_run(retries=9))
    run(config, lambda: {"bug": fail()})
    assert marker.read_text(encoding="utf-8") == "x" * tries


def test_with_no_retries_a_failure_is_told_decided_and_final(run: Make, settings: Make) -> None:
    octopus = settings()
    config = enable(Config(executors=[threads()], **settings_of_a_run(retries=0)), octopus=octopus)
    told = run(config, failing_workflow, octopus=octopus)
    assert [failure.try_id for failure in told.failures("bug")] == [0]
    (decision,) = told.decisions("bug")
    assert (decision.action, decision.rule) == ("terminate", "run.retries")
    assert told.states("bug")[-1] == "failed"


def test_the_workflow_s_own_handler_keeps_the_last_word(run: Make, settings: Make) -> None:
    octopus = settings()
    config = Config(executors=[threads()], retry_handler=lambda error, task: 99.0, **settings_of_a_run(retries=5))
    told = run(enable(config, octopus=octopus), failing_workflow, octopus=octopus)
    (decision,) = told.decisions("bug")
    assert decision.action == "terminate"
    assert "own retry_handler" in decision.reason
    assert len(told.failures("bug")) == 1


def test_parsl_s_log_is_written_as_ever(run: Make, settings: Make) -> None:
    octopus = settings()
    handlers: list[logging.FileHandler] = []

    def workflow() -> dict[str, Any]:
        files = [each for each in logging.getLogger("parsl").handlers if isinstance(each, logging.FileHandler)]
        of_this_run = Path(parsl.dfk().run_dir).resolve()  # Parsl leaves those of earlier ones
        handlers.extend(each for each in files if Path(each.baseFilename).resolve().parent == of_this_run)
        assert [vars(each)["emit"].__module__ for each in handlers] == ["octopus_plugins.htex.fast_log"]
        return {"double": apps.double(4)}

    config = Config(executors=[threads()], **settings_of_a_run(initialize_logging=True))
    told = run(enable(config, octopus=octopus), workflow, octopus=octopus)
    (handler,) = handlers
    handler.close()  # which Parsl leaves to the end of the process
    assert "emit" not in vars(handler)
    (log,) = told.run_dir.glob("*/parsl.log")
    lines = log.read_text(encoding="utf-8").splitlines()
    form = r"[0-9]+\.[0-9]{6} [0-9-]{10} [0-9:]{8} \S+-[0-9]+ .+-[0-9]+ parsl\.\S+:[0-9]+ \S+ (DEBUG|INFO): "
    begun = [line for line in lines if re.match(form, line)]
    for said in (
        "Task 0 submitted for App double",
        "Task 0 changing state from launched to exec_done",
        "Terminated monitoring",
    ):
        assert [line for line in begun if said in line], f"{said!r} is not in {log}"
