"""What becomes of tasks whose worker pool or whose user endpoint is killed under them."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from benchmarks.compute.endpoint import PATIENCE, engine
from octopus_plugins import decisions, failures, heartbeats, tasks
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Block
from octopus_plugins.fabric import Reader
from octopus_plugins.frameworks import failure_text

from . import functions

HOST = platform.node()


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Callable[..., Any], octopus: OctopusConfig) -> Any:
    """Two blocks of one worker each, and two retries."""
    return start_endpoint(engine(octopus, blocks=2, workers=1, max_retries_on_system_failure=2))


def managers(endpoint: Any) -> dict[int, int]:
    """The workers of the endpoint, with the pool of each."""
    found = {}
    for process in endpoint.processes():
        words = process.cmdline()
        if "octopus_plugins.htex.pool.launch" in words and words[0] != "sh":
            found |= {child.pid: process.pid for child in process.children(recursive=True)}
    return found


def wait_for_both_blocks(executor: Any, octopus: OctopusConfig, wait_for: Any) -> None:
    """Wait until the endpoint knows both blocks to run: their pools have said a word, and the provider says so, too."""

    def run() -> bool:
        beats = heartbeats(config=octopus)
        pools = {beat.block for beat in beats if beat.component == "manager" and beat.state == "up"}
        states = {event.block: event.state for event in Reader(octopus, Block.TOPIC) if isinstance(event, Block)}
        running = {block for block, state in states.items() if state == "RUNNING"}
        return len(pools & running) == 2

    assert executor.submit(functions.double, 21).result(timeout=PATIENCE) == 42
    wait_for(run, PATIENCE)


def wait_until_running(task_id: Callable[[], str | None], octopus: OctopusConfig, wait_for: Any) -> int:
    """The worker that runs a task, once it has told so."""
    found: list[int] = []

    def runs() -> bool:
        if task_id() is None:
            return False
        for task in tasks(task_id=str(task_id()), config=octopus):
            if task.state == "running" and task.pid:
                found.append(task.pid)
        return bool(found)

    wait_for(runs, PATIENCE)
    return found[-1]


def test_a_task_whose_worker_is_killed_is_tried_again_on_the_other_block(
    endpoint: Any, sdk: Callable[..., Any], octopus: OctopusConfig, wait_for: Any
) -> None:
    executor = sdk(endpoint)
    wait_for_both_blocks(executor, octopus, wait_for)
    task = executor.submit(functions.rest_once, str(endpoint.home / "once-more"), 300)
    worker = wait_until_running(lambda: task.task_id, octopus, wait_for)
    os.kill(worker, signal.SIGKILL)
    assert task.result(timeout=PATIENCE) == "the second time"
    (failure,) = failures(task_id=str(task.task_id), config=octopus)
    assert (failure.signal, failure.host, failure.pid) == (signal.SIGKILL, HOST, worker)
    (decision,) = decisions(task_id=str(task.task_id), config=octopus)
    assert (decision.action, decision.rule) == ("retry", "worker_lost.other_block")
    assert decision.placement is not None
    assert decision.placement.avoid_blocks == (failure.block,)
    assert "on another block" in decision.reason
    again = [task for task in tasks(task_id=str(task.task_id), config=octopus) if task.try_id == 1 and task.block]
    assert again and {task.block for task in again}.isdisjoint({failure.block})


def test_a_task_of_a_killed_worker_pool_is_tried_again_on_another(
    endpoint: Any, sdk: Callable[..., Any], octopus: OctopusConfig, wait_for: Any
) -> None:
    executor = sdk(endpoint)
    wait_for_both_blocks(executor, octopus, wait_for)
    first = executor.submit(functions.rest_once, str(endpoint.home / "once"), 300)
    worker = wait_until_running(lambda: first.task_id, octopus, wait_for)
    os.kill(managers(endpoint)[worker], signal.SIGKILL)
    psutil.Process(worker).kill()
    assert first.result(timeout=PATIENCE) == "the second time"
    (failure,) = failures(task_id=str(first.task_id), config=octopus)
    assert failure.categorization is not None
    assert failure.exception.type.endswith("ManagerLost")
    # Its pool was all that its block had; whether that is known by now depends on when the host last asked.
    category = failure.categorization.category
    assert category in {"block_failed", "manager_lost"}
    assert (failure.host, failure.pid) == (HOST, worker)
    (decision,) = decisions(task_id=str(first.task_id), config=octopus)
    assert (decision.action, decision.rule) == ("retry", f"{category}.other_block")
    states = [(task.try_id, task.state) for task in tasks(task_id=str(first.task_id), config=octopus)]
    assert states[-1] == (1, "exec_done")
    assert (0, "fail_retryable") in states


def test_the_tasks_of_a_killed_user_endpoint_are_told_lost_and_answered_by_the_next_one(
    endpoint: Any, sdk: Callable[..., Any], octopus: OctopusConfig, wait_for: Any
) -> None:
    executor = sdk(endpoint)
    lost = executor.submit(functions.rest, 300)
    wait_until_running(lambda: lost.task_id, octopus, wait_for)
    executor.submit(functions.rest, 1.5).result(timeout=PATIENCE)  # by then it is acknowledged
    endpoint.kill_user_endpoint()
    following = executor.submit(functions.double, 21)
    told = str(lost.exception(timeout=PATIENCE))
    assert told.strip().startswith(f"Octopus: lost_task on {HOST}, terminate: "), told
    machine = failure_text.read(told)
    assert machine is not None
    assert machine["category"] == "lost_task"
    assert following.result(timeout=PATIENCE) == 42
    (failure,) = failures(task_id=str(lost.task_id), config=octopus)
    assert (failure.host, failure.app) == (HOST, "rest")
    assert [decision.action for decision in decisions(task_id=str(lost.task_id), config=octopus)] == ["terminate"]
