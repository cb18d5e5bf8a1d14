"""An endpoint that no root starts: its user endpoint inherits the environment, and finds our engine all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compute.endpoint import PATIENCE, engine
from octopus_plugins import tasks
from octopus_plugins.config import OctopusConfig

from . import functions


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Callable[..., Any], octopus: OctopusConfig) -> Any:
    return start_endpoint(engine(octopus), privileged=False)


def test_its_tasks_are_observed(endpoint: Any, sdk: Callable[..., Any], octopus: OctopusConfig, wait_for: Any) -> None:
    future = sdk(endpoint).submit(functions.double, 21)
    assert future.result(timeout=PATIENCE) == 42
    (process,) = endpoint.user_endpoints()
    assert Path(f"/proc/{process.pid}/uid_map").read_text().split()[0] != "0" or process.uids().real != 0
    wait_for(lambda: any(task.state == "exec_done" for task in tasks(task_id=str(future.task_id), config=octopus)))
    running = next(task for task in tasks(task_id=str(future.task_id), config=octopus) if task.state == "running")
    assert running.pid
