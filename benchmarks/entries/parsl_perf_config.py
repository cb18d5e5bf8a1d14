"""The Parsl configurations that ``parsl-perf`` runs; read by it as a file.

The environment says which: ``BENCH_VARIANT`` is ``none``, ``octopus`` or ``parsl``; ``BENCH_RUN_DIR`` is where
Parsl writes. The Octopus settings come from ``OCTOPUS_*``.
"""

from __future__ import annotations

import os
from typing import Any

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

WORKERS = 2


def fresh_config() -> Config:
    """The configuration of the variant asked for. Called by parsl-perf, which loads this file twice."""
    variant = os.environ["BENCH_VARIANT"]
    return {"none": _none, "octopus": _octopus, "parsl": _parsl}[variant]()


def _none() -> Config:
    return _config(HighThroughputExecutor)


def _octopus() -> Config:
    from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, WrathRetryHandler

    return _config(
        OctopusHighThroughputExecutor,
        {"sample_period": 1.0, "node_heartbeat_period": 10.0},
        monitoring=OctopusMonitoringHub(),
        retry_handler=WrathRetryHandler(),
    )


def _parsl() -> Config:
    from parsl.monitoring import MonitoringHub

    return _config(
        HighThroughputExecutor,
        monitoring=MonitoringHub(resource_monitoring_enabled=True, resource_monitoring_interval=1),
    )


def _config(executor: type[Any], executor_options: dict[str, Any] | None = None, **options: Any) -> Config:
    return Config(
        executors=[
            executor(
                label="htex",
                address="127.0.0.1",
                max_workers_per_node=WORKERS,
                provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
                **(executor_options or {}),
            )
        ],
        strategy="none",
        retries=3,
        run_dir=os.environ["BENCH_RUN_DIR"],
        **options,
    )
