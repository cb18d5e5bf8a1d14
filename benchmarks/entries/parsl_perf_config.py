"""The Parsl configurations that ``parsl-perf`` runs; read by it as a file.

The environment says which: ``BENCH_VARIANT`` is ``none``, ``octopus``, ``parsl`` or ``parsl-states``;
``BENCH_RUN_DIR`` is where Parsl writes; ``BENCH_WORKERS`` says how many workers, ``BENCH_TASK_SECONDS`` what each task
sleeps. The Octopus settings come from ``OCTOPUS_*``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from parsl import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

SECONDS = float(os.environ.get("BENCH_TASK_SECONDS", "0"))


def fresh_config() -> Config:
    """The configuration of the variant asked for. Called by parsl-perf, which loads this file twice."""
    if SECONDS:
        # parsl-perf has no option for what its tasks do: its app is a global of the script.
        sys.modules["__main__"].app = sleeping  # type: ignore[attr-defined]
    variants = {"none": _none, "octopus": _octopus, "parsl": _parsl, "parsl-states": _parsl_states}
    return variants[os.environ["BENCH_VARIANT"]]()


@python_app
def sleeping(extra_payload: Any, seconds: float = SECONDS, **rest: Any) -> int:
    """parsl-perf's app, which takes some time."""
    import time

    time.sleep(seconds)
    return 7


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


def _parsl_states() -> Config:
    from parsl.monitoring import MonitoringHub

    return _config(HighThroughputExecutor, monitoring=MonitoringHub(resource_monitoring_enabled=False))


def _config(executor: type[Any], executor_options: dict[str, Any] | None = None, **options: Any) -> Config:
    return Config(
        executors=[
            executor(
                label="htex",
                address="127.0.0.1",
                max_workers_per_node=int(os.environ.get("BENCH_WORKERS", "2")),
                provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
                **(executor_options or {}),
            )
        ],
        strategy="none",
        retries=3,
        run_dir=os.environ["BENCH_RUN_DIR"],
        **options,
    )
