"""The bars: what must not be worse than with the stock engine and the stock executor."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import pairing
from benchmarks.figures import Spread
from benchmarks.harmless.judging import late


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one run.

    Attributes:
        case: Its name.
        system: Which system ran.
        pair: Number of the pair.
        ends: Seconds from the first submission to the answer of each task; None where none came.
        well: The tasks that ended well: they returned, or raised, what they must.
        runs: How often the function of each task began to run.
        finished: How often it came to its end.
        errors: What else the tasks ended with, and how many did.
        answered_twice: Tasks for which the endpoint sent more than one result.
        contradicted: Those whose results differ.
        ended_alone: User endpoints that ended under running tasks with nobody having ended them.
        wall: Seconds of the whole process.
        trouble: Why the run cannot be judged; empty where all is well.
    """

    case: str
    system: str
    pair: int
    ends: dict[str, float | None] = field(default_factory=dict)
    well: tuple[str, ...] = ()
    runs: dict[str, int] = field(default_factory=dict)
    finished: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    answered_twice: int = 0
    contradicted: int = 0
    ended_alone: int = 0
    wall: float = 0.0
    trouble: str = ""

    @classmethod
    def of(cls, case: str, system: str, pair: int, told: dict[str, Any], wall: float, trouble: str) -> Run:
        """From what the process of the run wrote; nothing where it wrote nothing."""
        tasks = told.get("tasks", [])
        first = min((task["submitted"] for task in tasks), default=0.0)
        errors: dict[str, int] = {}
        for task in tasks:
            if not task["well"]:
                error = task["error"] or "a wrong result"
                errors[error] = errors.get(error, 0) + 1
        return cls(
            case,
            system,
            pair,
            ends={task["key"]: None if task["settled"] is None else task["settled"] - first for task in tasks},
            well=tuple(task["key"] for task in tasks if task["well"]),
            runs={task["key"]: task["runs"] for task in tasks},
            finished={task["key"]: task["finished"] for task in tasks},
            errors=errors,
            answered_twice=told.get("answered_twice", 0),
            contradicted=told.get("contradicted", 0),
            ended_alone=told.get("ended_alone", 0),
            wall=wall,
            trouble="; ".join([trouble] * bool(trouble) + told.get("trouble", [])),
        )

    @property
    def most_runs(self) -> int:
        """How often the function of the task ran that ran most often."""
        return max(self.runs.values(), default=0)

    @property
    def ran_again(self) -> int:
        """How many tasks ran more than once."""
        return sum(runs > 1 for runs in self.runs.values())

    @property
    def finished_again(self) -> int:
        """How many tasks came to their end more than once: work that was done twice."""
        return sum(count > 1 for count in self.finished.values())


@dataclass(frozen=True, slots=True)
class Verdict:
    """A case, judged. Pairs of numbers are of stock and of ours.

    Attributes:
        case: Its name.
        pairs: Of runs.
        tasks: How many each run submitted.
        well: Tasks that ended well, over all pairs.
        ran_again: Tasks that ran more than once, over all pairs.
        most_runs: How often a task ran at most.
        contradicted: Tasks with two different answers, over all pairs.
        ended_alone: User endpoints that ended by themselves under running tasks, over all pairs.
        seconds: Median time to the last answer of the tasks that ended alike in both; None where there are none.
        ratio: Of these times, pair by pair.
        missed: What is worse than the bars allow, in words.
        remarks: What else a reader should know.
        flaws: Why the case itself proves nothing.
    """

    case: str
    pairs: int
    tasks: int
    well: tuple[int, int]
    ran_again: tuple[int, int]
    most_runs: tuple[int, int]
    contradicted: tuple[int, int]
    ended_alone: tuple[int, int]
    seconds: tuple[float, float] | None
    ratio: Spread | None
    missed: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Met, missed, or not measured."""
        if self.flaws:
            return "**not measured**: " + "; ".join(self.flaws)
        return "**missed**: " + "; ".join(self.missed) if self.missed else "met"


@dataclass(frozen=True, slots=True)
class LadderVerdict:
    """A case with a ladder of two endpoints, judged. Stock has no such thing: the bars are absolute.

    Attributes:
        case: Its name.
        runs: Of it.
        tasks: How many were submitted, over all runs.
        well: How many ended well.
        ran_again: How many ran more than once.
        finished_again: How many came to their end more than once.
        most_runs: How often a task ran at most.
        contradicted: Tasks with two different answers.
        seconds: Median time to the last answer; None where a task has none.
        missed: What the bars do not allow, in words.
        remarks: What else a reader should know.
    """

    case: str
    runs: int
    tasks: int
    well: int
    ran_again: int
    finished_again: int
    most_runs: int
    contradicted: int
    seconds: float | None
    missed: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Met or missed."""
        return "**missed**: " + "; ".join(self.missed) if self.missed else "met"


def judge_ladder(runs: Sequence[Run], harmful: bool) -> LadderVerdict:
    """Judge a case with a ladder.

    Args:
        runs: Of ours; at least one.
        harmful: Whether processes were ended under their tasks; else none may run twice.
    """
    tasks, well = sum(len(run.ends) for run in runs), sum(len(run.well) for run in runs)
    again, most = sum(run.ran_again for run in runs), max(run.most_runs for run in runs)
    contradicted = sum(run.contradicted for run in runs)
    ends = [[end for end in run.ends.values() if end is not None] for run in runs]
    last = [max(known) for known, run in zip(ends, runs, strict=True) if known and len(known) == len(run.ends)]
    missed = [f"{tasks - well} tasks did not end well"] if well < tasks or not tasks else []
    if again and not harmful:
        missed.append(f"{again} tasks ran again, though the endpoint was merely silent")
    missed += [f"{contradicted} tasks have two different answers"] if contradicted else []
    missed += [f"run {run.pair}: {run.trouble}" for run in runs if run.trouble]
    return LadderVerdict(
        case=runs[0].case,
        runs=len(runs),
        tasks=tasks,
        well=well,
        ran_again=again,
        finished_again=sum(run.finished_again for run in runs),
        most_runs=most,
        contradicted=contradicted,
        seconds=statistics.median(last) if len(last) == len(runs) else None,
        missed=tuple(missed),
        remarks=tuple(f"run {run.pair}: {count} × {error}" for run in runs for error, count in run.errors.items()),
    )


def judge(pairs: Sequence[tuple[Run, Run]], *, disturbed: bool = True) -> Verdict:
    """Judge a case.

    Args:
        pairs: Its runs, of stock and of ours; at least one.
        disturbed: Whether something is done to the endpoint: which tasks that hits is chance, and they are counted. In
            a case without it each task that ends well in stock must.
    """
    stock, ours = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    well = sum(len(run.well) for run in stock), sum(len(run.well) for run in ours)
    most = max(run.most_runs for run in stock), max(run.most_runs for run in ours)
    contradicted = sum(run.contradicted for run in stock), sum(run.contradicted for run in ours)
    alone = sum(run.ended_alone for run in stock), sum(run.ended_alone for run in ours)
    times = [common for pair in pairs if (common := common_times(*pair)) is not None]
    ratio = pairing.ratios([b for _, b in times], [a for a, _ in times]) if times else None
    seconds = (statistics.median(a for a, _ in times), statistics.median(b for _, b in times)) if times else None
    worse = sum(len(set(a.well) - set(b.well)) for a, b in pairs)
    missed = [f"{well[0] - well[1]} fewer tasks ended well"] if well[1] < well[0] else []
    if worse and not disturbed and not missed:
        missed.append(f"{worse} tasks ended well in stock only")
    missed += [f"a task ran {most[1]} times, in stock {most[0]}"] if most[1] > most[0] else []
    if contradicted[1] > contradicted[0]:
        missed.append(f"{contradicted[1]} tasks have two different answers, in stock {contradicted[0]}")
    if alone[1] > alone[0]:
        missed.append(f"{alone[1]} user endpoints ended under their tasks, in stock {alone[0]}")
    missed += late(ratio, *seconds) if seconds is not None else []
    missed += [f"pair {run.pair}: {run.trouble}" for run in ours if run.trouble]
    return Verdict(
        case=stock[0].case,
        pairs=len(pairs),
        tasks=len(stock[0].ends),
        well=well,
        ran_again=(sum(run.ran_again for run in stock), sum(run.ran_again for run in ours)),
        most_runs=most,
        contradicted=contradicted,
        ended_alone=alone,
        seconds=seconds,
        ratio=ratio,
        missed=tuple(missed),
        remarks=tuple(
            f"{run.system}, pair {run.pair}: {count} × {error}"
            for run in (*stock, *ours)
            for error, count in run.errors.items()
        ),
        flaws=tuple(f"stock, pair {run.pair}: {run.trouble}" for run in stock if run.trouble),
    )


def common_times(stock: Run, ours: Run) -> tuple[float, float] | None:
    """Seconds to the last answer of those tasks that were answered in both runs, and ended alike.

    A task that is never answered in stock has no time that ours could be compared to; one that fails there at once and
    ends well with a retry of ours would count against ours.
    """
    shared = [
        (stock_end, ours_end)
        for key, stock_end in stock.ends.items()
        if stock_end is not None
        and (ours_end := ours.ends.get(key)) is not None
        and (key in stock.well) is (key in ours.well)
    ]
    return (max(a for a, _ in shared), max(b for _, b in shared)) if shared else None
