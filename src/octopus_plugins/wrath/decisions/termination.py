"""When not to retry: what is certain, what is costly and hopeless, and what has used up its retries.

Certain are few things: a task or run that was stopped, a failed dependency, what the serializer itself refuses, more
memory than any executor on the way has. Everything else is tried as often as the run allows, unless a try costs much
and nothing speaks for the next one.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from octopus_plugins.events import Failure, Stop
from octopus_plugins.wrath.decisions.context import MAX_LOOKED_AT, Case
from octopus_plugins.wrath.history.fingerprint import signature
from octopus_plugins.wrath.history.run_state import MAX_FAULT_HOSTS
from octopus_plugins.wrath.policy.category import OUTSIDE
from octopus_plugins.wrath.policy.policy import Policy
from octopus_plugins.wrath.rules.rule import in_serializer, size
from octopus_plugins.wrath.taxonomy.categories import Category

SERIALIZER_REFUSALS = 2
"""Times that the serializer itself must have refused something before that is certain."""

UNKNOWN_RETRIES = 3
"""Retries of a task in a run of which the number is not known, where the category has no limit of its own."""

UNSURE_RECOVERY = 0.1
"""Chance of recovery at least where the category was read from words that may mean something else."""

PRIOR_WEIGHT = 4.0
"""How many retries that were seen weigh as much as the category's own chance of recovery."""

_REFUSALS = (
    "parsl.serialize.errors.SerializationError",
    "globus_compute_sdk.errors.error_types.SerializationError",
    "globus_compute_sdk.errors.error_types.MaxResultSizeExceeded",
)
_NOT_PICKLED = ("cannot pickle", "can't pickle", "picklingerror")

KNOWN_DEFECT = 2
"""Tasks that must have shown a failure, each on two nodes, before further ones are taken at their word."""


class Termination(msgspec.Struct, frozen=True, gc=False):
    """Why a task is not retried.

    Attributes:
        stop: Which of the reasons that there are.
        rule: The policy's entry, such as ``code_error.confirm``.
        why_not: A clause for people.
    """

    stop: Stop
    rule: str
    why_not: str


def find_termination(case: Case) -> Termination | None:
    """The first reason not to retry, or None."""
    for check in _CHECKS:
        found = check(case)
        if found is not None:
            return found
    return None


def _halted(case: Case) -> Termination | None:
    if case.run is not None and case.run.halted is not None:
        return Termination(Stop.halted, "run.halted", f"the run was stopped ({case.run.halted})")
    return None


def _not_resolvable(case: Case) -> Termination | None:
    if case.entry.action == "terminate":
        return Termination(Stop.not_retryable, f"{case.category}.action", "no retry can help")
    # A run that names its retries gets them: what a type alone seems to prove, a licence server may have caused.
    unnamed = case.run is None or case.run.retries is None
    if case.categorization.resolvable == "no" and (case.entry.confirm or unnamed):
        return Termination(Stop.not_retryable, f"{case.category}.resolvable", "no retry can help")
    return None


def _refused_by_serializer(case: Case) -> Termination | None:
    """A function, an argument or a result that the serializer itself refused, and again."""
    if case.category is not Category.serialization or not _is_refusal(case.failure):
        return None
    seen = case.task.signature_hosts(signature(case.failure)) if case.task else {}
    times = sum(seen.values()) + 1
    if times < SERIALIZER_REFUSALS:
        return None
    return Termination(
        Stop.serializer_refused, "serialization.refused", f"the serializer itself refused it {times} times"
    )


def _is_refusal(failure: Failure) -> bool:
    if failure.exception.type in _REFUSALS:
        return True
    message = f"{failure.exception.type} {failure.exception.message}".lower()
    return any(words in message for words in _NOT_PICKLED) and in_serializer(failure)


def _hopeless(case: Case) -> Termination | None:
    """Costly and hopeless: a long try that failed in the same way on several nodes, and next to no chance is left."""
    rules, failure = case.policy.termination, case.failure
    if not rules.enabled or case.task is None or cost(failure) < rules.cost:
        return None
    if case.run is None or not case.run.heard:
        return None  # what recovers is not known
    shown = case.task.showings(signature(failure))
    nodes = {one.host for one in shown if one.host} | ({failure.host} if failure.host else set())
    if not shown or len(nodes) < rules.nodes or failure.time - min(one.first for one in shown) < rules.pause:
        return None
    defect = case.history.defect(failure)
    if defect is None or defect.recovered:
        return None
    repeated = max(defect.repeated, sum(one.count for one in shown))
    prior = case.entry.recovery if case.is_sure else max(case.entry.recovery, UNSURE_RECOVERY)
    chance = PRIOR_WEIGHT * prior / (PRIOR_WEIGHT + repeated)
    if chance >= rules.recovery:
        return None
    return Termination(
        Stop.hopeless,
        "termination.hopeless",
        f"a try costs {cost(failure):.0f} s, it failed in the same way on {len(nodes)} nodes "
        f"({', '.join(sorted(nodes)[:4])}), no task has recovered from it, and the chance of a retry is about "
        f"{chance:.0%}",
    )


def cost(failure: Failure) -> float:
    """Seconds that a failed try took; 0 where it is not known when it began: time in a queue costs nobody a node."""
    if failure.started is None:
        return 0.0
    return (failure.ended if failure.ended is not None else failure.time) - failure.started


def _run_failures(case: Case) -> Termination | None:
    limit, seen = case.policy.maximum_failures, case.run.failures if case.run else 0
    if limit and seen + 1 > limit:
        return Termination(
            Stop.run_failures,
            "maximum_failures",
            f"the run has failed {seen + 1} times, and the policy allows {limit}",
        )
    return None


def _too_large(case: Case) -> Termination | None:
    """A request for more memory than any executor that the task may get to has on any of its nodes."""
    requested = case.categorization.evidence.get("requested")
    if case.category is not Category.memory_exhausted or not isinstance(requested, (int, float)):
        return None
    # What would be a way down is none: so the whole ladder counts, wherever on it the task is.
    ladder = case.policy.ladder if case.failure.executor in case.policy.ladder else (case.failure.executor,)
    pools = case.run.pools if case.run else {}
    sizes = [_largest_memory(case, label) for label in ladder if label in pools]
    known = [given for given in sizes if given]
    if not known or len(known) < len(sizes) or requested <= max(known):
        return None
    return Termination(
        Stop.too_large,
        "memory_exhausted.too_large",
        f"{size(requested)} were asked for, and no executor that it may get to has more than {size(max(known))}",
    )


def _largest_memory(case: Case, label: str | None) -> float | None:
    """The most memory that a task may find in an executor; None where that is not known of all of its nodes.

    What a pool sets aside for a worker binds nobody: a task may find as much as the node has.
    """
    pool = case.run.pools.get(label) if case.run and label else None
    totals: list[float] = [pool.memory_per_worker] if pool is not None and pool.memory_per_worker else []
    hosts = case.history.hosts(case.failure.run_id, label)
    if pool is None or pool.maximum_nodes is None or not max(pool.maximum_nodes, 1) <= len(hosts) <= MAX_LOOKED_AT:
        return None
    for host in hosts:
        node = known.node if (known := case.history.host(host)) is not None else None
        total = node.memory_total if node is not None else None
        if not total:
            return None
        totals.append(total)
    return max(totals)


def _known_defect(case: Case) -> Termination | None:
    """The very failure that other tasks of the app confirmed on different nodes, when none ever ended well."""
    if not case.entry.confirm or case.categorization.scope != "task":
        return None
    if case.categorization.layer not in ("application", "unknown") or not case.is_sure:
        return None
    defect = case.history.defect(case.failure)
    if defect is None or defect.recovered or defect.confirmed < KNOWN_DEFECT or defect.varied:
        return None
    if defect.message != case.failure.exception.message[:400]:
        return None
    if not _never_succeeded(case):
        return None
    nodes = ", ".join(sorted(defect.hosts)[:4])
    return Termination(
        Stop.known_defect,
        f"{case.category}.known",
        f"{defect.confirmed} other tasks of {case.failure.app} failed in the very same way, each on different nodes "
        f"({nodes}), and none of it ever ended well",
    )


def _never_succeeded(case: Case) -> bool:
    """Whether no task of the app ended well in this run: which only a run whose tasks are heard of can tell."""
    app = case.history.app(case.failure.run_id, case.failure.app)
    return case.run is not None and case.run.heard and (app is None or not app.successes)


def _confirmed(case: Case) -> Termination | None:
    if not case.entry.confirm:
        return None
    return _everywhere(case) if case.categorization.scope == "node" else _repeated(case)


def _everywhere(case: Case) -> Termination | None:
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
    why_not = f"it is the same on all {len(faulty)} known nodes ({nodes})"
    return Termination(Stop.confirmed, f"{case.category}.confirm", why_not)


def _counts(case: Case, host: str) -> bool:
    known = case.history.host(host)
    return known is None or known.is_up(case.failure.time)


def _repeated(case: Case) -> Termination | None:
    """The same failure again, on different nodes where there are others."""
    seen = case.task.signature_hosts(signature(case.failure)) if case.task else {}
    times = sum(seen.values()) + 1
    nodes = sorted({*seen, case.failure.host or ""} - {""})
    if times < case.entry.confirm:
        return None
    if len(nodes) < case.entry.confirm and _others_can_be_had(case):
        return None
    if times == 1:
        return Termination(Stop.confirmed, f"{case.category}.confirm", "the policy takes its first failure for proof")
    where = f"on {len(nodes)} nodes ({', '.join(nodes[:4])})" if len(nodes) > 1 else f"{times} times"
    return Termination(Stop.confirmed, f"{case.category}.confirm", f"the same failure {where}")


def _others_can_be_had(case: Case) -> bool:
    return case.steerable and case.failure.host is not None and case.other_host(untried=True) is not None


def _attempts(case: Case) -> Termination | None:
    limit, tries = case.entry.maximum_attempts, case.attempts + 1
    if not limit and not case.entry.budget and (case.run is None or case.run.retries is None):
        limit = UNKNOWN_RETRIES + 1
    if limit and tries >= limit:
        times = "once" if tries == 1 else f"{tries} times"
        return Termination(
            Stop.attempts_used_up,
            f"{case.category}.maximum_attempts",
            f"it failed so {times}, and the policy allows {limit} tries",
        )
    return None


def _budget(case: Case) -> Termination | None:
    retries, left = case.run.retries if case.run else None, case.budget_left()
    name = case.entry.budget
    spent = f"the {case.policy.budgets[name]} failures that budget {name!r} pays for are used up" if left == 0 else ""
    if retries is None:
        # With no budget of the run's behind it, the category's own is the last bound.
        return Termination(Stop.budget_used_up, f"budgets.{name}", spent) if spent else None
    if retries <= 0:
        return Termination(Stop.no_retries, "run.retries", "the run allows no retries")
    if case.charged + case.charge > retries:
        both = f"{spent}, and so are " if spent else ""
        verb = "" if spent else " are used up"
        return Termination(Stop.retries_used_up, "run.retries", f"{both}the run's {retries} retries per task{verb}")
    return None


def _tries(case: Case) -> Termination | None:
    """The limits above count what is remembered; this one holds also for a task that the history forgot."""
    tried = case.failure.try_id
    retries = case.run.retries if case.run else None
    if tried <= 0 or tried < most_retries(case.policy, retries):
        return None
    return Termination(
        Stop.tries_used_up, "run.tries", f"it was tried {tried + 1} times, more often than the limits allow"
    )


def most_retries(policy: Policy, retries: int | None) -> float:
    """The most retries of one task that budgets and limits allow together.

    Args:
        policy: The policy.
        retries: The run's own number of retries per task; None for no limit.
    """
    entries = [entry for entry in policy.categories.values() if entry.action == "retry"]
    free = sum(entry.maximum_attempts for entry in entries if entry.charge == 0)
    free += sum(policy.budgets[name] for name in {entry.budget for entry in entries if entry.budget})
    free += policy.budgets[OUTSIDE]  # of what the task is a victim of, in whatever category
    charged = [entry for entry in entries if entry.charge > 0]
    if retries is not None:
        return free + retries / min((entry.charge for entry in charged), default=1.0)
    return free + sum(entry.maximum_attempts or UNKNOWN_RETRIES + 1 for entry in charged if not entry.budget)


_CHECKS: tuple[Callable[[Case], Termination | None], ...] = (
    _halted,
    _not_resolvable,
    _refused_by_serializer,
    _too_large,
    _hopeless,
    _known_defect,
    _confirmed,
    _budget,
    _attempts,
    _run_failures,
    _tries,
)
