"""A user endpoint that is killed just when it has taken tasks, and what the next one makes of its host's counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compute.endpoint import PATIENCE, engine
from benchmarks.compute.service import ComputeService
from globus_compute_hooks.endpoint.open_tasks import NAME
from octopus_plugins import failures
from octopus_plugins.config import OctopusConfig

from . import functions

TAKEN = 6

ATTEMPTS = 8
"""Kills until one comes before the acknowledgement."""


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Callable[..., Any], octopus: OctopusConfig) -> Any:
    """Six workers; a user endpoint that is idle for two heartbeats ends itself."""
    return start_endpoint(engine(octopus, workers=TAKEN), idle=2)


def put_down(endpoint: Any) -> str:
    """What the user endpoint has put down of the tasks that it has taken."""
    files: list[Path] = list(endpoint.home.glob(f".globus_compute/uep.*/{NAME}"))
    return "".join(file.read_text() for file in files)


def runs(endpoint: Any, task_id: str) -> bool:
    """Whether the user endpoint knows where a task runs."""
    return any(task_id in line and '"place"' in line for line in put_down(endpoint).splitlines())


def wait_until_taken(endpoint: Any, tasks: list[Any]) -> None:
    """Return at once when the user endpoint has put all of them down: it acknowledges them within half a second."""
    deadline = time.monotonic() + PATIENCE
    while not all(task.task_id and str(task.task_id) in put_down(endpoint) for task in tasks):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_the_queue_delivers_again_is_not_lost(
    endpoint: Any, sdk: Callable[..., Any], web: ComputeService, octopus: OctopusConfig
) -> None:
    executor = sdk(endpoint)
    for _ in range(ATTEMPTS):
        assert executor.submit(functions.double, 21).result(timeout=PATIENCE) == 42
        taken = [executor.submit(functions.double_slowly, number, 2.0) for number in range(TAKEN)]
        wait_until_taken(endpoint, taken)
        endpoint.kill_user_endpoint()
        again = web.queued(str(taken[0]._metadata["endpoint_uuid"]))
        if again == TAKEN:
            break
    assert again == TAKEN, "they were acknowledged before the user endpoint could be killed"
    assert executor.submit(functions.double, 4).result(timeout=PATIENCE) == 8
    assert [task.result(timeout=PATIENCE) for task in taken] == [2 * number for number in range(TAKEN)]
    assert not [failure for task in taken for failure in failures(task_id=str(task.task_id), config=octopus)]


def test_answers_for_what_was_lost_do_not_make_an_endpoint_idle_that_works(
    endpoint: Any, sdk: Callable[..., Any], wait_for: Any
) -> None:
    executor = sdk(endpoint)
    lost = executor.submit(functions.rest, 600)
    wait_for(lambda: lost.task_id is not None and runs(endpoint, str(lost.task_id)), PATIENCE)
    executor.submit(functions.rest, 1.5).result(timeout=PATIENCE)  # by then it is acknowledged
    endpoint.kill_user_endpoint()
    works = executor.submit(functions.double_slowly, 21, 50.0)
    assert "lost_task" in str(lost.exception(timeout=PATIENCE))
    assert not works.done()
    (process,) = endpoint.user_endpoints()
    assert works.result(timeout=PATIENCE) == 42
    assert process.is_running()
