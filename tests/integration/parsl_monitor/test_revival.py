"""Pools whose blocks are killed in the middle of a run: the tasks are done all the same."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import workflow_apps as apps
from parsl.config import Config
from parsl.executors.errors import BadStateException

from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler
from parsl_monitor.block_replacement import Revival

from . import processes

Make = Callable[..., Any]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def configured(executors: list[Any], octopus: Any, **handler: Any) -> Config:
    return Config(
        executors=executors,
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retry_handler=WrathRetryHandler(**handler),
        retries=4,
        strategy="none",
        strategy_period=0.2,
        initialize_logging=False,
    )


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that may be asked often; Parsl asks a LocalProvider every five seconds."""
    from parsl.providers import LocalProvider

    monkeypatch.setattr(LocalProvider, "status_polling_interval", 0.2)


def pools(run_dir: Path) -> list[psutil.Process]:
    """The worker pools of a run."""
    return [
        process
        for process in processes.of_run(run_dir)
        if any(word.startswith("--block_id=") for word in process.cmdline())
    ]


def kill_blocks(run_dir: Path, count: int = 1) -> None:
    """Kill so many worker pools, with their workers, as a node that dies does: none has time to tell of another."""
    killed = pools(run_dir)[:count]
    assert killed
    for pool in killed:
        pool.suspend()
        processes.kill([*pool.children(recursive=True), pool])


def started(path: Path) -> int:
    return sum(each.is_file() for each in path.iterdir())


def wait_until(condition: Callable[[], object], seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)


def test_a_pool_whose_only_block_is_killed_in_mid_run_does_all_its_tasks(
    run: Make, executor: Make, settings: Make, tmp_path: Path, quick_polls: None
) -> None:
    octopus = settings()
    # Parsl's own limits would find the manager lost after two minutes only: its closed connection tells sooner.
    small = executor("small", workers=2, heartbeat_period=30, heartbeat_threshold=120)
    config = configured([small], octopus)

    def workflow() -> dict[str, Any]:
        futures = {f"task-{number}": apps.mark(str(tmp_path), number, 0.3) for number in range(12)}
        wait_until(lambda: started(tmp_path) >= 5)
        kill_blocks(Path(small.run_dir))
        return futures

    told = run(config, workflow, octopus=octopus)
    assert [told.outcomes[f"task-{number}"] for number in range(12)] == list(range(12))
    assert isinstance(small.block_error_handler, Revival)
    assert not small.bad_state_is_set
    lost = told.failures()
    assert 1 <= len(lost) <= 2  # those that ran when it was killed; nobody else's try was spent
    assert {failure.exception.type.rpartition(".")[2] for failure in lost} <= {"ManagerLost", "WorkerLost"}


def test_a_block_that_is_lost_while_another_lives_is_replaced(
    run: Make, executor: Make, settings: Make, tmp_path: Path, quick_polls: None
) -> None:
    octopus = settings()
    small = executor("small", nodes=2)
    config = configured([small], octopus)

    def workflow() -> dict[str, Any]:
        futures = {f"task-{number}": apps.mark(str(tmp_path), number, 0.3) for number in range(40)}
        wait_until(lambda: len(small.connected_managers()) == 2)
        kill_blocks(Path(small.run_dir))
        wait_until(lambda: len({*small.connected_blocks()}) == 3)
        return futures

    told = run(config, workflow, octopus=octopus)
    assert [told.outcomes[f"task-{number}"] for number in range(40)] == list(range(40))


def test_an_error_handler_that_the_user_set_keeps_its_meaning(
    run: Make, executor: Make, settings: Make, tmp_path: Path, quick_polls: None
) -> None:
    octopus = settings()
    seen: list[int] = []

    def give_up(pool: Any, status: dict[str, Any]) -> None:
        seen.append(len(status))
        if status and all(job.terminal for job in status.values()):
            pool.set_bad_state_and_fail_all(RuntimeError("as the user wants it"))

    small = executor("small", block_error_handler=give_up)
    config = configured([small], octopus)

    def workflow() -> dict[str, Any]:
        futures = {"lost": apps.mark(str(tmp_path), 1, 30.0)}
        wait_until(lambda: started(tmp_path) == 1)
        kill_blocks(Path(small.run_dir))
        return futures

    told = run(config, workflow, octopus=octopus)
    assert isinstance(told.outcomes["lost"], BadStateException)
    assert "as the user wants it" in str(told.outcomes["lost"])
    assert max(seen) == 1


def test_the_tasks_of_a_pool_that_cannot_be_revived_move_on(
    run: Make, executor: Make, settings: Make, tmp_path: Path, quick_polls: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parsl_monitor.block_replacement.FIRST_INTERVAL", 0.2)
    monkeypatch.setattr("parsl_monitor.block_replacement.MAXIMUM_INTERVAL", 0.5)
    octopus = settings()
    small, large = executor("small"), executor("large")
    config = configured([small, large], octopus, ladder=["small", "large"])

    def workflow() -> dict[str, Any]:
        from parsl import python_app

        app = python_app(apps.mark.func, executors=["small"])
        futures = {f"task-{number}": app(str(tmp_path), number, 0.3) for number in range(6)}
        wait_until(lambda: started(tmp_path) >= 1)
        # From now on the scheduler takes no job.
        small.launch_cmd = "exit 1 # {block_id}"
        kill_blocks(Path(small.run_dir), 9 if len(pools(Path(small.run_dir))) == 1 else 1)
        return futures

    told = run(config, workflow, octopus=octopus)
    assert [told.outcomes[f"task-{number}"] for number in range(6)] == list(range(6))
    assert small.bad_state_is_set


def test_a_manager_that_is_killed_is_lost_in_seconds_and_one_that_is_stopped_is_not(
    run: Make, executor: Make, settings: Make, tmp_path: Path
) -> None:
    octopus = settings()
    small = executor("small", nodes=2, heartbeat_period=30, heartbeat_threshold=120)
    config = configured([small], octopus)
    gone: list[float] = []

    def workflow() -> dict[str, Any]:
        wait_until(lambda: len(small.connected_managers()) == 2)
        stopped, killed = pools(Path(small.run_dir))
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            begin = time.monotonic()
            processes.kill([*killed.children(recursive=True), killed])
            wait_until(lambda: len(small.connected_managers()) == 1, 120)
            gone.append(time.monotonic() - begin)
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        return {"after": apps.double(4)}

    told = run(config, workflow, octopus=octopus)
    assert told.outcomes["after"] == 8
    assert gone[0] < 60.0  # Parsl waits for two minutes without a heartbeat
