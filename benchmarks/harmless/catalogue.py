"""All workloads, by name."""

from __future__ import annotations

from benchmarks.harmless.workload import Workload
from benchmarks.harmless.workloads import (
    families,
    mishaps,
    nodes,
    processes,
    scaling,
    setups,
    shapes,
    shares,
    transients,
)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for module in (shares, families, transients, nodes, mishaps, scaling, shapes, processes, setups)
    for workload in module.WORKLOADS
}
