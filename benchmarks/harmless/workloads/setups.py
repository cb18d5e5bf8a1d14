"""Other executors and handlers than the usual ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harmless.configuring import nodes
from benchmarks.harmless.recording import next_try
from benchmarks.harmless.trial import Trial
from benchmarks.harmless.workload import IdleRule, Size, Workload

CALLS: list[str] = []
"""For what the user's own handler was called."""


def odd_raise(number: int, seconds: float) -> int:
    """Odd inputs raise, of three kinds."""
    time.sleep(seconds)
    if number % 2:
        raise (ValueError, KeyError, RuntimeError)[number // 2 % 3](f"input {number}")
    return number


def third_time(number: int, marker: str, seconds: float) -> int:
    """Odd inputs end well at their third try."""
    time.sleep(seconds)
    if number % 2 and next_try(marker) < 3:
        raise ValueError(f"no answer for {number}")
    return number


def handler(exception: Exception, task_record: Any) -> float:
    """A handler as users write them: one kind costs half, one ends the task, one a try."""
    name = type(exception).__name__
    CALLS.append(name)
    if isinstance(exception, KeyError):
        raise exception
    return 0.5 if isinstance(exception, ValueError) else 1.0


def handled(trial: Trial) -> None:
    """Half of the tasks meet the user's own handler."""
    app = trial.app(odd_raise)
    for number in range(trial.size.tasks):
        error = ("ValueError", "KeyError", "RuntimeError")[number // 2 % 3] if number % 2 else None
        trial.submit(app, number, 0.2, value=number, error=error)
    trial.wait(80)
    trial.facts["calls of the handler"] = {name: CALLS.count(name) for name in sorted(set(CALLS))}


def threads_only(workload: Workload, size: Size, directory: Path) -> Sequence[Any]:
    """Threads of the submitting process."""
    from parsl.executors import ThreadPoolExecutor

    return [ThreadPoolExecutor(label="threads", max_threads=size.workers)]


def two_pools(workload: Workload, size: Size, directory: Path) -> Sequence[Any]:
    """Two executors with nodes, and one with threads."""
    return [
        *(nodes(label, workload, size, directory) for label in ("left", "right")),
        *threads_only(workload, size, directory),
    ]


def transient_everywhere(trial: Trial) -> None:
    """Failures that pass, on whichever executor Parsl chooses."""
    app = trial.app(third_time)
    for number in range(trial.size.tasks):
        trial.submit(app, number, f"third-{number}", 0.2, value=number)


def in_threads(trial: Trial) -> None:
    """Tasks that do nothing; every second one fails at once."""
    app = trial.app(odd_raise)
    for number in range(trial.size.tasks):
        error = ("ValueError", "KeyError", "RuntimeError")[number // 2 % 3] if number % 2 else None
        trial.submit(app, number, 0.0, value=number, error=error)


def split(trial: Trial) -> None:
    """Tasks that are bound to one of three executors each."""
    for label in ("left", "right", "threads"):
        app = trial.app(third_time, name=f"on_{label}", executors=[label])
        for number in range(trial.size.tasks // 3):
            trial.submit(app, number, f"{label}-{number}", 0.2, value=number)


WORKLOADS = (
    Workload(
        "own-handler",
        "the user's own retry handler",
        handled,
        Size(3, 2, 120),
        retries=2,
        options={"retry_handler": handler},
    ),
    Workload(
        "threads-only",
        "ThreadPoolExecutor, failures that pass",
        transient_everywhere,
        Size(0, 4, 80),
        retries=3,
        executors=threads_only,
        idle=IdleRule.NOT_JUDGED,
    ),
    Workload(
        "threads-at-once",
        "ThreadPoolExecutor, tasks that do nothing or fail at once",
        in_threads,
        Size(0, 4, 3000),
        executors=threads_only,
        idle=IdleRule.NOT_JUDGED,
    ),
    Workload(
        "three-executors",
        "two executors with nodes and one with threads, failures that pass",
        split,
        Size(1, 2, 120),
        retries=3,
        executors=two_pools,
    ),
)
