"""The node agent in a real pool: it speaks from the start, and answers at once for workers that die."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
import workflow_apps as apps
from node_apps import allocate_and_die
from parsl.config import Config
from parsl.executors.high_throughput.errors import WorkerLost
from parsl.launchers import GnuParallelLauncher, SingleNodeLauncher, SrunLauncher, WrappedLauncher

from octopus_plugins import heartbeats
from parsl_monitor import OctopusMonitoringHub

from . import processes

pytestmark = pytest.mark.slow

Make = Callable[..., Any]

RARE = {"heartbeat_period": 30, "heartbeat_threshold": 120}
"""Parsl's defaults: what is found sooner, the agent has found."""


def configured(octopus: Any, executor: Any) -> Config:
    return Config(
        executors=[executor],
        monitoring=OctopusMonitoringHub(octopus=octopus) if octopus is not None else None,
        retries=0,
        strategy="none",
        initialize_logging=False,
    )


@pytest.fixture(scope="module")
def told(run: Make, executor: Make, settings: Make) -> Any:
    """A run on one node in which a worker is killed, one leaves by itself, and work goes on."""
    octopus = settings()

    def workflow() -> dict[str, Any]:
        apps.double(1).result(timeout=150)  # the workers are there: what follows is not their start
        futures = {}
        for name, app in (("killed", apps.die), ("left", apps.leave)):
            began = time.monotonic()
            futures[name] = app()
            futures[name].exception(timeout=150)
            took[name] = time.monotonic() - began
        return futures | {f"after-{number}": apps.double(number) for number in range(4)}

    took: dict[str, float] = {}
    told = run(configured(octopus, executor("small", workers=1, worker_debug=True, **RARE)), workflow, octopus=octopus)
    told.took = took
    return told


@pytest.mark.parametrize("name", ["killed", "left"])
def test_a_worker_s_death_ends_its_task_long_before_parsl_looks(told: Any, name: str) -> None:
    assert isinstance(told.outcomes[name], WorkerLost)
    assert told.took[name] < 20


@pytest.mark.parametrize(("name", "status"), [("killed", (None, 9)), ("left", (3, None))])
def test_the_failure_says_how_the_worker_ended_and_what_it_had(
    told: Any, name: str, status: tuple[int | None, int | None]
) -> None:
    (failure,) = told.failures(name)
    assert (failure.exit_code, failure.signal) == status
    assert failure.host and failure.pid and failure.worker_id == 0 and failure.manager
    assert failure.limits.open_files
    assert failure.node.memory_total and failure.node.oom_kills is not None
    assert failure.versions["octopus-plugins"]
    assert failure.started <= failure.ended


def test_its_death_is_in_the_node_s_heartbeat(told: Any) -> None:
    dead = {worker.pid: worker for beat in told.heartbeats() for worker in beat.workers if not worker.alive}
    (killed,), (left,) = told.failures("killed"), told.failures("left")
    assert dead[killed.pid].signal == 9
    assert dead[left.pid].exit_code == 3


def test_the_pool_goes_on_with_a_new_worker(told: Any) -> None:
    assert [told.outcomes[f"after-{number}"] for number in range(4)] == [0, 2, 4, 6]


def test_a_task_comes_to_the_pool_when_there_is_a_worker_for_it(told: Any) -> None:
    """Another node might have had room for it before."""
    (manager,), (worker,) = (told.run_dir.rglob(name) for name in ("manager.log", "worker_0.log"))
    died, came = _times(manager, "Worker 0 has died"), _times(manager, "Got executor tasks")
    started = _times(worker, "Worker 0 started")
    assert len(died) == 2
    for death in died:
        there = min(moment for moment in started if moment > death)
        assert min(moment for moment in came if moment > death) > (death + there) / 2


def test_only_the_pool_speaks_for_the_node(told: Any) -> None:
    speakers = {beat.pid for beat in told.heartbeats() if beat.component == "node"}
    assert len(speakers) == 1
    assert speakers.isdisjoint(task.pid for task in told.tasks())


def test_a_node_is_heard_before_it_has_any_task(executor: Make, settings: Make, tmp_path: Path, wait_for: Make) -> None:
    octopus = settings()
    config = configured(octopus, executor("idle", workers=2))
    config.run_dir = str(tmp_path / "run")
    with parsl.load(config) as dfk:
        beats: list[Any] = []

        def heard() -> bool:
            beats[:] = [beat for beat in heartbeats(run_id=dfk.run_id, config=octopus) if beat.component == "node"]
            return bool(beats)

        wait_for(heard, seconds=150)
        assert beats[0].worker_count == 2
        assert beats[0].executor == "idle"
        assert beats[0].node.memory_available
        assert all(worker.alive and worker.rss for worker in beats[0].workers)
    processes.wait_until_gone(tmp_path / "run")


def test_the_last_sample_of_a_killed_try_is_kept(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()

    def workflow() -> dict[str, Any]:
        return {"killed": allocate_and_die(200 << 20, 2.0)}

    told = run(
        configured(octopus, executor("small", sample_period=0.2, **RARE)), workflow, octopus=octopus, timeout=150
    )
    (failure,) = told.failures("killed")
    assert failure.usage.rss > 200 << 20
    assert failure.usage.peak_rss >= failure.usage.rss
    assert failure.signal == 9


def test_without_a_hub_lost_workers_are_found_as_soon(executor: Make, tmp_path: Path) -> None:
    config = configured(None, executor("plain", **RARE))
    config.run_dir = str(tmp_path / "run")
    with parsl.load(config):
        assert apps.double(2).result(timeout=150) == 4
        began = time.monotonic()
        with pytest.raises(WorkerLost):
            apps.die().result(timeout=150)
        assert time.monotonic() - began < 20
        assert apps.double(3).result(timeout=150) == 6
    processes.wait_until_gone(tmp_path / "run")


def _times(log: Path, text: str) -> list[float]:
    """When a log says something."""
    return [float(line.split()[0]) for line in log.read_text(encoding="utf-8").splitlines() if text in line]


def _is_pool(process: psutil.Process) -> bool:
    words = process.cmdline()
    return "octopus_plugins.htex.pool.launch" in words and words[0] != "sh"


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the PATH with stand-ins for the commands of schedulers: they run what they are given."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    _script(bin_dir / "srun", 'while [ "$1" != bash ]; do shift; done; exec "$@"')
    _script(bin_dir / "parallel", "read line; eval exec $line")
    monkeypatch.setenv("PATH", os.pathsep.join([str(bin_dir), os.environ["PATH"]]))
    for name, value in (("SLURM_JOB_NAME", "job"), ("SLURM_CPUS_ON_NODE", "1"), ("SLURM_JOB_NUM_NODES", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return bin_dir


@pytest.mark.parametrize(
    ("launcher", "ours"),
    [
        (SingleNodeLauncher(), True),
        (SrunLauncher(), True),
        (GnuParallelLauncher(), True),
        (WrappedLauncher(prepend="env"), False),
    ],
    ids=["single-node", "srun", "gnu-parallel", "wrapped"],
)
def test_the_command_passes_through_parsl_s_launchers(
    launcher: Any, ours: bool, stand_ins: Path, executor: Make, settings: Make, tmp_path: Path
) -> None:
    config = configured(settings(), executor("launched", launcher=launcher))
    config.run_dir = str(tmp_path / "run")
    with parsl.load(config):
        assert apps.double(2).result(timeout=150) == 4
        assert any(_is_pool(process) for process in processes.of_run(tmp_path / "run")) is ours
    processes.wait_until_gone(tmp_path / "run")


def test_where_another_interpreter_comes_first_parsl_s_own_pool_runs(
    stand_ins: Path, executor: Make, settings: Make, tmp_path: Path
) -> None:
    """As where a user's worker_init loads a Python of the system's after the environment's commands."""
    _script(stand_ins / "python3", f'[ "$1" = -m ] && exit 1; exec {shlex.quote(sys.executable)} "$@"')
    config = configured(settings(), executor("other"))
    config.run_dir = str(tmp_path / "run")
    with parsl.load(config):
        assert apps.double(2).result(timeout=150) == 4
        assert not any(_is_pool(process) for process in processes.of_run(tmp_path / "run"))
    processes.wait_until_gone(tmp_path / "run")


def test_what_lies_in_the_working_directory_does_not_stand_in_for_modules(
    executor: Make, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("parsl_monitor", "psutil", "queue", "zmq"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not me')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    config = configured(settings(), executor("small"))
    config.run_dir = str(tmp_path / "run")
    with parsl.load(config):
        assert apps.double(2).result(timeout=150) == 4
    processes.wait_until_gone(tmp_path / "run")


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
