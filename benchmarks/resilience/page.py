"""The results as a page of the documentation, and on the screen."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from benchmarks import tables
from benchmarks.figures import Spread
from benchmarks.resilience.goals import Verdict
from benchmarks.resilience.nodes import SMALL_MEMORY, SMALL_NODES
from benchmarks.resilience.outcomes import Outcomes
from benchmarks.resilience.scenarios import FAN_IN, MAPS, SCENARIOS
from benchmarks.resilience.systems import HEARTBEAT_PERIOD, HEARTBEAT_THRESHOLD, RETRIES

_COLUMNS = (
    "scenario",
    "system",
    "runs ended well",
    "resolvable tasks done",
    "doomed: s to failure",
    "failed tries a run",
    "makespan, s",
    "hung",
)
_INTRODUCTION = f"""
Each run is a graph of {MAPS} tasks of 50–200 ms, {MAPS // FAN_IN} that add up {FAN_IN} of them each, and a last one.
They are sent to an executor `small` of {SMALL_NODES} nodes (one worker each, {SMALL_MEMORY} MiB of address space); an
executor `large` has one node with no limit. `retries={RETRIES}`, heartbeats {HEARTBEAT_PERIOD} s /
{HEARTBEAT_THRESHOLD} s for all systems. The nodes are processes of one machine with host names, limits, environments
and mounts of their own; the failures have real causes.

- **ours**: `OctopusHighThroughputExecutor`, `OctopusMonitoringHub`, `WrathRetryHandler(ladder=["small", "large"])`;
  everything is streamed to a broker on the same machine.
- **stock**: Parsl as it comes. **tuned**: retries have priority, and executors outlive their blocks. **largest**: a
  handler of five lines moves every retry to `large`.
- A run **ends well** when every task that can end well does, with the right result, and every doomed one fails. A task
  that is not settled within the limit **hung**. Times run from the first submission, when all workers are warm. The
  makespan is that of the runs that ended well.
- Doomed tasks are submitted early: how long a first try waits is nobody's merit. The best peer is the one with the
  smallest median makespan among those of which at least half the runs end well; ratios are taken seed by seed.
""".strip().splitlines()

_GOALS = ("goal", "must be", "is", "verdict")


def rows(outcomes: Outcomes) -> list[tuple[str, ...]]:
    """One row for each scenario and system."""
    found: list[tuple[str, ...]] = []
    for scenario in outcomes.scenarios:
        for system in outcomes.systems:
            cell = outcomes.cell(scenario, system)
            if cell.runs:
                found.append(
                    (
                        scenario,
                        system,
                        f"{cell.ended_well} of {cell.runs}",
                        f"{cell.resolved} of {cell.resolvable}",
                        _spread(cell.to_failure),
                        _spread(cell.wasted, "g"),
                        _spread(cell.makespan),
                        str(cell.hung or ""),
                    )
                )
    return found


def show(outcomes: Outcomes, found: list[Verdict], console: Console) -> None:
    """Print both tables."""
    table = Table(title="What came of it")
    for column in _COLUMNS:
        table.add_column(column)
    for row in rows(outcomes):
        table.add_row(*row, end_section=row[1] == outcomes.systems[-1])
    console.print(table)
    tables.show("Goals", _GOALS, _goals(found), console)


def markdown(outcomes: Outcomes, found: list[Verdict], machine: Mapping[str, str], command: str, plot: str) -> str:
    """The page."""
    return "\n".join(
        [
            "# Resilience",
            "",
            f"Written by `{command}` on {time.strftime('%Y-%m-%d', time.gmtime())}; do not edit.",
            "",
            *_INTRODUCTION,
            "",
            "Medians, with the smallest and largest. Machine: "
            + "; ".join(f"{name} {value}" for name, value in machine.items())
            + ".",
            "",
            f"![Runs that end well, and makespans]({plot})",
            "",
            "## Goals",
            "",
            *tables.markdown(_GOALS, _goals(found)),
            "",
            "## Scenarios",
            "",
            *(f"- `{name}`: {SCENARIOS[name].title}." for name in outcomes.scenarios),
            "",
            *tables.markdown(_COLUMNS, rows(outcomes)),
            "",
            *_troubles(outcomes),
        ]
    )


def _goals(found: list[Verdict]) -> list[tuple[str, ...]]:
    return [(verdict.name, verdict.goal, verdict.value, verdict.text) for verdict in found]


def _troubles(outcomes: Outcomes) -> list[str]:
    told = [f"- {run.scenario}, {run.system}, seed {run.seed}: {run.trouble}" for run in outcomes.runs if run.trouble]
    return ["## What could not be judged", "", *told, ""] if told else []


def _spread(spread: Spread | None, form: str = ".2f") -> str:
    if spread is None:
        return ""
    median, low, high = (
        "never" if math.isinf(value) else f"{value:{form}}" for value in (spread.median, spread.low, spread.high)
    )
    return median if low == high else f"{median} ({low} – {high})"
