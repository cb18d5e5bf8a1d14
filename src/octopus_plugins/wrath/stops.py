"""When not to retry: what is proven hopeless, and what has used up its budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from octopus_plugins.wrath.case import Case
from octopus_plugins.wrath.policy import Policy
from octopus_plugins.wrath.signatures import signature


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a task is not retried.

    Attributes:
        rule: The policy's entry, such as ``code_error.confirm``.
        reason: A clause for people.
    """

    rule: str
    reason: str


def find_stop(case: Case) -> Stop | None:
    """The first reason not to retry, or None."""
    for check in _CHECKS:
        stop = check(case)
        if stop is not None:
            return stop
    return None


def _not_resolvable(case: Case) -> Stop | None:
    if case.entry.action == "terminate":
        return Stop(f"{case.category}.action", "no retry can help")
    if case.categorization.resolvable == "no":
        return Stop(f"{case.category}.resolvable", "no retry can help")
    return None


def _run_failures(case: Case) -> Stop | None:
    limit, seen = case.policy.maximum_failures, case.run.failures if case.run else 0
    if limit and seen + 1 > limit:
        return Stop("maximum_failures", f"the run has failed {seen + 1} times, and the policy allows {limit}")
    return None


def _confirmed(case: Case) -> Stop | None:
    if not case.entry.confirm:
        return None
    return _everywhere(case) if case.categorization.scope == "node" else _repeated(case)


def _everywhere(case: Case) -> Stop | None:
    """What is missing on every node that is known, and the app never succeeded anywhere: that is the app's want."""
    failure = case.failure
    if not failure.host or case.categorization.evidence.get("subject") is None:
        return None
    app = case.history.app(failure.app)
    if app is not None and app.successes:
        return None
    faulty = case.history.faulty_hosts(failure, case.categorization) | {failure.host}
    if len(faulty) < case.entry.confirm or any(host not in faulty for host in case.hosts):
        return None
    nodes = ", ".join(sorted(faulty)[:4]) + (", …" if len(faulty) > 4 else "")
    return Stop(f"{case.category}.confirm", f"it is the same on all {len(faulty)} known nodes ({nodes})")


def _repeated(case: Case) -> Stop | None:
    """The same failure again, on different nodes where there are others."""
    seen = case.task.signatures.get(signature(case.failure)) if case.task else None
    if not seen:
        return None
    times = sum(seen.values()) + 1
    nodes = sorted({*seen, case.failure.host or ""} - {""})
    if times < case.entry.confirm:
        return None
    if len(nodes) < case.entry.confirm and _others_can_be_had(case):
        return None
    where = f"on {len(nodes)} nodes ({', '.join(nodes[:4])})" if len(nodes) > 1 else f"{times} times"
    return Stop(f"{case.category}.confirm", f"the same failure {where}")


def _others_can_be_had(case: Case) -> bool:
    steerable = case.pool is not None and case.pool.steerable
    return steerable and case.failure.host is not None and case.other_host(untried=True) is not None


def _attempts(case: Case) -> Stop | None:
    limit, tries = case.entry.maximum_attempts, case.attempts + 1
    if limit and tries >= limit:
        times = "once" if tries == 1 else f"{tries} times"
        return Stop(f"{case.category}.maximum_attempts", f"it failed so {times}, and the policy allows {limit} tries")
    return None


def _budget(case: Case) -> Stop | None:
    retries = case.run.retries if case.run else None
    if retries is None:
        return None
    if retries <= 0:
        return Stop("run.retries", "the run allows no retries")
    if case.charged + case.entry.charge > retries:
        return Stop("run.retries", f"the run's {retries} retries per task are used up")
    return None


def _tries(case: Case) -> Stop | None:
    """The limits above count what is remembered; this one holds also for a task that the history forgot."""
    tried = case.failure.try_id
    retries = case.run.retries if case.run else None
    if tried <= 0 or tried < _most_retries(case.policy, retries):
        return None
    return Stop("run.tries", f"it was tried {tried + 1} times, more often than the limits allow")


def _most_retries(policy: Policy, retries: int | None) -> float:
    """No fewer retries of one task than the budget and the categories' limits allow together; may be infinite."""
    entries = [entry for entry in policy.categories.values() if entry.action == "retry"]
    free = sum(entry.maximum_attempts for entry in entries if entry.charge == 0)
    charged = [entry for entry in entries if entry.charge > 0]
    if retries is not None:
        return free + retries / min((entry.charge for entry in charged), default=1.0)
    return free + sum(entry.maximum_attempts or math.inf for entry in charged)


_CHECKS: tuple[Callable[[Case], Stop | None], ...] = (
    _not_resolvable,
    _confirmed,
    _budget,
    _attempts,
    _run_failures,
    _tries,
)
