"""Something is wrong with one node, or seems to be."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

from benchmarks.harmless.recording import next_try
from benchmarks.harmless.trial import Trial
from benchmarks.harmless.workload import IdleRule, Size, Workload

BAD = "h-1"

OFTEN = 4
"""Tries of a task that a node fails which fails all of them, for what a task with five retries sees of it."""


def on_good_nodes(marker: str, fails: int, seconds: float) -> int:
    """Fails on the bad node, a number of times; fewer than there are retries, so that luck decides nothing."""
    time.sleep(seconds)
    if platform.node() == BAD and next_try(f"bad-{marker}") <= fails:
        raise OSError(5, "Input/output error", "/scratch/table")
    return fails


def anywhere(number: int, seconds: float) -> int:
    """Nothing is wrong with this one, on any node."""
    time.sleep(seconds)
    return number


def picky(number: int, fails: int, seconds: float) -> int:
    """Cannot run on the bad node."""
    time.sleep(seconds)
    if platform.node() == BAD and next_try(f"picky-{number}") <= fails:
        raise RuntimeError("this processor lacks AVX-512")
    return number


def poor_start(number: int, until: float, seconds: float) -> int:
    """Fails on the bad node for the first seconds of the run, at once."""
    if platform.node() == BAD and time.time() < until:
        time.sleep(0.2)
        raise OSError(28, "No space left on device", "/tmp/work")
    time.sleep(seconds)
    return number


def occupy(number: int, seconds: float) -> int:
    """Keeps a good node busy, and passes through the bad one."""
    if platform.node() != BAD:
        time.sleep(seconds)
    return number


def one_fails(tries: int) -> Callable[[Trial], None]:
    """A body in which the bad node fails so many tries of each task."""

    def body(trial: Trial) -> None:
        app = trial.app(on_good_nodes)
        for number in range(trial.size.tasks):
            trial.submit(app, f"task-{number}", tries, 0.25, value=tries)

    return body


def two_apps(trial: Trial) -> None:
    """One app cannot run on the bad node; the other, which most tasks are of, must not wait for that."""
    fails, works = trial.app(picky), trial.app(anywhere)
    for number in range(trial.size.tasks // 10):
        trial.submit(fails, number, OFTEN, 0.2, value=number)
        for step in range(9):
            trial.submit(works, number * 9 + step, 0.4, value=number * 9 + step)


def busy_others(trial: Trial) -> None:
    """The node fails for a moment, and is needed afterwards: all others are busy with long tasks."""
    short, long = trial.app(poor_start), trial.app(occupy)
    until = time.time() + 1.5
    for number in range(trial.size.nodes):
        trial.submit(long, number, 10.0, value=number)
    for number in range(trial.size.tasks):
        trial.submit(short, number, until, 0.6, value=number)


def deceptive(trial: Trial) -> None:
    """Inputs that fail anywhere come first; a node that gets more of them is not worse."""
    app = trial.app(odd_fail, name="deceptive")
    for number in range(trial.size.tasks):
        fails = number % 2 == 1
        trial.submit(app, number, 0.25, value=number, error="PermissionError" if fails else None)


def odd_fail(number: int, seconds: float) -> int:
    """Odd inputs may not be read."""
    time.sleep(seconds)
    if number % 2:
        raise PermissionError(13, "Permission denied", f"/data/{number}.csv")
    return number


WORKLOADS = (
    Workload(
        "bad-node",
        "one node of three fails every try",
        one_fails(OFTEN),
        Size(3, 2, 150),
        retries=5,
        idle=IdleRule.FIRST_TRY,
    ),
    Workload(
        "half-bad-node",
        "one node of three fails the first try of each task there",
        one_fails(1),
        Size(3, 2, 150),
        retries=5,
        idle=IdleRule.FIRST_TRY,
    ),
    Workload(
        "two-apps",
        "one app of two fails on one node; nine tasks of ten are of the other one",
        two_apps,
        Size(3, 2, 120),
        retries=5,
    ),
    Workload(
        "busy-others",
        "a node fails for 1.5 s and is needed afterwards, as all others are busy",
        busy_others,
        Size(3, 1, 26),
        retries=5,
    ),
    Workload(
        "everywhere", "half of the inputs fail on all of eight nodes", deceptive, Size(8, 1, 160), short=Size(3, 1, 36)
    ),
)
