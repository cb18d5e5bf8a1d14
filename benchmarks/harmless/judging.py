"""The bars: what must not be worse than in stock Parsl."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import pairing
from benchmarks.figures import Spread
from benchmarks.harmless.idle import Up, Wanted, longest_idle
from benchmarks.harmless.recording import Mark
from benchmarks.harmless.workload import RATIO, IdleRule

SLACK, SLACK_BELOW = 0.5, 4.0
"""The median makespan may be so many seconds longer, where that of stock Parsl is shorter than so many."""

PAIRS = 5
"""From so many pairs on, makespans are judged by the ratio; below, only what stands out is missed: both of …"""

STANDS_OUT, STANDS_OUT_SECONDS = 2.0, 5.0

IDLE = 10.0
"""Seconds for which a node may be idle while a task waits."""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one run.

    Attributes:
        workload: Its name.
        system: Which system ran.
        pair: Number of the pair; also the seed.
        tasks: How many were submitted.
        well: How many ended well, with the right result.
        unexpected: How the others ended that should not have, with how many did.
        makespan: Seconds from the first submission to the last result; None where a task never ended.
        wall: Seconds of the whole process.
        submits: Blocks that were submitted.
        idle: Longest time for which a node was idle while a task waited, seconds.
        facts: What both systems must agree on.
        trouble: Why the run cannot be judged, or did not close; empty where all is well.
    """

    workload: str
    system: str
    pair: int
    tasks: int
    well: int
    unexpected: dict[str, int]
    makespan: float | None
    wall: float
    submits: int
    idle: float
    facts: dict[str, Any]
    trouble: str = ""

    @classmethod
    def of(
        cls, workload: str, system: str, pair: int, told: dict[str, Any], rule: IdleRule, wall: float, trouble: str
    ) -> Run:
        """From what the process of the run wrote; nothing where it wrote nothing."""
        tasks = told.get("tasks", [])
        unexpected: dict[str, int] = {}
        for task in tasks:
            if not task["expected"]:
                error = (task["error"] or "ended well").partition(":")[0]
                unexpected[error] = unexpected.get(error, 0) + 1
        idle = longest_idle(
            [Wanted(task["key"], task["executor"], task["runnable"], task["settled"]) for task in tasks],
            [Mark(*mark) for mark in told.get("marks", [])],
            [Up(*up) for up in told.get("nodes", [])],
            told.get("workers", 1),
            rule,
        )
        return cls(
            workload,
            system,
            pair,
            tasks=len(tasks),
            well=sum(task["well"] for task in tasks),
            unexpected=unexpected,
            makespan=told.get("makespan"),
            wall=wall,
            submits=told.get("submits", 0),
            idle=idle,
            facts=told.get("facts", {}),
            trouble=trouble,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """A workload, judged.

    Attributes:
        workload: Its name.
        tasks: How many each run submitted.
        stock: Median makespan of stock Parsl, seconds.
        ours: Median makespan of ours, seconds.
        ratio: Of the makespans, pair by pair; infinite where ours never ended. None where stock never did.
        well: Tasks that ended well over all pairs, in stock and in ours.
        idle: Longest time for which a node of ours was idle while a task waited, seconds.
        submits: Median number of blocks submitted, in stock and in ours.
        missed: What is worse than the bars allow, in words.
        remarks: What else a reader should know.
        flaws: Why the workload itself proves nothing.
    """

    workload: str
    tasks: int
    stock: float | None
    ours: float | None
    ratio: Spread | None
    well: tuple[int, int]
    idle: float
    submits: tuple[float, float]
    missed: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Met, missed, or not measured."""
        if self.flaws:
            return "**not measured**: " + "; ".join(self.flaws)
        return "**missed**: " + "; ".join(self.missed) if self.missed else "met"


def judge(pairs: Sequence[tuple[Run, Run]], rule: IdleRule, most: float = RATIO) -> Verdict:
    """Judge a workload.

    Args:
        pairs: Its runs, of stock and of ours; at least one.
        rule: When tasks count as waiting.
        most: So many times the makespan of stock Parsl it may take.
    """
    stock, ours = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    well = sum(run.well for run in stock), sum(run.well for run in ours)
    missed = [f"{well[0] - well[1]} fewer tasks done"] if well[1] < well[0] else []
    missed += _unlike(pairs)
    missed += [f"pair {run.pair}: {run.trouble}" for run in ours if run.trouble]
    ratio = _ratio(pairs)
    missed += late(ratio, _middle(stock), _middle(ours), most)
    idle = max(run.idle for run in ours)
    if rule is not IdleRule.NOT_JUDGED and idle > IDLE:
        missed.append(f"a node idle for {idle:.1f} s")
    flaws = [f"stock, pair {run.pair}: {run.trouble}" for run in stock if run.trouble]
    flaws += [f"stock, pair {run.pair}: {_ends(run)}" for run in stock if run.unexpected]
    return Verdict(
        workload=stock[0].workload,
        tasks=stock[0].tasks,
        stock=_middle(stock),
        ours=_middle(ours),
        ratio=ratio,
        well=well,
        idle=idle,
        submits=(statistics.median(run.submits for run in stock), statistics.median(run.submits for run in ours)),
        missed=tuple(missed),
        remarks=tuple(f"ours, pair {run.pair}: {_ends(run)}" for run in ours if run.unexpected),
        flaws=tuple(flaws),
    )


def _unlike(pairs: Sequence[tuple[Run, Run]]) -> list[str]:
    """The facts on which the systems do not agree, each once."""
    found = {}
    for stock, ours in pairs:
        if not ours.trouble:
            for name, value in stock.facts.items():
                if ours.facts.get(name) != value:
                    found[name] = f"{name} is {ours.facts.get(name)!r} and in stock {value!r}"
    return list(found.values())


def _ratio(pairs: Sequence[tuple[Run, Run]]) -> Spread | None:
    measured = [(pair[0].makespan, pair[1].makespan) for pair in pairs]
    timed = [(stock, math.inf if ours is None else ours) for stock, ours in measured if stock]
    return pairing.ratios([ours for _, ours in timed], [stock for stock, _ in timed]) if timed else None


def late(ratio: Spread | None, stock: float | None, ours: float | None, most: float = RATIO) -> list[str]:
    """What is missed of the time: nothing, or one line.

    Args:
        ratio: Of the makespans, pair by pair; None where stock never ended.
        stock: Median makespan, seconds; None where it never ended.
        ours: The same of ours.
        most: So many times that of stock Parsl it may be.
    """
    if ratio is None or stock is None:
        return []
    if ours is None or math.isinf(ratio.median):
        return ["tasks that never ended"]
    if ratio.count < PAIRS:
        late = ratio.median > STANDS_OUT and ours - stock > STANDS_OUT_SECONDS
    else:
        late = ratio.median > most and not (stock < SLACK_BELOW and ours - stock <= SLACK)
    return [f"makespan {ratio.median:.2f} ×"] if late else []


def _middle(runs: Sequence[Run]) -> float | None:
    """Median makespan; None where half of the runs or more never ended."""
    value = statistics.median(math.inf if run.makespan is None else run.makespan for run in runs)
    return None if math.isinf(value) else value


def _ends(run: Run) -> str:
    return ", ".join(f"{count} × {error}" for error, count in sorted(run.unexpected.items()))
