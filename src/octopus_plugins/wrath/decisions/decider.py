"""Decides what to do about a failure."""

from __future__ import annotations

import zlib

from msgspec.structs import replace

from octopus_plugins.events import Decision, Failure, Placement, Rung, Stop
from octopus_plugins.wrath.decisions.budget import not_retried, what_failed
from octopus_plugins.wrath.decisions.circuit_breaker import Systemic, find_systemic
from octopus_plugins.wrath.decisions.context import Case
from octopus_plugins.wrath.decisions.ladder import Climb, climb, passed_over
from octopus_plugins.wrath.decisions.node_denial import find_denied
from octopus_plugins.wrath.decisions.resources import larger_resources
from octopus_plugins.wrath.decisions.termination import Termination, find_termination
from octopus_plugins.wrath.history.history import History
from octopus_plugins.wrath.policy.category import OTHER_BLOCK, OTHER_EXECUTOR, OTHER_NODE, SAME_NODE, CategoryPolicy
from octopus_plugins.wrath.policy.policy import HALT, Policy
from octopus_plugins.wrath.rules.categorizer import categorize
from octopus_plugins.wrath.taxonomy.categories import Category, Trait

JITTER = 0.1
"""Share by which a delay is varied up or down, so that tasks that failed together do not come back together."""

FREE_MOVES = 2
"""Retries that need no wait, of what lies with the task or where it moves; after that only time is left to try."""

DOOMED = 0.05
"""Chance of recovery of a category up to which a task may be doomed."""

LIKELY = 0.6
"""Confidence from which on the type of an exception says that it is a bug."""

FRONT_WAIT = 5.0
"""A retry that waits longer (seconds) does not go before tasks that never ran."""


def decide(failure: Failure, history: History, policy: Policy) -> Decision:
    """Retry or terminate, and why. The same input gives the same decision, byte for byte.

    Args:
        failure: The failed try; categorised here with the built-in rules unless it has a categorization.
        history: Everything before this failure. It is not changed: the caller lets it observe the failure, then the
            decision.
        policy: What to do about which category.

    Returns:
        The decision. With a passive policy it is the same, marked so, and the caller applies nothing.
    """
    categorization = failure.categorization or categorize(failure, history)
    case = Case.of(failure, categorization, history, policy)
    found = find_termination(case)
    if found is not None:
        return _terminate(case, found, passed_over(case, found.why_not))
    ladder = climb(case)
    if ladder.placement is None:
        tried = "; ".join(f"{rung.name}: {rung.reason}" for rung in ladder.rungs if rung.name in case.entry.rungs)
        nowhere = Termination(Stop.no_place, f"{case.category}.rungs", f"no place can help ({tried})")
        return _terminate(case, nowhere, ladder.rungs)
    return _retry(case, ladder.placement, ladder)


def delay(entry: CategoryPolicy, attempts: int, key: str) -> float:
    """Seconds to wait before a retry.

    Args:
        entry: The category's policy.
        attempts: Tries of the task that ended in this category before.
        key: What the jitter is derived from, in place of a random number.

    Returns:
        The interval grown by the coefficient with each attempt, give or take JITTER, at most the maximum interval.
    """
    try:
        interval = entry.initial_interval * entry.backoff_coefficient**attempts
    except OverflowError:
        interval = entry.maximum_interval
    unit = zlib.crc32(key.encode("utf-8", "replace")) / 0xFFFFFFFF
    interval = min(interval, entry.maximum_interval) * (1 + JITTER * (2 * unit - 1))
    return round(min(interval, entry.maximum_interval), 3)


def _wait(case: Case, rung: str, place: float) -> float:
    """Seconds to wait, for the category's sake or the place's: where time helps, and as far as the run can spare it.

    What stock Parsl would try again at once must not end later with us, be it well or not.
    """
    attempts = case.attempts
    if rung != SAME_NODE or case.categorization.scope == "task":
        attempts -= 1 if Trait.shared in case.category.traits else FREE_MOVES
    wait = max(delay(case.entry, attempts, case.failure.id) if attempts >= 0 else 0.0, place, _asked_for(case))
    return wait if case.run is None or not case.run.began else round(min(wait, case.run.spare), 3)


def _asked_for(case: Case) -> float:
    """Seconds that the service itself asks to wait, at most the maximum interval: sooner a retry only burdens it."""
    asked = case.categorization.evidence.get("retry_after")
    if case.category is not Category.service_unavailable or not isinstance(asked, (int, float)):
        return 0.0
    return min(float(asked), case.entry.maximum_interval)


def _looks_doomed(case: Case) -> bool:
    """Whether a task had better fail soon: a bug by its type, shown by no other task, of an app that never ended well.

    Retries at the front of the queue are over in a moment; an outage is not, and they take the turn of others. So all
    other retries take their turn at the back, as in stock Parsl.
    """
    run, failure = case.run, case.failure
    if run is None or not run.heard or not failure.app or case.entry.recovery > DOOMED:
        return False
    if case.categorization.confidence < LIKELY:
        return False  # an exception that we know nothing of
    app, defect = case.history.app(failure.run_id, failure.app), case.history.defect(failure)
    if (app is not None and app.successes) or (defect is not None and defect.tasks > 1):
        return False
    return run.open_tasks.get(failure.app) == 1


def _retry(case: Case, placement: Placement, ladder: Climb) -> Decision:
    wait = _wait(case, placement.rung, ladder.wait)
    placement = replace(placement, first=wait <= FRONT_WAIT and _looks_doomed(case))
    if placement.rung == OTHER_EXECUTOR:
        where = f"on executor {placement.executor!r}"
    elif placement.rung == OTHER_BLOCK:
        where = f"on another block of {case.executor_name}"
    elif placement.rung == OTHER_NODE:
        where = f"on another node of {case.executor_name}"
    else:
        where = f"in the same place, {case.failure.host}" if case.failure.host else "in the same place"
    after = f" after {wait:.1f} s" if wait else ""
    resources = larger_resources(case)
    more = "".join(f", with {key} {value}" for key, value in resources.items())
    return _decision(
        case,
        "retry",
        rule=f"{case.category}.{placement.rung}",
        reason=f"{what_failed(case.failure, case.categorization)}; retried {where}{more}{after}",
        rungs=ladder.rungs,
        placement=placement,
        wait=wait,
        resources=resources,
    )


def _terminate(case: Case, found: Termination, rungs: tuple[Rung, ...]) -> Decision:
    reason, systemic = not_retried(what_failed(case.failure, case.categorization), found.why_not), find_systemic(case)
    if systemic is not None and systemic.action == HALT:
        reason = f"{reason}; the run is stopped: {systemic.reason}"
    return _decision(
        case,
        "terminate",
        rule=found.rule,
        reason=reason,
        stop=found.stop.value,
        why_not=found.why_not,
        rungs=rungs,
        systemic=systemic,
    )


def _decision(
    case: Case,
    action: str,
    *,
    rule: str,
    reason: str,
    rungs: tuple[Rung, ...],
    stop: str = "",
    why_not: str = "",
    placement: Placement | None = None,
    wait: float = 0.0,
    resources: dict[str, str | int | float | bool | None] | None = None,
    systemic: Systemic | None = None,
) -> Decision:
    failure, denied = case.failure, find_denied(case)
    return Decision(
        run_id=failure.run_id,
        time=failure.time,
        framework=failure.framework,
        task_id=failure.task_id,
        try_id=failure.try_id,
        app=failure.app,
        executor=failure.executor,
        block=failure.block,
        manager=failure.manager,
        host=failure.host,
        worker_id=failure.worker_id,
        pid=failure.pid,
        action=action,
        layer=case.categorization.layer,
        category=case.categorization.category,
        reason=reason,
        stop=stop,
        why_not=why_not,
        rule=rule,
        placement=placement,
        delay=wait,
        resources=resources or {},
        charge=case.charge,
        considered=rungs,
        deny_hosts=denied.hosts,
        deny_app=denied.app,
        halts_run=systemic is not None and systemic.action == HALT,
        systemic=systemic.reason if systemic is not None else "",
        on_systemic=systemic.action if systemic is not None else "",
        mode=case.policy.mode,
        policy=case.policy.name,
    )
