"""OctopusExecutor with one endpoint: results as without us, and what the topics say of submissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from globus_compute_sdk import Executor, ShellFunction
from globus_compute_sdk.errors import TaskExecutionFailed
from globus_compute_sdk.serialize import ComputeSerializer

from globus_compute_hooks import OctopusExecutor, explanation
from octopus_plugins import decisions, failures, tasks
from octopus_plugins.config import OctopusConfig

from . import functions
from .endpoint import PATIENCE, engine


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
    executor._octopus_diary._emitter.flush(30)
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
    machine = explanation.read(str(error))
    assert machine is not None
    executor._octopus_diary._emitter.flush(30)
    (failure,) = of(executor, future, failures, octopus)
    assert failure.categorization is not None
    assert (failure.categorization.category, failure.host) == ("code_error", machine["host"])
    assert failure.labels["compute_task_id"] == future.task_id
    assert failure.labels["endpoint_run_id"] == machine["run_id"]
    (decision,) = of(executor, future, decisions, octopus)
    assert decision.action == "terminate"
    assert [task.state for task in of(executor, future, tasks, octopus)][-1] == "failed"


def of(executor: OctopusExecutor, future: Any, ask: Callable[..., Any], octopus: OctopusConfig) -> list[Any]:
    """What the executor's own run says of a future."""
    return list(ask(run_id=executor.octopus_run_id, task_id=future._metadata["octopus"]["task_id"], config=octopus))
