"""A share of the inputs fails, every time: nothing is wrong with any node."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from benchmarks.harmless.trial import Trial
from benchmarks.harmless.workload import DOOMED, IdleRule, Size, Workload

USUAL = Size(3, 1, 150)
SHORT = Size(1, 2, 60)
NAP = 0.15


def pose(number: int, fails: bool, varied: bool, seconds: float) -> int:
    """Works for a while, then may find that its input is no good."""
    time.sleep(seconds)
    if fails and varied:
        raise ValueError(f"no pose for ligand {''.join(random.Random(number).choices('CNOcno()=', k=12))}")
    if fails:
        raise ValueError("no pose for this ligand")
    return number


def simulate(number: int, fails: bool, seconds: float) -> int:
    """Needs more memory for some inputs than there is."""
    time.sleep(seconds)
    if fails:
        raise MemoryError
    return number


def point(number: int, first: int) -> int:
    """The first points of a scan are out of range and raise at once."""
    if number < first:
        raise ValueError(f"pressure {number} below the triple point")
    time.sleep(0.1)
    return number


def plugged(number: int, seconds: float) -> int:
    """Odd inputs need a module that no node has."""
    time.sleep(seconds)
    if number % 2:
        __import__(f"harmless_plugin_{number}")
    return number


def at_once(number: int) -> int:
    """Fails before it does anything, except for the last ones."""
    if number >= 0:
        raise KeyError(number)
    time.sleep(0.1)
    return number


def some_fail(share: float, *, varied: bool) -> Callable[[Trial], None]:
    """A body in which this share of the inputs fails."""

    def body(trial: Trial) -> None:
        app, chosen = trial.app(pose), random.Random(trial.seed)
        failing = set(chosen.sample(range(trial.size.tasks), max(1, round(share * trial.size.tasks))))
        for number in range(trial.size.tasks):
            fails = number in failing
            error = "ValueError" if fails else None
            trial.submit(app, number, fails, varied, NAP, value=number, error=error)

    return body


def screening(trial: Trial) -> None:
    """Few hits among many inputs that raise by design."""
    app, chosen = trial.app(simulate), random.Random(trial.seed)
    hits = set(chosen.sample(range(trial.size.tasks), trial.size.tasks // 25 + 1))
    for number in range(trial.size.tasks):
        error = None if number in hits else "MemoryError"
        trial.submit(app, number, number not in hits, 0.12, value=number, error=error)


def scan(trial: Trial) -> None:
    """A sorted scan whose first fifth is invalid."""
    app, first = trial.app(point), trial.size.tasks // 5
    for number in range(trial.size.tasks):
        trial.submit(app, number, first, value=number, error="ValueError" if number < first else None)


def plugins(trial: Trial) -> None:
    """Every second input needs a module that is nowhere."""
    app = trial.app(plugged)
    for number in range(trial.size.tasks):
        error = "ModuleNotFoundError" if number % 2 else None
        trial.submit(app, number, 0.3, value=number, error=error)


def burst(trial: Trial) -> None:
    """Many tries that fail at once, then some that work."""
    app, good = trial.app(at_once), trial.size.tasks // 9
    for number in range(trial.size.tasks - good):
        trial.submit(app, number, error="KeyError")
    for number in range(-good, 0):
        trial.submit(app, number, value=number)


def all_fail(trial: Trial) -> None:
    """Every task fails at once, at each of its tries."""
    app = trial.app(at_once)
    for number in range(trial.size.tasks):
        trial.submit(app, number, error="KeyError")


WORKLOADS = (
    Workload("share-1", "1 % of the inputs fail, one message", some_fail(0.01, varied=False), USUAL, retries=2),
    Workload("share-10", "10 % of the inputs fail, varied messages", some_fail(0.1, varied=True), USUAL, retries=2),
    Workload("share-50", "half of the inputs fail, one message", some_fail(0.5, varied=False), USUAL),
    Workload(
        "share-50-varied",
        "half of the inputs fail, varied messages",
        some_fail(0.5, varied=True),
        USUAL,
        short=Size(2, 1, 32),
    ),
    Workload(
        "share-50-retried",
        "half of the inputs fail, varied messages",
        some_fail(0.5, varied=True),
        Size(3, 1, 80),
        retries=2,
    ),
    Workload(
        "share-90", "90 % of the inputs fail, one message", some_fail(0.9, varied=False), Size(3, 1, 80), retries=1
    ),
    Workload("share-99", "99 % of the inputs fail, varied messages", some_fail(0.99, varied=True), USUAL),
    Workload("screening", "96 % of the inputs raise MemoryError by design", screening, Size(3, 2, 364), short=SHORT),
    Workload(
        "sorted-scan",
        "the first fifth of a sorted scan is invalid and raises at once",
        scan,
        Size(1, 4, 300),
        short=Size(1, 4, 300),
        warm=False,
    ),
    Workload("sorted-scan-retried", "the same, with retries", scan, Size(3, 2, 300), retries=3),
    Workload("plugins", "every second input needs a module that no node has", plugins, Size(8, 1, 160), retries=1),
    Workload("burst-500", "500 tries that fail at once, then 62 tasks of 0.1 s", burst, Size(3, 2, 562)),
    Workload(
        "doomed-3000",
        "3,000 tasks that fail at once, three times each",
        all_fail,
        Size(1, 4, 3000),
        retries=2,
        idle=IdleRule.NOT_JUDGED,
        ratio=DOOMED,
    ),
)
