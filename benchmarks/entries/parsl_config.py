"""Configurations of a small Parsl run, with and without monitoring. The Octopus settings come from ``OCTOPUS_*``."""

from __future__ import annotations

from typing import Any

from parsl import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

VARIANTS = ("none", "octopus", "parsl", "parsl-states")
"""No monitoring; ours with everything on; Parsl's own with resources; Parsl's own without."""


def config(variant: str, run_dir: str, workers: int = 2, **options: Any) -> Config:
    """One block of workers on this machine.

    Args:
        variant: One of `VARIANTS`.
        run_dir: Where Parsl writes.
        workers: How many.
        options: More of Parsl's ``Config``.
    """
    executor: type[Any] = HighThroughputExecutor
    of_executor: dict[str, Any] = {}
    if variant == "octopus":
        from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, WrathRetryHandler

        executor = OctopusHighThroughputExecutor
        of_executor = {"sample_period": 1.0, "node_heartbeat_period": 10.0}
        options = {"monitoring": OctopusMonitoringHub(), "retry_handler": WrathRetryHandler(), **options}
    elif variant != "none":
        from parsl.monitoring import MonitoringHub

        options["monitoring"] = MonitoringHub(
            resource_monitoring_enabled=variant == "parsl", resource_monitoring_interval=1
        )
    return Config(
        executors=[
            executor(
                label="htex",
                address="127.0.0.1",
                max_workers_per_node=workers,
                provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
                **of_executor,
            )
        ],
        strategy="none",
        retries=3,
        run_dir=run_dir,
        **options,
    )


@python_app
def sleeping(seconds: float, extra_payload: Any, parsl_resource_specification: dict[str, Any] | None = None) -> int:
    """The app of parsl-perf, which takes some time."""
    import time

    time.sleep(seconds)
    return 7
