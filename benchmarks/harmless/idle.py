"""How long a node was idle while tasks waited, worked out from the records of a run."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.harmless.recording import Mark
from benchmarks.harmless.workload import IdleRule


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task, as far as nodes are concerned.

    Attributes:
        key: Its name in the journal.
        executor: Whose nodes may run it.
        runnable: When it was submitted and had all that it needs.
        settled: When its future was; None if never.
    """

    key: str
    executor: str
    runnable: float
    settled: float | None


@dataclass(frozen=True, slots=True)
class Up:
    """A time in which a node was connected.

    Attributes:
        name: Of the node.
        executor: Whose it is.
        since: From when.
        until: Until when.
        started: Whether its workers had run something by then. Those of others count from their first task on.
    """

    name: str
    executor: str
    since: float
    until: float
    started: bool = True


def spans(marks: Iterable[Mark], end: float) -> dict[str, list[tuple[str, float, float]]]:
    """The tries of each task: node, begin, end.

    A try without an end, as of a worker that was killed, lasts until the next one begins, or until ``end``.
    """
    found: dict[str, list[tuple[str, float, float]]] = {}
    for mark in sorted(marks, key=lambda mark: mark.time):
        tries = found.setdefault(mark.key, [])
        open_try = bool(tries) and tries[-1][2] == end
        if open_try and (mark.begins or mark.host == tries[-1][0]):
            tries[-1] = (*tries[-1][:2], mark.time)
        if mark.begins:
            tries.append((mark.host, mark.time, end))
    return found


def longest_idle(
    tasks: Sequence[Wanted],
    marks: Iterable[Mark],
    ups: Sequence[Up],
    workers: int,
    rule: IdleRule,
) -> float:
    """The longest time, in seconds, for which a node had a free worker while a task waited for one of its executor.

    Args:
        tasks: All of the run.
        marks: What the tries left behind.
        ups: When which nodes were connected.
        workers: Of each node.
        rule: When tasks count as waiting.
    """
    if rule is IdleRule.NOT_JUDGED or not tasks:
        return 0.0
    end = max([task.settled or task.runnable for task in tasks] + [up.until for up in ups])
    tries = spans(marks, end)
    longest = 0.0
    for executor in {up.executor for up in ups}:
        waiting = [
            wait
            for task in tasks
            if task.executor == executor
            for wait in waits(task, tries.get(task.key, []), end, rule)
        ]
        for up in (up for up in ups if up.executor == executor):
            busy = [(begin, over) for found in tries.values() for host, begin, over in found if host == up.name]
            first = up.since if up.started else min([begin for begin, _ in busy if begin > up.since], default=up.until)
            longest = max(longest, _longest(first, up.until, waiting, busy, workers))
    return longest


def waits(
    task: Wanted, tries: Sequence[tuple[str, float, float]], end: float, rule: IdleRule
) -> list[tuple[float, float]]:
    """When a task waited: before its first try, and before others if the rule says so."""
    if not tries:
        return [(task.runnable, task.settled or end)]
    found = [(task.runnable, tries[0][1])]
    if rule is IdleRule.EVERY_TRY:
        found += [(before[2], after[1]) for before, after in itertools.pairwise(tries)]
    return [(begin, over) for begin, over in found if over > begin]


def _longest(
    first: float,
    last: float,
    waiting: Sequence[tuple[float, float]],
    busy: Sequence[tuple[float, float]],
    workers: int,
) -> float:
    """The longest time from ``first`` to ``last`` in which something waits and fewer than ``workers`` are busy."""
    changes = [(begin, 1, 0) for begin, _ in waiting] + [(over, -1, 0) for _, over in waiting]
    changes += [(begin, 0, 1) for begin, _ in busy] + [(over, 0, -1) for _, over in busy]
    changes += [(first, 0, 0), (last, 0, 0)]
    changes.sort()
    longest, waits_now, busy_now = 0.0, 0, 0
    since: float | None = None
    for index, (moment, more_waiting, more_busy) in enumerate(changes):
        waits_now += more_waiting
        busy_now += more_busy
        if index + 1 < len(changes) and changes[index + 1][0] == moment:
            continue
        idle = first <= moment < last and waits_now > 0 and busy_now < workers
        if idle and since is None:
            since = moment
        elif not idle and since is not None:
            longest = max(longest, min(moment, last) - since)
            since = None
    return longest
