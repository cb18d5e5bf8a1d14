"""When not to retry: what is proven hopeless, and what has used up its budget."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from octopus_plugins.wrath.case import Case
from octopus_plugins.wrath.policy import Policy
from octopus_plugins.wrath.rules import size
from octopus_plugins.wrath.run_state import MAX_FAULT_HOSTS
from octopus_plugins.wrath.signatures import signature
from octopus_plugins.wrath.taxonomy import Category

KNOWN_DEFECT = 2
"""Tasks that must have shown a failure, each on two nodes, before further ones are taken at their word."""


class Stop(msgspec.Struct, frozen=True, gc=False):
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


def _halted(case: Case) -> Stop | None:
    if case.run is not None and case.run.halted is not None:
        return Stop("run.halted", f"the run was stopped ({case.run.halted})")
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


def _too_large(case: Case) -> Stop | None:
    """A request for more memory than any executor that the task may get to gives a worker."""
    requested = case.categorization.evidence.get("requested")
    if case.category is not Category.memory_exhausted or not isinstance(requested, (int, float)):
        return None
    pools = case.run.pools if case.run else {}
    ladder = case.policy.ladder if case.failure.executor in case.policy.ladder else (case.failure.executor,)
    # What would be a way down is none: so the whole ladder counts, wherever on it the task is.
    sizes = [pools[label].memory_per_worker for label in ladder if label in pools]
    known = [given for given in sizes if given]
    if not known or len(known) < len(sizes) or requested <= max(known):
        return None
    return Stop(
        "memory_exhausted.too_large",
        f"{size(requested)} were asked for, and no executor that it may get to gives a worker more than "
        f"{size(max(known))}",
    )


def _known_defect(case: Case) -> Stop | None:
    """The very failure that other tasks of the app confirmed on different nodes, when none ever ended well."""
    if not case.entry.confirm or case.categorization.scope != "task":
        return None
    if case.categorization.layer not in ("application", "unknown"):
        return None
    defect = case.history.defect(case.failure)
    if defect is None or defect.confirmed < KNOWN_DEFECT or defect.varied:
        return None
    if defect.message != case.failure.exception.message[:400]:
        return None
    if not _never_succeeded(case):
        return None
    nodes = ", ".join(sorted(defect.hosts)[:4])
    return Stop(
        f"{case.category}.known",
        f"{defect.confirmed} other tasks of {case.failure.app} failed in the very same way, each on different nodes "
        f"({nodes}), and none of it ever ended well",
    )


def _never_succeeded(case: Case) -> bool:
    """Whether no task of the app ended well in this run: which only a run whose tasks are heard of can tell."""
    app = case.history.app(case.failure.run_id, case.failure.app)
    return case.run is not None and case.run.heard and (app is None or not app.successes)


def _confirmed(case: Case) -> Stop | None:
    if not case.entry.confirm:
        return None
    return _everywhere(case) if case.categorization.scope == "node" else _repeated(case)


def _everywhere(case: Case) -> Stop | None:
    """What is missing on every node that is up, and the app never succeeded anywhere: that is the app's want."""
    failure = case.failure
    if not failure.host or case.categorization.evidence.get("subject") is None:
        return None
    if not _never_succeeded(case):
        return None
    faulty = {*case.history.faulty_hosts(failure, case.categorization), failure.host}
    if len(faulty) < case.entry.confirm:
        return None
    if len(faulty) < MAX_FAULT_HOSTS and any(host not in faulty for host in case.hosts if _counts(case, host)):
        return None
    nodes = ", ".join(sorted(faulty)[:4]) + (", …" if len(faulty) > 4 else "")
    return Stop(f"{case.category}.confirm", f"it is the same on all {len(faulty)} known nodes ({nodes})")


def _counts(case: Case, host: str) -> bool:
    known = case.history.host(host)
    return known is None or known.is_up(case.failure.time)


def _repeated(case: Case) -> Stop | None:
    """The same failure again, on different nodes where there are others."""
    seen = case.task.signature_hosts(signature(case.failure)) if case.task else {}
    times = sum(seen.values()) + 1
    nodes = sorted({*seen, case.failure.host or ""} - {""})
    if times < case.entry.confirm:
        return None
    if len(nodes) < case.entry.confirm and _others_can_be_had(case):
        return None
    if times == 1:
        return Stop(f"{case.category}.confirm", "the policy takes its first failure for proof")
    where = f"on {len(nodes)} nodes ({', '.join(nodes[:4])})" if len(nodes) > 1 else f"{times} times"
    return Stop(f"{case.category}.confirm", f"the same failure {where}")


def _others_can_be_had(case: Case) -> bool:
    if not case.steerable or case.failure.host is None:
        return False
    return case.other_host(untried=True) is not None or case.resting_host() is not None


def _attempts(case: Case) -> Stop | None:
    limit, tries = case.entry.maximum_attempts, case.attempts + 1
    if limit and tries >= limit:
        times = "once" if tries == 1 else f"{tries} times"
        return Stop(f"{case.category}.maximum_attempts", f"it failed so {times}, and the policy allows {limit} tries")
    return None


def _budget(case: Case) -> Stop | None:
    retries, left = case.run.retries if case.run else None, case.budget_left()
    name = case.entry.budget
    spent = f"the {case.policy.budgets[name]} failures that budget {name!r} pays for are used up" if left == 0 else ""
    if retries is None:
        # With no budget of the run's behind it, the category's own is the last bound.
        return Stop(f"budgets.{name}", spent) if spent else None
    if retries <= 0:
        return Stop("run.retries", "the run allows no retries")
    if case.charged + case.charge > retries:
        both = f"{spent}, and so are " if spent else ""
        verb = "" if spent else " are used up"
        return Stop("run.retries", f"{both}the run's {retries} retries per task{verb}")
    return None


def _tries(case: Case) -> Stop | None:
    """The limits above count what is remembered; this one holds also for a task that the history forgot."""
    tried = case.failure.try_id
    retries = case.run.retries if case.run else None
    if tried <= 0 or tried < most_retries(case.policy, retries):
        return None
    return Stop("run.tries", f"it was tried {tried + 1} times, more often than the limits allow")


def most_retries(policy: Policy, retries: int | None) -> float:
    """The most retries of one task that budgets and limits allow together; may be infinite.

    Args:
        policy: The policy.
        retries: The run's own number of retries per task; None for no limit.
    """
    entries = [entry for entry in policy.categories.values() if entry.action == "retry"]
    free = sum(entry.maximum_attempts for entry in entries if entry.charge == 0)
    free += sum(policy.budgets[name] for name in {entry.budget for entry in entries if entry.budget})
    charged = [entry for entry in entries if entry.charge > 0]
    if retries is not None:
        return free + retries / min((entry.charge for entry in charged), default=1.0)
    return free + sum(entry.maximum_attempts or math.inf for entry in charged if not entry.budget)


_CHECKS: tuple[Callable[[Case], Stop | None], ...] = (
    _halted,
    _not_resolvable,
    _known_defect,
    _too_large,
    _confirmed,
    _budget,
    _attempts,
    _run_failures,
    _tries,
)
