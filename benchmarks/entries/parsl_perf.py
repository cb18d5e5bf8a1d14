"""Parsl's own ``parsl-perf``, with everything on, against no monitoring and against Parsl's monitoring."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.entries.parsl_perf_runs import Measured, Runs, Work
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.pairing import in_turn, ratios
from octopus_plugins.local import EmbeddedBroker

PAIRS = 7
"""Issue 6 asks for the median of at least so many."""

NAMES = {"none": "none", "octopus": "ours", "parsl": "Parsl's own"}

# Parsl's own monitoring does about 25 tasks a second.
_WORK = {"none": Work(500, 3000), "octopus": Work(500, 3000), "parsl": Work(10, 100)}
_QUICK_WORK = {"none": Work(100, 500), "octopus": Work(100, 500), "parsl": Work(4, 16)}


def measure(options: Options) -> Result:
    """Tasks/s and CPU per task of parsl-perf: no monitoring, ours with everything on, Parsl's with resources."""
    work = _QUICK_WORK if options.quick else _WORK
    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
        runs = Runs(broker, Path(directory))
        variants = {name: partial(runs.rate, name, each) for name, each in work.items()}
        rates = in_turn(variants, 1 if options.quick else options.rounds(PAIRS), _progress)
    none, ours, theirs = rates["none"], rates["octopus"], rates["parsl"]
    figures = (
        Figure("ours / none", ratios(ours, none), "×", Goal(0.9)),
        Figure("ours / Parsl's own", ratios(ours, theirs), "×", Goal(30)),
        Figure("Parsl's own / none", ratios(theirs, none), "×"),
        *(Figure(name, Spread.of(rates[variant]), "tasks/s") for variant, name in NAMES.items()),
        *_cpu(runs),
    )
    arrived = "; ".join(", ".join(f"{count:,} {what}" for what, count in run.items()) for run in runs.arrived[-1:])
    notes = (
        f"{work['none'].workers} workers, one block, no-op tasks; warm-up and counted tasks: "
        + ", ".join(f"{name} {each.warm_up:,} + {each.counted:,}" for name, each in work.items()),
        "ours: task states, worker start and end, samples every 1 s, node heartbeats, retry handler; embedded broker"
        " on the same machine. Parsl's own: MonitoringHub, resource monitoring every 1 s, SQLite.",
        "CPU: of all processes of the run while the counted tasks run, and for ours of the broker, by each task; where"
        " both cores are busy, the rate goes as its inverse, and it varies less from run to run. Events that are"
        " delivered after the last task are not in it.",
        f"counted at the topics after the last run: {arrived}. No-op tasks end before many samples fall on them.",
        *(runs.missing or ["every task event of every run was in the topic, exactly once by id"]),
    )
    return Result(
        "parsl-perf",
        "no-op tasks through one HighThroughputExecutor",
        figures,
        notes,
        {
            "tasks/s": rates,
            "cpu in µs": {name: [run.cpu for run in found] for name, found in runs.found.items()},
            "broker's cpu in µs": [run.broker_cpu for run in runs.found["octopus"]],
            "arrived": runs.arrived,
            "missing": runs.missing,
        },
    )


def _cpu(runs: Runs) -> Iterator[Figure]:
    cpu = {name: [run.cpu for run in found] for name, found in runs.found.items()}
    yield Figure("CPU per task, none / ours", ratios(cpu["none"], cpu["octopus"]), "×", Goal(0.9))
    yield Figure("CPU per task, Parsl's own / ours", ratios(cpu["parsl"], cpu["octopus"]), "×")
    for variant, name in NAMES.items():
        yield Figure(f"CPU per task, {name}", Spread.of(cpu[variant]), "µs")
    parts: dict[str, Callable[[Measured], float]] = {
        "submitting process": lambda run: run.submit_cpu,
        "interchange": lambda run: run.interchange_cpu,
        "pool and workers": lambda run: run.pool_cpu,
    }
    for part, of in parts.items():
        for variant in ("none", "octopus"):
            yield Figure(f"of {NAMES[variant]}, {part}", Spread.of(map(of, runs.found[variant])), "µs")
    yield Figure("of ours, broker", Spread.of(run.broker_cpu for run in runs.found["octopus"]), "µs")


def _progress(line: str) -> None:
    print(f"parsl-perf {line}", file=sys.stderr, flush=True)
