"""Real Parsl runs: worker processes, a broker, and afterwards what is in the topics and what is left behind."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl.config import Config
from parsl.executors.base import ParslExecutor
from parsl.launchers import SimpleLauncher
from parsl.launchers.base import Launcher
from parsl.providers import LocalProvider

from octopus_plugins import decisions, failures, heartbeats, resources, runs, tasks
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Decision, Failure, Heartbeat, ResourceSample, Run, Task
from octopus_plugins.local.embedded import EmbeddedBroker
from parsl_monitor import OctopusHighThroughputExecutor

from . import processes

SITE = Path(__file__).parent / "site"
WITHOUT_COMPUTE = Path(__file__).parents[1] / "without_compute"
sys.path.insert(0, str(SITE))  # test modules import the apps when they are collected

PARSLS_PERIOD = 5
"""Seconds between the looks at an executor's blocks by default. They are started by the second look."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Workers, and whatever else a run is made of, may take a minute to start where others share the machine."""
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(400))


Workflow = Callable[[], dict[str, "Future[Any]"]]


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this process and its workers find in their environment: the apps, the scripts, an empty home of settings."""
    home = tmp_path_factory.mktemp("home")
    inherited = [str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(SITE), str(WITHOUT_COMPUTE), *inherited]))
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        yield


@dataclass
class Told:
    """What a run came to, and what the topics say of it."""

    config: OctopusConfig
    run_id: str = ""
    seconds: float = 0.0
    outcomes: dict[str, Any] = field(default_factory=dict)
    task_ids: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    run_dir: Path = Path()

    def tasks(self, name: str | None = None) -> list[Task]:
        return list(tasks(run_id=self.run_id, task_id=self._id(name), config=self.config))

    def states(self, name: str) -> list[str]:
        return [task.state for task in self.tasks(name)]

    def failures(self, name: str | None = None) -> list[Failure]:
        return list(failures(run_id=self.run_id, task_id=self._id(name), config=self.config))

    def decisions(self, name: str | None = None) -> list[Decision]:
        return list(decisions(run_id=self.run_id, task_id=self._id(name), config=self.config))

    def samples(self, name: str | None = None) -> list[ResourceSample]:
        return list(resources(run_id=self.run_id, task_id=self._id(name), config=self.config))

    def heartbeats(self) -> list[Heartbeat]:
        return list(heartbeats(run_id=self.run_id, config=self.config))

    def runs(self) -> list[Run]:
        return list(runs(run_id=self.run_id, config=self.config))

    def _id(self, name: str | None) -> str | None:
        return None if name is None else self.task_ids[name]


class _Messages(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


def _make_executor(
    label: str = "small",
    *,
    kind: type[ParslExecutor] = OctopusHighThroughputExecutor,
    nodes: int = 1,
    workers: int = 1,
    worker_init: str = "",
    launcher: Launcher | None = None,
    **options: Any,
) -> Any:
    if issubclass(kind, OctopusHighThroughputExecutor):
        options = {"sample_period": 0.1, "node_heartbeat_period": 0.5, **options}
    return kind(
        label=label,
        max_workers_per_node=workers,
        heartbeat_period=options.pop("heartbeat_period", 1),
        heartbeat_threshold=options.pop("heartbeat_threshold", 15),
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        provider=LocalProvider(
            init_blocks=nodes,
            min_blocks=nodes,
            max_blocks=nodes,
            worker_init=worker_init,
            launcher=launcher or SimpleLauncher(),
        ),
        **options,
    )


@pytest.fixture(scope="session")
def executor() -> Callable[..., Any]:
    """Make an executor with short heartbeats: label, kind, nodes, workers, worker_init, launcher, Parsl's options."""
    return _make_executor


@pytest.fixture(scope="module")
def settings(
    request: pytest.FixtureRequest, broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., OctopusConfig]:
    """Make settings for the broker, with a namespace and a spool of their own."""

    def make(**changes: Any) -> OctopusConfig:
        home = tmp_path_factory.mktemp("spool")
        return OctopusConfig.load(
            **{
                "profile": "local",
                "bootstrap_servers": broker.address,
                "namespace": f"{request.module.__name__.rpartition('.')[2]}-{home.name}",
                "spool_dir": home,
                "close_timeout": 30.0,  # so that all of it is in the topics at the end, however busy the machine
                **changes,
            }
        )

    return make


@pytest.fixture(scope="module")
def run(settings: Callable[..., OctopusConfig], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Told]:
    """Run a workflow to its end, and see that it leaves no process, thread or record behind.

    Called with the Parsl configuration and the function that starts the workflow and returns its futures by name.
    """

    def go(config: Config, workflow: Workflow, *, octopus: OctopusConfig | None = None, timeout: float = 240.0) -> Told:
        told = Told(octopus or settings())
        told.run_dir = tmp_path_factory.mktemp("run")
        config.run_dir = str(told.run_dir)
        if config.strategy_period == PARSLS_PERIOD:
            config.strategy_period = 0.5
        listener = _Messages(told.messages)
        logger = logging.getLogger("octopus_plugins")
        logger.addHandler(listener)
        try:
            with parsl.load(config) as dfk:
                told.run_id = dfk.run_id
                started = time.monotonic()
                futures = workflow()
                told.task_ids = {name: str(future.tid) for name, future in futures.items() if hasattr(future, "tid")}
                for name, future in futures.items():
                    left = max(started + timeout - time.monotonic(), 0.1)
                    error = future.exception(timeout=left)
                    told.outcomes[name] = error if error is not None else future.result()
                told.seconds = time.monotonic() - started
        finally:
            logger.removeHandler(listener)
            processes.wait_until_gone(told.run_dir)
        assert _threads_left() == set()
        return told

    return go


def _threads_left(seconds: float = 60.0) -> set[str]:
    """The threads of ours that do not end; who closes them waits for a second at most, and some take longer."""
    deadline = time.monotonic() + seconds
    while left := {thread.name for thread in threading.enumerate() if thread.name.startswith("octopus-")}:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.02)
    return set()
