"""A decision in the workflow's own process, with ever more history, and the memory that the history takes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.entries.sample_events import BEGIN, RUN_ID, failure
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from octopus_plugins.events import Categorization, Failure, Pool, Run, Task
from octopus_plugins.wrath import History, categorize, decide, policy_from

SIZES = (10, 1_000, 100_000, 1_000_000)
"""Failures recorded before."""

FLAT = 1.25
"""How much longer a decision may take with the most failures before than with the fewest."""

MEMORY = 256.0
"""MiB that a history may take, whatever the run's size."""

_POOLS = (
    Pool(label="small", observed=True, steerable=True, memory_per_worker=2 << 30, maximum_nodes=64),
    Pool(label="large", observed=True, steerable=True, memory_per_worker=64 << 30, maximum_nodes=8),
)
_ROOT = Path(__file__).resolve().parents[2]


def measure(options: Options) -> Result:
    """Categorise, decide and remember one failure: p50 and p99; memory after a million failures and tasks."""
    sizes = SIZES[:2] if options.quick else SIZES
    decisions = 300 if options.quick else 3_000
    _grow((10,), 300)  # the first decisions of a process load what they need
    runs = [_grow(sizes, decisions) for _ in range(options.rounds(2))]
    timed = {size: [run[size] for run in runs] for size in sizes}
    goals = (Goal(50, at_least=False), Goal(1000, at_least=False), None)
    figures = [
        Figure(f"{name} with {size:,} failures before", Spread.of(run[place] for run in measured), "µs", goal)
        for size, measured in timed.items()
        for place, (name, goal) in enumerate(zip(("p50", "p99", "p50 of observing both"), goals, strict=True))
    ]
    flat = Spread.of(run[sizes[-1]][0] / run[sizes[0]][0] for run in runs)
    figures.append(
        Figure(f"p50 with {sizes[-1]:,} before, in p50 with {sizes[0]:,}", flat, "×", Goal(FLAT, at_least=False))
    )
    count = 10_000 if options.quick else 1_000_000
    for kind in ("failures", "tasks"):
        taken = Spread.of([_memory(kind, count)])
        figures.append(Figure(f"memory after {count:,} {kind}", taken, "MiB", Goal(MEMORY, at_least=False)))
    notes = (
        f"{decisions:,} decisions at each size, of three kinds in turn: out of memory, a missing module, a bug;"
        " ladder of two executors, 64 nodes; the history grows from one size to the next",
        "one decision is categorize and decide; observing is what follows it: failure and decision",
        "memory: growth of the resident set of a process of its own; tasks: three events each, 1 % fail once",
    )
    return Result(
        "decision",
        "in process",
        tuple(figures),
        notes,
        {"p50, p99, observing in µs": {str(k): v for k, v in timed.items()}},
    )


def _grow(sizes: Iterable[int], decisions: int) -> dict[int, tuple[float, float, float]]:
    """p50 and p99 of a decision, and p50 of observing it, in µs, at each size of one growing history."""
    policy, history = policy_from(None, ladder=["small", "large"]), _history()
    known = _categorizations(history)
    number = 0
    found = {}
    for size in sizes:
        while number < size:
            history.observe(_categorized(number, known))
            number += 1
        decided, observed = [], []
        for fresh in map(failure, range(number, number + decisions)):
            begin = time.perf_counter_ns()
            categorized = msgspec.structs.replace(fresh, categorization=categorize(fresh, history))
            decision = decide(categorized, history, policy)
            between = time.perf_counter_ns()
            history.observe(categorized)
            history.observe(decision)
            decided.append((between - begin) / 1000)
            observed.append((time.perf_counter_ns() - between) / 1000)
        number += decisions
        decided.sort()
        found[size] = (
            decided[len(decided) // 2],
            decided[len(decided) * 99 // 100],
            sorted(observed)[len(observed) // 2],
        )
    return found


def _history() -> History:
    history = History()
    history.observe(Run(run_id=RUN_ID, time=BEGIN, state="configured", retries=5, pools=_POOLS))
    history.observe(Task(run_id=RUN_ID, task_id="first", time=BEGIN, state="pending"))  # its tasks are heard of
    return history


def _categorizations(history: History) -> list[Categorization]:
    return [categorize(failure(number), history) for number in range(3)]


def _categorized(number: int, known: list[Categorization]) -> Failure:
    return msgspec.structs.replace(failure(number), categorization=known[number % len(known)])


def _memory(kind: str, count: int) -> float:
    code = f"from benchmarks.entries.decision import grown; print(grown({kind!r}, {count}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def grown(kind: str, count: int) -> float:
    """MiB by which the resident set grows when a history takes in a run.

    Args:
        kind: ``failures``: each of another task that is never heard of again; ``tasks``: each ends well, 1 % at the
            second try.
        count: How many.
    """
    history = _history()
    known = _categorizations(history)
    before = _resident()
    if kind == "failures":
        for number in range(count):
            history.observe(_categorized(number, known))
    else:
        for number in range(count):
            if number % 100 == 0:
                history.observe(_categorized(number, known))
            for event in _life(number):
                history.observe(event)
    return (_resident() - before) / (1 << 20)


def _life(number: int) -> Iterable[Task]:
    place = {"run_id": RUN_ID, "task_id": str(number), "app": "simulate", "executor": "small"}
    host, begin = f"node{number % 64:03}.cluster.example", BEGIN + number / 1000
    yield Task(**place, state="running", time=begin, host=host)
    yield Task(**place, state="running_ended", time=begin + 0.5, host=host)
    yield Task(**place, state="exec_done", time=begin + 0.6)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
