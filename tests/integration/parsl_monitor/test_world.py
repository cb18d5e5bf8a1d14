"""Inside a task, a worker looks as stock Parsl's does: the same tasks in both, with `retries=0` and nothing failing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import parsl
import psutil
import pytest
import world_apps as apps
from parsl.config import Config
from parsl.executors import HighThroughputExecutor

from parsl_monitor import enable

from . import processes

pytestmark = pytest.mark.slow

Make = Callable[..., Any]

WORKERS = 2

OF_A_PROCESS = {"hash", "draw", "pid"}
"""What differs from worker to worker, of one pool as well."""

SEEN = {"modules", "memory", "threads", "tasks"}
"""What docs/workers.md says under "What a task can see of us"; tests of their own say how far it goes."""


@dataclass
class World:
    """What the tasks of one run saw.

    Attributes:
        workers: Each worker, as its first task described it.
        later: One of them, as a later task described it.
        pools: What the tasks saw that started a ``multiprocessing.Pool``, one after the other on the same worker.
        noise: What the pool's job had written to its standard error and output before it ended: at the end, some of it
            depends on what ends first, with stock Parsl too.
    """

    workers: list[dict[str, Any]] = field(default_factory=list)
    later: dict[str, Any] = field(default_factory=dict)
    pools: list[dict[str, Any]] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def lived(executor: Make, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Config], Any]], World]:
    """Run the same workflow under a configuration that is first handed to a function."""

    def live(prepare: Callable[[Config], Any]) -> World:
        place = tmp_path_factory.mktemp("world")
        world = World()

        def look(workers: int) -> list[Any]:
            meeting = place / f"meeting-{workers}"
            meeting.mkdir()
            futures = [apps.look(str(meeting), workers - 1) for _ in range(workers)]
            return [future.result(timeout=150) for future in futures]

        for workers in (WORKERS, 1):
            run_dir = place / f"run-{workers}"
            config = _configured(executor, run_dir, workers)
            prepare(config)
            with parsl.load(config):
                if workers > 1:
                    world.workers = look(workers)
                else:
                    world.pools = [apps.children_see(value).result(timeout=150) for value in "12"]
                    (world.later,) = look(workers)
                world.noise += [
                    line
                    for file in sorted(run_dir.rglob("submit_scripts/*.sh.*"))
                    for line in file.read_text(encoding="utf-8").splitlines()
                ]
            processes.wait_until_gone(run_dir)
        world.workers.sort(key=lambda worker: str(worker["environment"]["PARSL_WORKER_RANK"]))
        return _without_names_of_the_run(world, place)

    return live


@pytest.fixture(scope="module")
def stock(lived: Make) -> World:
    return cast(World, lived(lambda config: config))


@pytest.fixture(scope="module")
def ours(lived: Make, enabled: Make) -> World:
    return cast(World, lived(enabled))


@pytest.fixture(scope="module")
def enabled(settings: Make) -> Callable[[Config], Config]:
    octopus = settings()
    return lambda config: enable(config, octopus=octopus, sample_period=0.1, heartbeat_period=0.5)


def test_every_worker_is_as_stock_parsl_s(stock: World, ours: World) -> None:
    for theirs, own in zip([*stock.workers, stock.later], [*ours.workers, ours.later], strict=True):
        assert _but(own, OF_A_PROCESS | SEEN) == _but(theirs, OF_A_PROCESS | SEEN)


def test_no_two_workers_share_a_hash_seed_or_random_numbers(ours: World) -> None:
    for name in OF_A_PROCESS:
        assert len({worker[name] for worker in ours.workers}) == WORKERS


def test_a_task_s_own_pool_sees_that_task_s_environment_and_leaves_nothing(stock: World, ours: World) -> None:
    assert ours.pools == stock.pools == [{"own": value, "child": value, "left": []} for value in "12"]


def test_nothing_else_is_written_to_the_job_s_output(stock: World, ours: World) -> None:
    assert ours.noise == stock.noise


def test_what_is_left_to_see_of_us_is_what_the_page_says(stock: World, ours: World) -> None:
    for theirs, own in zip([*stock.workers, stock.later], [*ours.workers, ours.later], strict=True):
        added = set(own["modules"]) - set(theirs["modules"])
        assert {name.partition(".")[0] for name in added} == {"octopus_plugins", "parsl_monitor"}
        assert set(own["memory"]) == {"memfd:octopus-board", "memfd:octopus-tasks"}
        assert set(own["threads"]) <= set(theirs["threads"])
        assert own["tasks"] <= theirs["tasks"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_pool_that_is_killed_leaves_no_more_behind_than_stock_parsl_s(
    executor: Make, enabled: Make, tmp_path: Path, wait_for: Make, how: signal.Signals
) -> None:
    left: list[list[psutil.Process]] = []
    try:
        for name, prepare in (("stock", lambda config: config), ("ours", enabled)):
            config = _configured(executor, tmp_path / name, 1)
            prepare(config)
            left.append([])
            with parsl.load(config):
                left[-1] += _kill_pool(apps.family(), how)
        theirs, own = left
        wait_for(lambda: _kinds(own) == _kinds(theirs), seconds=60)
    finally:
        processes.kill([process for of_one in left for process in of_one])
    for name in ("stock", "ours"):
        processes.wait_until_gone(tmp_path / name)


def _kill_pool(family: Any, how: signal.Signals) -> list[psutil.Process]:
    """Kill a pool, wait for the end of the worker that ran the task, and return what was started with it."""
    parent, worker = family.result(timeout=150)
    pool = psutil.Process(parent)
    started = pool.children(recursive=True)
    os.kill(parent, how)
    _, alive = psutil.wait_procs([pool, psutil.Process(worker)], timeout=60)
    assert not alive
    names = [entry.name for entry in Path("/dev/shm").iterdir()]
    assert not [name for name in names if f"-{parent}-" in name or f"-{worker}-" in name]
    return started


def _kinds(started: list[psutil.Process]) -> list[str]:
    return sorted(apps.kind(process.pid) for process in started if process.is_running())


def _configured(executor: Make, run_dir: Path, workers: int) -> Config:
    return Config(
        executors=[executor("world", kind=HighThroughputExecutor, workers=workers)],
        run_dir=str(run_dir),
        retries=0,
        strategy="none",
        initialize_logging=False,
    )


def _but(found: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: what for name, what in found.items() if name not in names}


def _without_names_of_the_run(world: World, place: Path) -> World:
    """What differs in any two runs, also of the same kind, is made the same: directories, pools, jobs."""
    text = json.dumps(vars(world)).replace(str(place), "PLACE")
    for variable in ("PARSL_WORKER_POOL_ID", "JOBNAME"):
        for worker in [*world.workers, world.later]:
            text = text.replace(str(worker["environment"][variable]), variable)
    return World(**json.loads(text))
