"""Workers whose environment lacks our packages: their tasks run all the same, and it is said once."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from globus_compute_sdk.errors import TaskExecutionFailed

from benchmarks.compute.endpoint import PATIENCE, engine
from octopus_plugins import failures, tasks
from octopus_plugins.config import OctopusConfig

from . import functions

STUB = "raise ModuleNotFoundError(f'No module named {__name__!r}', name=__name__)\n"
PACKAGES = ("globus_compute_hooks", "octopus_plugins")


@pytest.fixture(scope="module")
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that, first on the path, makes our packages as good as not installed."""
    site = tmp_path_factory.mktemp("bare")
    for name in PACKAGES:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(STUB)
    return site


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Callable[..., Any], octopus: OctopusConfig, bare_environment: Path) -> Any:
    return start_endpoint(engine(octopus, worker_init=f"export PYTHONPATH={bare_environment}"))


@pytest.fixture(scope="module")
def futures(endpoint: Any, sdk: Callable[..., Any]) -> list[Any]:
    """Ten tasks that end well, and one that fails; all done."""
    executor = sdk(endpoint)
    futures = [executor.submit(functions.double, number) for number in range(10)]
    futures.append(executor.submit(functions.look_up, "omega"))
    for future in futures:
        future.exception(timeout=PATIENCE)
    return futures


def test_tasks_come_to_the_results_that_they_have_without_us(futures: list[Any]) -> None:
    *numbers, bug = futures
    assert [number.result() for number in numbers] == [2 * number for number in range(10)]
    assert isinstance(bug.exception(), TaskExecutionFailed)
    assert "KeyError: 'omega'" in str(bug.exception())


def test_it_is_said_once_with_the_remedy(futures: list[Any], endpoint: Any) -> None:
    said = "octopus-plugins is not installed in the workers' environment"
    assert endpoint.log.count(said) == 1
    assert "pip install 'octopus-plugins[compute]'" in endpoint.log


def test_what_the_engine_sees_is_told(futures: list[Any], octopus: OctopusConfig, wait_for: Any) -> None:
    of_one = {"task_id": str(futures[0].task_id), "config": octopus}
    wait_for(lambda: any(task.state == "exec_done" for task in tasks(**of_one)), PATIENCE)
    assert [(task.try_id, task.state) for task in tasks(**of_one)] == [
        (0, "pending"),
        (0, "launched"),
        (0, "exec_done"),
    ]
    (failure,) = failures(task_id=str(futures[-1].task_id), config=octopus)
    assert failure.categorization is not None
    assert failure.categorization.category == "code_error"
    assert failure.host in {None, platform.node()}
