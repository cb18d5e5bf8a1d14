"""OctopusExecutor with one endpoint: results as without us, and what the topics say of submissions."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from globus_compute_sdk import Executor, ShellFunction
from globus_compute_sdk.errors import SerializationError, TaskExecutionFailed
from globus_compute_sdk.serialize import ComputeSerializer, JSONData

from benchmarks.compute import service
from benchmarks.compute.endpoint import PATIENCE, engine
from globus_compute_hooks import OctopusExecutor, disable, enable
from octopus_plugins import Decision, Failure, decisions, failures, hookimpl, runs, tasks
from octopus_plugins.config import OctopusConfig
from octopus_plugins.frameworks import failure_text
from octopus_plugins.local.processes import free_port
from octopus_plugins.plugins import Plugins

from . import functions
from .told import of, own


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Callable[..., Any], octopus: OctopusConfig) -> Any:
    return start_endpoint(engine(octopus))


@pytest.fixture(scope="module")
def executor(endpoint: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig) -> OctopusExecutor:
    return recovering(endpoint.id, octopus=octopus)


def test_results_are_what_they_are_without_us(executor: OctopusExecutor, endpoint: Any) -> None:
    assert isinstance(executor, Executor)
    doubles = [executor.submit(functions.double, number) for number in range(5)]
    assert [double.result(timeout=PATIENCE) for double in doubles] == [0, 2, 4, 6, 8]
    assert len({double.task_id for double in doubles}) == 5
    assert executor.task_group_id == doubles[0]._metadata["task_group_uuid"]


def test_shell_functions_keep_their_meaning(
    endpoint: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig
) -> None:
    executor = recovering(endpoint.id, octopus=octopus)
    executor.serializer = ComputeSerializer()
    shell = executor.submit(ShellFunction("echo {word}; exit 3", name="shout"), word="aloud").result(timeout=PATIENCE)
    assert (shell.stdout, shell.returncode) == ("aloud\n", 3)


def test_a_submission_is_told_from_its_beginning_to_its_end(executor: OctopusExecutor, octopus: OctopusConfig) -> None:
    future = executor.submit(functions.double, 4)
    assert future.result(timeout=PATIENCE) == 8
    told = of(executor, future, tasks, octopus)
    assert [(task.state, task.try_id, task.app) for task in told] == [
        (state, 0, "double") for state in ("pending", "launched", "exec_done")
    ]
    assert told[-1].labels["compute_task_id"] == future.task_id
    (of_endpoint,) = {task.run_id for task in tasks(task_id=str(future.task_id), config=octopus)}
    assert of_endpoint != executor.octopus_run_id


def test_a_failure_is_told_with_a_decision_and_its_explanation(
    executor: OctopusExecutor, octopus: OctopusConfig
) -> None:
    future = executor.submit(functions.look_up, "omega")
    error = future.exception(timeout=PATIENCE)
    assert isinstance(error, TaskExecutionFailed)
    assert "KeyError: 'omega'" in str(error)
    machine = failure_text.read(str(error))
    assert machine is not None
    (failure,) = of(executor, future, failures, octopus)
    assert failure.categorization is not None
    assert (failure.categorization.category, failure.host) == ("code_error", machine["host"])
    assert failure.labels["compute_task_id"] == future.task_id
    assert failure.labels["endpoint_run_id"] == machine["run_id"]
    (decision,) = of(executor, future, decisions, octopus)
    assert decision.action == "terminate"
    assert [task.state for task in of(executor, future, tasks, octopus)][-1] == "failed"


def test_a_slow_decision_holds_up_neither_submissions_nor_results(
    endpoint: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig
) -> None:
    release = threading.Event()

    class Slow:
        @hookimpl
        def octopus_decision(self, failure: Failure, decision: Decision) -> None:
            assert release.wait(PATIENCE)

    plugins = Plugins()
    plugins.register(Slow())
    executor = recovering(endpoint.id, octopus=octopus, plugins=plugins)
    bug = executor.submit(functions.look_up, "omega")
    assert executor.submit(functions.double, 1).result(timeout=PATIENCE) == 2
    assert executor.submit(functions.double, 2).result(timeout=PATIENCE) == 4
    assert not bug.done()
    release.set()
    assert isinstance(bug.exception(timeout=PATIENCE), TaskExecutionFailed)


def test_what_is_cancelled_is_neither_answered_nor_waited_for(
    endpoint: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig, wait_for: Any
) -> None:
    with recovering(endpoint.id, octopus=octopus) as executor:
        rest = executor.submit(functions.rest, 3)
        wait_for(lambda: rest.task_id is not None, PATIENCE)
        assert rest.cancel()
        unsent = executor.submit(functions.double, 1)
        assert unsent.cancel()
    assert rest.cancelled() and unsent.cancelled()
    states = [(task.state, task.labels.get("cancelled")) for task in own(executor, tasks, octopus)]
    assert states.count(("failed", "true")) == 2
    assert not own(executor, failures, octopus)


def test_batches_groups_and_reloaded_tasks_keep_their_meaning(
    endpoint: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig, web: Any
) -> None:
    group = str(uuid.uuid4())
    executor = recovering(endpoint.id, octopus=octopus, task_group_id=group, result_serializers=[JSONData()])
    function = executor.register_function(functions.double)
    futures = [executor.submit_to_registered_function(function, (number,)) for number in range(20)]
    assert [future.result(timeout=PATIENCE) for future in futures] == [2 * number for number in range(20)]
    assert {web.tasks[future.task_id].group for future in futures} == {group}
    assert executor.task_count_submitted == 20
    again = recovering(endpoint.id, octopus=octopus, task_group_id=group)
    reloaded = {future.task_id: future.result(timeout=PATIENCE) for future in again.reload_tasks()}
    assert reloaded == {future.task_id: future.result() for future in futures}
    with pytest.raises(NotImplementedError):
        executor.map(functions.double, [1])
    with pytest.raises(ValueError, match="badly formed"):
        executor.submit_to_registered_function("no id")


def test_one_call_that_cannot_be_sent_fails_alone(
    endpoint: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig
) -> None:
    with recovering(endpoint.id, octopus=octopus) as executor:
        good = [executor.submit(functions.double, number) for number in range(3)]
        bad = executor.submit(functions.double, (number for number in ()))
        good += [executor.submit(functions.double, number) for number in range(3, 6)]
        assert [future.result(timeout=PATIENCE) for future in good] == [0, 2, 4, 6, 8, 10]
        assert isinstance(bad.exception(timeout=PATIENCE), SerializationError)
    (decision,) = own(executor, decisions, octopus)
    assert (decision.action, decision.category) == ("terminate", "serialization")


def test_an_executor_that_is_there_is_enabled_and_disabled(endpoint: Any, sdk: Any, octopus: OctopusConfig) -> None:
    plain = sdk(endpoint)
    before = plain.submit(functions.double, 1)
    executor = enable(plain, octopus=octopus)
    assert executor is plain
    assert enable(executor) is executor
    during = executor.submit(functions.double, 2)
    assert disable(executor) is plain
    assert type(plain) is Executor
    after = plain.submit(functions.double, 3)
    assert [future.result(timeout=PATIENCE) for future in (before, during, after)] == [2, 4, 6]
    assert plain.task_count_submitted == 2
    assert not [name for name in vars(plain) if "octopus" in name]


def test_without_a_broker_it_is_a_plain_executor(
    endpoint: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig, tmp_path: Any
) -> None:
    away = octopus.model_copy(update={"bootstrap_servers": f"127.0.0.1:{free_port()}", "spool_dir": tmp_path})
    with recovering(endpoint.id, octopus=away) as executor:
        assert executor.submit(functions.double, 4).result(timeout=PATIENCE) == 8
        error = executor.submit(functions.look_up, "omega").exception(timeout=PATIENCE)
        assert isinstance(error, TaskExecutionFailed)
        ending = time.monotonic()
    assert time.monotonic() - ending < 10


def test_passive_records_what_would_be_done_and_changes_nothing(
    endpoint: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig
) -> None:
    unknown = str(uuid.uuid4())
    with recovering(unknown, ladder=[unknown, endpoint.id], mode="passive", octopus=octopus) as executor:
        error = executor.submit(functions.double, 1).exception(timeout=PATIENCE)
    assert type(error).__name__ == "ComputeAPIError"
    (decision,) = own(executor, decisions, octopus)
    assert (decision.action, decision.mode) == ("retry", "passive")


def test_a_program_ends_though_a_task_that_it_cancelled_still_runs(
    endpoint: Any, octopus: OctopusConfig, web: Any
) -> None:
    settings = octopus.model_dump(include={"profile", "bootstrap_servers", "namespace", "spool_dir"}, mode="json")
    told = {"url": web.url, "token": service.token(service.USER), "endpoint": endpoint.id, "octopus": settings}
    script = Path(__file__).with_name("cancelling_run.py")
    done = subprocess.run(
        [sys.executable, script, json.dumps(told)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    run_id, task_id, cancelled = done.stdout.split()
    assert cancelled == "True"
    assert not web.tasks[task_id].results  # it runs on, and nobody waits
    assert [run.state for run in runs(run_id=run_id, config=octopus)] == ["started", "configured", "ended"]
    assert [task.state for task in tasks(run_id=run_id, config=octopus)] == ["pending", "launched", "failed"]
