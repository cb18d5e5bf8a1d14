"""The configurations of the workloads, as a user writes them; ours differs by one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from benchmarks.harmless.workload import Blocks, Size, Workload
from benchmarks.resilience.nodes import entry

LABEL = "h"
"""Of the usual executor; its nodes are named ``h-0``, ``h-1``, …"""

STOCK, OURS = "stock", "ours"
SYSTEMS = (STOCK, OURS)


def configuration(workload: Workload, size: Size, directory: Path, system: str) -> Config:
    """The configuration of a run.

    Args:
        workload: What runs.
        size: Of it.
        directory: Of the run.
        system: One of SYSTEMS.
    """
    make = workload.executors or (lambda workload, size, directory: [nodes(LABEL, workload, size, directory)])
    options: dict[str, Any] = {"strategy_period": 1.0, "run_dir": str(directory / "runinfo"), **workload.options}
    config = Config(executors=list(make(workload, size, directory)), retries=workload.retries, **options)
    if system == OURS:
        from parsl_monitor import enable

        enable(config)
    return config


def nodes(label: str, workload: Workload, size: Size, directory: Path) -> HighThroughputExecutor:
    """An executor whose blocks are nodes with names of their own."""
    blocks = workload.blocks or Blocks(size.nodes, size.nodes, size.nodes)
    return HighThroughputExecutor(
        label=label,
        address="127.0.0.1",
        max_workers_per_node=size.workers,
        cores_per_worker=0.01,
        provider=LocalProvider(
            init_blocks=blocks.initial,
            min_blocks=blocks.least,
            max_blocks=blocks.most,
            worker_init="\n".join(filter(None, (workload.worker_init, entry(label, None, {}, directory)))),
        ),
        **workload.pool,
    )
