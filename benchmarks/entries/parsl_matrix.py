"""``parsl-perf`` with other workers, tasks and arguments, and Parsl's own monitoring of states only."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.entries.parsl_perf_runs import Runs, Work
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.pairing import in_turn, ratios
from octopus_plugins.local import EmbeddedBroker

PAIRS = 3
"""There are many of these; `parsl-perf` has the figure that the goal is about, with more pairs."""

_NAMES = {"none": "none", "octopus": "ours", "parsl-states": "Parsl's own, states only"}


@dataclass(frozen=True, slots=True)
class Point:
    """One kind of run.

    Attributes:
        work: What parsl-perf does.
        variants: What is compared.
    """

    work: Work
    variants: tuple[str, ...] = ("none", "octopus")


def points(quick: bool) -> list[Point]:
    """The runs: workers 1 to 4; no parsl.log; tasks of 10 ms; arguments of 100 kB; Parsl's own with states only."""
    warm_up, counted = (50, 200) if quick else (500, 2000)
    others = [Point(Work(warm_up, counted, workers)) for workers in (() if quick else (1, 3, 4))]
    return [
        Point(Work(warm_up, counted), (*_NAMES,)),
        *others,
        Point(Work(warm_up, counted, log=False)),
        Point(Work(warm_up // 5, counted // 2, seconds=0.01)),
        Point(Work(warm_up // 5, counted // 2, argument=100_000)),
    ]


def measure(options: Options) -> Result:
    """parsl-perf by workers, without Parsl's log, 10 ms tasks, 100 kB arguments; Parsl's own with states only."""
    asked = points(options.quick)
    rounds = 1 if options.quick else options.rounds(PAIRS)
    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
        runs = Runs(broker, Path(directory))
        rates: dict[str, list[float]] = {}
        for point in asked:
            variants: dict[str, Callable[[], float]] = {
                (series := f"{point.work}: {variant}"): partial(runs.rate, variant, point.work, series)
                for variant in point.variants
            }
            rates |= in_turn(variants, rounds, _progress)
    figures = [figure for point in asked for figure in _figures(point, runs, rates)]
    notes = (
        "one block; "
        + "; ".join(f"{point.work}: {point.work.warm_up:,} + {point.work.counted:,} tasks" for point in asked),
        "CPU: of all processes of a run and, for ours, of the broker, as in `parsl-perf`; where workers sleep, the rate"
        " says nothing of the cost and the CPU does. Parsl's own, states only: no resource_monitoring_enabled",
        *(runs.missing or ["every task event of every run was in the topic, exactly once by id"]),
    )
    cpu = {series: [run.cpu for run in found] for series, found in runs.found.items()}
    raw = {"tasks/s": rates, "cpu in µs": cpu, "arrived": runs.arrived, "missing": runs.missing}
    return Result("parsl-matrix", "parsl-perf with other workers, tasks and arguments", tuple(figures), notes, raw)


def _figures(point: Point, runs: Runs, rates: dict[str, list[float]]) -> list[Figure]:
    series = {variant: f"{point.work}: {variant}" for variant in point.variants}
    cpu = {variant: [run.cpu for run in runs.found[name]] for variant, name in series.items()}
    goal = Goal(0.9)
    figures = [
        Figure(f"{point.work}: ours / none", ratios(rates[series["octopus"]], rates[series["none"]]), "×", goal),
        Figure(f"{point.work}: CPU per task, none / ours", ratios(cpu["none"], cpu["octopus"]), "×", goal),
    ]
    if "parsl-states" in series:
        theirs, said = series["parsl-states"], _NAMES["parsl-states"]
        figures += [
            Figure(f"{point.work}: ours / {said}", ratios(rates[series["octopus"]], rates[theirs]), "×"),
            Figure(f"{point.work}: CPU per task, {said} / ours", ratios(cpu["parsl-states"], cpu["octopus"]), "×"),
        ]
    for variant, name in series.items():
        figures += [
            Figure(f"{point.work}: {_NAMES[variant]}", Spread.of(rates[name]), "tasks/s"),
            Figure(f"{point.work}: CPU per task, {_NAMES[variant]}", Spread.of(cpu[variant]), "µs"),
        ]
    return figures


def _progress(line: str) -> None:
    print(f"parsl-matrix {line}", file=sys.stderr, flush=True)
