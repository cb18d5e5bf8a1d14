"""A decision in the workflow's own process, with ever more history."""

from __future__ import annotations

import time

import msgspec

from benchmarks.entries.sample_events import BEGIN, RUN_ID, failure
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from octopus_plugins.events import Failure, Pool, Run
from octopus_plugins.wrath import History, categorize, decide, policy_from

SIZES = (10, 1_000, 100_000)
"""Failures recorded before."""

_POOLS = (
    Pool(label="small", observed=True, steerable=True, memory_per_worker=2 << 30, maximum_nodes=64),
    Pool(label="large", observed=True, steerable=True, memory_per_worker=64 << 30, maximum_nodes=8),
)


def measure(options: Options) -> Result:
    """Categorise, decide and remember one failure: p50 and p99."""
    sizes = SIZES[:2] if options.quick else SIZES
    decisions = 300 if options.quick else 2_000
    timed = {size: [_quantiles(size, decisions) for _ in range(min(options.pairs, 3))] for size in sizes}
    figures = tuple(
        Figure(f"{name} with {size:,} failures before", Spread.of(run[place] for run in runs), "µs", goal)
        for size, runs in timed.items()
        for place, (name, goal) in enumerate((("p50", Goal(50, at_least=False)), ("p99", Goal(1000, at_least=False))))
    )
    notes = (
        f"{decisions:,} decisions each, of three kinds in turn: out of memory, a missing module, a bug;"
        " ladder of two executors, 64 nodes",
        "one decision is categorize, decide, and observing both",
    )
    return Result("decision", "in process", figures, notes, {"p50, p99 in µs": {str(k): v for k, v in timed.items()}})


def _quantiles(size: int, decisions: int) -> tuple[float, float]:
    policy = policy_from(None, ladder=["small", "large"])
    history = History()
    history.observe(Run(run_id=RUN_ID, time=BEGIN, state="configured", retries=5, pools=_POOLS))
    for number in range(size):
        known = failure(number)
        history.observe(msgspec.structs.replace(known, categorization=categorize(known, history)))
    durations = []
    for number in range(size, size + decisions):
        fresh: Failure = failure(number)
        begin = time.perf_counter_ns()
        categorized = msgspec.structs.replace(fresh, categorization=categorize(fresh, history))
        decision = decide(categorized, history, policy)
        history.observe(categorized)
        history.observe(decision)
        durations.append((time.perf_counter_ns() - begin) / 1000)
    durations.sort()
    return durations[len(durations) // 2], durations[len(durations) * 99 // 100]
