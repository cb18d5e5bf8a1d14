"""The benchmarks by name. An entry is a function of the options; its docstring's first line says what it measures."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.entries import (
    compression,
    decider,
    decider_speed,
    decision,
    emitter,
    engine,
    import_time,
    memory,
    parsl_matrix,
    parsl_perf,
    query,
    round_trip,
    samples,
    scale,
    shutdown,
)
from benchmarks.figures import Options, Result

ENTRIES: dict[str, Callable[[Options], Result]] = {
    "parsl-perf": parsl_perf.measure,
    "parsl-matrix": parsl_matrix.measure,
    "scale": scale.measure,
    "samples": samples.measure,
    "engine": engine.measure,
    "emitter": emitter.measure,
    "compression": compression.measure,
    "decision": decision.measure,
    "query": query.measure,
    "decider": decider.measure,
    "round-trip": round_trip.measure,
    "decider-speed": decider_speed.measure,
    "memory": memory.measure,
    "shutdown": shutdown.measure,
    "import-time": import_time.measure,
}
