"""From single runs to what is said of each scenario and system."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Spread


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one run.

    Attributes:
        scenario: Name of the scenario.
        system: Name of the system.
        seed: What chose tasks, nodes and times.
        told: What the process of the run wrote; empty where it wrote nothing.
        trouble: Why the run cannot be judged, or hung while it closed; empty when all is well.
    """

    scenario: str
    system: str
    seed: int
    told: dict[str, Any]
    trouble: str = ""

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that were submitted."""
        return list(self.told.get("tasks", ()))

    @property
    def hung(self) -> bool:
        """Whether a task, or the end of the run, did not come within the limit."""
        return not self.told or bool(self.told["hung"]) or bool(self.trouble)

    @property
    def ended_well(self) -> bool:
        """Whether all that could end well did, with the right result, and all that could not failed."""
        return bool(self.told and self.told["right"]) and all(
            task["outcome"] == ("failed" if task["doomed"] else "done") for task in self.tasks
        )

    @property
    def makespan(self) -> float | None:
        """Seconds from the first submission to the last result; None for a run that hung."""
        value: float | None = self.told.get("makespan")
        return value

    @property
    def seconds_to_failure(self) -> float | None:
        """Median time from submission to failure of its doomed tasks, infinite for one that hung; None without any."""
        times = [math.inf if task["seconds"] is None else task["seconds"] for task in self.tasks if task["doomed"]]
        return statistics.median(times) if times else None

    @property
    def wasted_tries(self) -> int:
        """Tries that ran and failed; a task whose dependency failed never ran."""
        return sum(task["failed_tries"] for task in self.tasks if not str(task["error"]).startswith("DependencyError"))


@dataclass(frozen=True, slots=True)
class Cell:
    """What is said of one system in one scenario.

    Attributes:
        runs: How many there were.
        ended_well: How many of them ended well.
        hung: How many of them hung.
        resolvable: Tasks that could end well, in all.
        resolved: How many of those did.
        to_failure: Seconds from submission to failure of the doomed tasks, by run; None without any.
        wasted: Failed tries, by run; None where no run can be judged.
        makespan: Seconds, of the runs that ended well; None where none did.
    """

    runs: int
    ended_well: int
    hung: int
    resolvable: int
    resolved: int
    to_failure: Spread | None
    wasted: Spread | None
    makespan: Spread | None


class Outcomes:
    """All runs of one invocation.

    Args:
        runs: The runs.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = tuple(runs)
        self._by_key = {(run.scenario, run.system, run.seed): run for run in self.runs}
        self.scenarios = tuple(dict.fromkeys(run.scenario for run in self.runs))
        self.systems = tuple(dict.fromkeys(run.system for run in self.runs))
        self.seeds = tuple(sorted({run.seed for run in self.runs}))

    def of(self, scenario: str, system: str) -> list[Run]:
        """The runs of a system in a scenario, by seed."""
        keys = [(scenario, system, seed) for seed in self.seeds]
        return [self._by_key[key] for key in keys if key in self._by_key]

    def cell(self, scenario: str, system: str) -> Cell:
        """What is said of a system in a scenario."""
        runs = self.of(scenario, system)
        resolvable = [task for run in runs for task in run.tasks if not task["doomed"]]
        return Cell(
            runs=len(runs),
            ended_well=sum(run.ended_well for run in runs),
            hung=sum(run.hung for run in runs),
            resolvable=len(resolvable),
            resolved=sum(task["outcome"] == "done" for task in resolvable),
            to_failure=_spread(run.seconds_to_failure for run in runs),
            wasted=_spread(float(run.wasted_tries) for run in runs if run.told),
            makespan=_spread(run.makespan for run in runs if run.ended_well),
        )

    def best_peer(self, scenario: str, peers: Sequence[str]) -> str | None:
        """The peer with the smallest median makespan among those of which at least half the runs ended well."""
        medians = {
            peer: cell.makespan.median
            for peer in peers
            if (cell := self.cell(scenario, peer)).makespan is not None and 2 * cell.ended_well >= cell.runs
        }
        return min(medians, key=lambda peer: medians[peer]) if medians else None

    def paired(
        self, scenario: str, over: str, under: str, figure: Callable[[Run], float | None], *, well: bool = True
    ) -> list[float]:
        """Ratios of a figure of two systems, seed by seed, where both have it.

        Args:
            scenario: Name of the scenario.
            over: System whose figure is divided.
            under: System by whose figure it is; an infinite one makes the ratio 0.
            figure: The figure of a run.
            well: Only seeds with which both runs ended well.
        """
        ratios = []
        for first, second in zip(self.of(scenario, over), self.of(scenario, under), strict=False):
            a, b = figure(first), figure(second)
            if a is None or not b or (well and not (first.ended_well and second.ended_well)):
                continue
            ratios.append(math.inf if math.isinf(a) else a / b)
        return ratios


def _spread(values: Iterable[float | None]) -> Spread | None:
    measured = [value for value in values if value is not None]
    return Spread.of(measured) if measured else None
