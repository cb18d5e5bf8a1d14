"""Rules for the runtime layer: workers, managers and blocks that are gone, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules import signals
from octopus_plugins.wrath.rules.rule import (
    EXIT_TYPES,
    LOST_TYPES,
    Match,
    Rule,
    Scalar,
    Trust,
    ending,
    first_line,
    place,
)
from octopus_plugins.wrath.rules.runtime import memory
from octopus_plugins.wrath.rules.statements import line_with
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History
    from octopus_plugins.wrath.history.run_state import BlockState

GRACE = 60.0
"""Seconds before the end of a block's walltime in which a death counts as its end; schedulers kill in steps."""

NEARLY = 0.9
"""Share of a block's walltime from which on a death counts as its end."""

_PREEMPTED_WORDS = ("due to preemption", "preempted", "preemption", "spot instance", "node reclaim")


def _block(failure: Failure, history: History | None) -> BlockState | None:
    return history.block(failure.run_id, failure.executor, failure.block) if history else None


def _block_walltime(failure: Failure, history: History | None) -> Match | None:
    block = _block(failure, history)
    if block is None or history is None:
        return None
    pool = history.pool(failure.run_id, failure.executor)
    allowed = pool.walltime if pool else None
    lived = failure.time - block.started if block.started is not None else None
    evidence = {"walltime": allowed, "lived": lived, "block_state": block.state, "of": "block"}
    over = early = False
    if lived is not None and allowed is not None:
        over = lived >= allowed - GRACE and lived >= NEARLY * allowed
        early = lived < allowed - GRACE and lived < NEARLY * allowed
    if block.state == "TIMEOUT" and early:
        # Parsl's providers have no state for preemption: Slurm's PREEMPTED becomes TIMEOUT there.
        reason = f"block {failure.block} was taken away {lived:.0f} s into its {allowed} s{place(failure)}"
        return Match(reason, evidence, 0.8, category=Category.preempted)
    if block.state != "TIMEOUT" and not over:
        return None
    reason = f"the walltime of block {failure.block} ran out under the task{place(failure)}"
    return Match(reason, evidence, 0.85, scope="node", resolvable="yes")


def _block_state(failure: Failure, history: History | None) -> Match | None:
    block = _block(failure, history)
    if block is None or block.state not in ("FAILED", "MISSING", "COMPLETED", "CANCELLED", "HELD", "SCALED_IN"):
        return None
    evidence = {"block": failure.block, "block_state": block.state}
    if block.state in ("CANCELLED", "HELD", "SCALED_IN"):
        reason = f"block {failure.block} was taken away ({block.state.lower()}) under the task"
        return Match(reason, evidence, 0.8, category=Category.preempted)
    return Match(f"block {failure.block} ended ({block.state.lower()}) under the task", evidence, 0.8)


def _preempted(failure: Failure, history: History | None) -> Match | None:
    signal = ending(failure, history)[1]
    if signal not in (None, signals.TERM, signals.KILL):
        return None
    evidence = {
        "text": line_with(failure, _PREEMPTED_WORDS),
        "signal": signals.signal_name(signal) if signal else None,
    }
    return Match(f"the scheduler took the node away{place(failure)}", evidence, 0.9 if signal else 0.6)


def _worker(failure: Failure, history: History | None) -> Match:
    signal = ending(failure, history)[1]
    evidence = {
        "signal": signals.signal_name(signal) if signal else None,
        "worker_id": failure.exception.attributes.get("worker_id", failure.worker_id),
    }
    how = f" by {signals.signal_name(signal)}" if signal else ""
    host = place(failure) or _named_host(failure)
    return Match(f"the worker was ended{how}{host}, and nothing says why", evidence, 0.7)


def _manager(failure: Failure, history: History | None) -> Match:
    evidence: dict[str, Scalar] = {"manager": failure.exception.attributes.get("manager_id", failure.manager)}
    if memory.outgrew_neighbours(failure, history):
        evidence["outgrew_neighbours"] = True
    host = place(failure) or _named_host(failure)
    return Match(f"the worker pool{host} stopped answering", evidence, 0.8)


def _named_host(failure: Failure) -> str:
    host = failure.exception.attributes.get("hostname")
    return f" on {host}" if host else ""


def _scaling(failure: Failure, history: History | None) -> Match:
    return Match(f"no scheduler job could be had: {first_line(failure.exception.message)}", confidence=0.85)


RULES = (
    Rule(
        "block_failed.type",
        Category.block_failed,
        Trust.exact_type,
        _scaling,
        types=(
            "parsl.executors.errors.ScalingFailed",
            "parsl.providers.errors.ScaleOutFailed",
            "parsl.providers.errors.SubmitException",
        ),
        doc="`ScalingFailed`, `ScaleOutFailed`, `SubmitException`",
    ),
    Rule(
        "walltime_exceeded.block",
        Category.walltime_exceeded,
        Trust.structured,
        _block_walltime,
        types=LOST_TYPES,
        doc="a worker or manager gone at the end of its block's walltime; long before it: `preempted`",
    ),
    Rule(
        "block_failed.state",
        Category.block_failed,
        Trust.structured,
        _block_state,
        types=LOST_TYPES,
        doc="a worker or manager gone, and its block in a final state (cancelled, held, scaled in: `preempted`)",
    ),
    Rule(
        "preempted.text",
        Category.preempted,
        Trust.statement,
        _preempted,
        types=LOST_TYPES + EXIT_TYPES,
        words=_PREEMPTED_WORDS,
        doc="a process ended by SIGTERM or SIGKILL, and standard error speaks of preemption",
    ),
    Rule(
        "worker_lost.type",
        Category.worker_lost,
        Trust.symptom,
        _worker,
        types=(
            "parsl.executors.high_throughput.errors.WorkerLost",
            "concurrent.futures.process.BrokenProcessPool",
        ),
        doc="`WorkerLost`, `BrokenProcessPool`, for want of a better explanation",
    ),
    Rule(
        "manager_lost.type",
        Category.manager_lost,
        Trust.symptom,
        _manager,
        types=("parsl.executors.high_throughput.errors.ManagerLost",),
        doc="`ManagerLost`, for want of a better explanation",
    ),
)
