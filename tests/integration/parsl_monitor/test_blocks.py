"""Blocks as Parsl counts them: the same scheduler and workflow in stock Parsl and with `enable`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import parsl
import pytest
import workflow_apps as apps
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.jobs.errors import TooManyJobFailuresError
from parsl.jobs.states import JobState, JobStatus
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from parsl_monitor import enable

from . import processes

Make = Callable[..., Any]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Scheduler(LocalProvider):
    """A scheduler that can refuse jobs, or be away: then it also knows of none of them, as Slurm's clients fail."""

    def __init__(self, **options: Any) -> None:
        super().__init__(launcher=SimpleLauncher(), **options)
        self.submits = 0
        self.refuses = False
        self.away_as: JobState | None = None

    @property
    def status_polling_interval(self) -> float:
        return 0.2

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.auto") -> object:
        self.submits += 1
        if self.refuses or self.away_as is not None:
            raise RuntimeError("sbatch: error: Batch job submission failed")
        return super().submit(command, tasks_per_node, job_name)

    def status(self, job_ids: list[object]) -> list[JobStatus]:
        if self.away_as is not None:
            return [JobStatus(self.away_as) for _ in job_ids]
        return super().status(job_ids)  # type: ignore[no-any-return]


@dataclass
class Outcome:
    submits: int = 0
    seconds: float = 0.0
    values: list[Any] = field(default_factory=list)
    bad_state: BaseException | None = None


def go(
    enabled: bool,
    run_dir: Path,
    octopus: Any,
    scheduler: Scheduler,
    workflow: Callable[[HighThroughputExecutor], list[Any]],
    **options: Any,
) -> Outcome:
    """Run a workflow, and wait for its futures."""
    pool = HighThroughputExecutor(
        label="small",
        max_workers_per_node=1,
        heartbeat_period=1,
        heartbeat_threshold=15,
        address="127.0.0.1",
        provider=scheduler,
    )
    options = {"strategy": "none", "strategy_period": 0.2, **options}
    config = Config(executors=[pool], run_dir=str(run_dir), initialize_logging=False, **options)
    if enabled:
        enable(config, octopus=octopus)
    outcome = Outcome()
    try:
        with parsl.load(config):
            begin = time.monotonic()
            futures = workflow(pool)
            outcome.values = [future.exception(timeout=200) or future.result() for future in futures]
            outcome.seconds = time.monotonic() - begin
            outcome.bad_state = pool.executor_exception
    finally:
        processes.wait_until_gone(run_dir)
    outcome.submits = scheduler.submits
    return outcome


def both(tmp_path: Path, octopus: Any, make: Callable[[], Scheduler], *args: Any, **options: Any) -> list[Outcome]:
    """The same in stock Parsl and with `enable`."""
    return [go(enabled, tmp_path / str(enabled), octopus, make(), *args, **options) for enabled in (False, True)]


def wait_until(condition: Callable[[], object], seconds: float = 100.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)


@pytest.mark.parametrize("strategy", ["none", "simple"])
def test_a_worker_init_that_fails_is_parsl_s_error_at_parsl_s_time(
    settings: Make, tmp_path: Path, strategy: str
) -> None:
    def broken() -> Scheduler:
        return Scheduler(init_blocks=1, max_blocks=3, worker_init="no-such-conda activate env || exit 127")

    stock, ours = both(
        tmp_path, settings(), broken, lambda pool: [apps.double(n) for n in range(3)], strategy=strategy, retries=2
    )
    for outcome in (stock, ours):
        assert isinstance(outcome.bad_state, TooManyJobFailuresError)
        assert "EXIT CODE: 127" in str(outcome.bad_state)
        assert "no-such-conda: command not found" in str(outcome.bad_state)
        assert all("BadState" in type(value).__name__ or value is outcome.bad_state for value in outcome.values)
    assert ours.submits == stock.submits
    assert ours.seconds <= 1.2 * stock.seconds + 2.0


@pytest.mark.parametrize(("strategy", "period"), [("none", 0.2), ("simple", 0.1)])
def test_a_scheduler_that_refuses_gets_no_more_submits_than_from_parsl(
    settings: Make, tmp_path: Path, strategy: str, period: float
) -> None:
    def refusing() -> Scheduler:
        scheduler = Scheduler(init_blocks=1, max_blocks=4)
        scheduler.refuses = True
        return scheduler

    stock, ours = both(
        tmp_path,
        settings(),
        refusing,
        lambda pool: [apps.double(n) for n in range(3)],
        strategy=strategy,
        strategy_period=period,
    )
    assert ours.submits <= stock.submits
    assert str(ours.bad_state) == str(stock.bad_state)
    assert ours.seconds <= 1.2 * stock.seconds + 2.0


@pytest.mark.parametrize("state", [JobState.UNKNOWN, JobState.COMPLETED])
def test_while_the_scheduler_is_away_tasks_go_on_as_in_parsl(settings: Make, tmp_path: Path, state: JobState) -> None:
    def healthy() -> Scheduler:
        return Scheduler(init_blocks=2, max_blocks=2)

    def workflow(pool: HighThroughputExecutor) -> list[Any]:
        wait_until(lambda: len(pool.connected_managers()) == 2)
        pool.provider.away_as = state
        futures = [apps.mark(str(tmp_path), number, 1.0) for number in range(8)]
        timer = threading.Timer(4.0, setattr, (pool.provider, "away_as", None))
        timer.start()
        return futures

    stock, ours = both(tmp_path, settings(), healthy, workflow)
    assert ours.values == stock.values == list(range(8))
    assert ours.submits == stock.submits == 2
    assert ours.bad_state is None


def lose_a_block(tmp_path: Path, tasks: int, lost: int) -> Callable[[HighThroughputExecutor], list[Any]]:
    def workflow(pool: HighThroughputExecutor) -> list[Any]:
        wait_until(lambda: len(pool.connected_managers()) == pool.provider.init_blocks)
        for job_id in list(pool.blocks_to_job_id.values())[:lost]:
            pool.provider.cancel([job_id])
        wait_until(lambda: len(pool.connected_managers()) == pool.provider.init_blocks - lost)
        return [apps.mark(str(tmp_path), number, 2.0) for number in range(tasks)]

    return workflow


@pytest.mark.parametrize(("tasks", "submits"), [(1, 4), (2, 5), (9, 7)])
def test_only_blocks_that_waiting_tasks_fill_are_bought(
    settings: Make, tmp_path: Path, tasks: int, submits: int
) -> None:
    scheduler = Scheduler(init_blocks=4, max_blocks=10)
    ours = go(True, tmp_path, settings(), scheduler, lose_a_block(tmp_path, tasks, 3))
    assert ours.values == list(range(tasks))
    assert ours.submits == submits


def test_where_parsl_s_strategy_replaces_lost_blocks_nobody_else_does(settings: Make, tmp_path: Path) -> None:
    scheduler = Scheduler(init_blocks=2, max_blocks=2)
    ours = go(True, tmp_path, settings(), scheduler, lose_a_block(tmp_path, 6, 1), strategy="simple")
    assert ours.values == list(range(6))
    assert ours.submits == 3
