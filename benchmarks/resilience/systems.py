"""The systems that are compared: ours, and the three ways in which a user of Parsl would help himself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.jobs.error_handlers import noop_error_handler
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from benchmarks.resilience.nodes import SMALL_MEMORY, SMALL_NODES, Fault, entry
from octopus_plugins.config import OctopusConfig

RETRIES = 3
HEARTBEAT_PERIOD = 2
HEARTBEAT_THRESHOLD = 6
LARGE_WORKERS = 1

Make = Callable[[Mapping[str, Fault], Path, OctopusConfig], Config]


def ours(faults: Mapping[str, Fault], directory: Path, octopus: OctopusConfig) -> Config:
    """Octopus with everything on: states, samples, heartbeats, failures, decisions, to a broker."""
    from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, WrathRetryHandler

    return _config(
        OctopusHighThroughputExecutor,
        faults,
        directory,
        {"node_heartbeat_period": float(HEARTBEAT_PERIOD)},
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retry_handler=WrathRetryHandler(ladder=["small", "large"]),
    )


def stock(faults: Mapping[str, Fault], directory: Path, octopus: OctopusConfig) -> Config:
    """Parsl as it comes, with retries."""
    return _config(HighThroughputExecutor, faults, directory)


def tuned(faults: Mapping[str, Fault], directory: Path, octopus: OctopusConfig) -> Config:
    """Parsl with retries at the front of the queue, and with executors that outlive their blocks."""
    return _config(
        HighThroughputExecutor,
        faults,
        directory,
        {"block_error_handler": noop_error_handler},
        retry_handler=to_the_front,
    )


def largest(faults: Mapping[str, Fault], directory: Path, octopus: OctopusConfig) -> Config:
    """Parsl with a handler of five lines that moves every retry to the largest pool."""
    return _config(HighThroughputExecutor, faults, directory, retry_handler=to_the_largest)


def to_the_front(exception: Exception, task_record: Any) -> float:
    """The retry handler of ``tuned``."""
    task_record["resource_specification"] = {"priority": 0}
    return 1.0


def to_the_largest(exception: Exception, task_record: Any) -> float:
    """The retry handler of ``largest``."""
    task_record["executor"] = "large"
    return 1.0


SYSTEMS: dict[str, Make] = {"ours": ours, "stock": stock, "tuned": tuned, "largest": largest}

PEERS = ("stock", "tuned", "largest")


def _config(
    executor: type[Any],
    faults: Mapping[str, Fault],
    directory: Path,
    executor_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Config:
    def pool(label: str, blocks: int, workers: int, memory: int | None, wrong: Mapping[str, Fault]) -> Any:
        return executor(
            label=label,
            address="127.0.0.1",
            max_workers_per_node=workers,
            cores_per_worker=0.1,
            heartbeat_period=HEARTBEAT_PERIOD,
            heartbeat_threshold=HEARTBEAT_THRESHOLD,
            provider=LocalProvider(
                init_blocks=blocks,
                min_blocks=blocks,
                max_blocks=blocks,
                launcher=SimpleLauncher(),
                worker_init=entry(label, memory, wrong, directory),
            ),
            **(executor_options or {}),
        )

    return Config(
        executors=[pool("small", SMALL_NODES, 1, SMALL_MEMORY, faults), pool("large", 1, LARGE_WORKERS, None, {})],
        retries=RETRIES,
        strategy_period=1.0,  # the nodes come after the first; Parsl's 5 s would make each run longer
        run_dir=str(directory / "runinfo"),
        **options,
    )
