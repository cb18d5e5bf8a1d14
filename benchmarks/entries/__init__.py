"""The benchmarks by name. An entry is a function of the options; its docstring's first line says what it measures."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.entries import decision, emitter, import_time, parsl_perf, query
from benchmarks.figures import Options, Result

ENTRIES: dict[str, Callable[[Options], Result]] = {
    "parsl-perf": parsl_perf.measure,
    "emitter": emitter.measure,
    "decision": decision.measure,
    "query": query.measure,
    "import-time": import_time.measure,
}
