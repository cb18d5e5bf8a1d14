"""Which node gets no new tasks: on suspicion for seconds, on evidence for longer, and never too many of them.

A node that fails fast takes more tasks than any other (a black hole), so it is denied at the first failure that may
be its own, for a cool-down that doubles each time it fails again after its end. What proves that it is the node denies
it for long. What turns out to be no node's fault lifts what was denied for it.
"""

from __future__ import annotations

import math
from itertools import islice

from octopus_plugins.wrath.case import MAX_LOOKED_AT, Case
from octopus_plugins.wrath.denials import Denial
from octopus_plugins.wrath.faults import INSTALLED, LASTING, NODE_FAULTS, is_quick
from octopus_plugins.wrath.run_state import FAULT_WINDOW, MAX_FAULT_HOSTS
from octopus_plugins.wrath.taxonomy import Category

SHARED = 3
"""Nodes on which the same fault within FAULT_WINDOW is no node's own."""

_OTHERS_DOING = frozenset(
    {
        Category.dependency_failed,
        Category.executor_bad_state,
        Category.halted,
        Category.join_failed,
        Category.manager_lost,
        Category.memory_exhausted,
        Category.node_down,
        Category.preempted,
        Category.block_failed,
        Category.serialization,
        Category.walltime_exceeded,
    }
)
"""What says nothing of how the next task will fare on a living node, however fast it came."""

_PLACE_OR_TASK = frozenset({Category.app_exit, Category.bad_input, Category.missing_output, Category.native_crash})
"""What a node may do to a task as well as the task to itself: a file system that is not mounted, a broken program."""


def hosts_to_deny(case: Case) -> dict[str, float]:
    """Nodes with the Unix time until when they are denied; those let off again have the time of the failure.

    Args:
        case: The failure.

    Returns:
        Mostly nothing; the failing node; or the nodes that were denied for what turns out to be no node's fault.
    """
    host, rules, time = case.failure.host, case.policy.deny, case.failure.time
    if not rules.enabled or not host or not case.steerable:
        return {}  # where the pool cannot be steered nobody would heed it
    speaks = case.categorization.category in NODE_FAULTS and case.categorization.scope in ("node", "worker")
    if not speaks and not _fails_fast(case, host):
        return {}
    if speaks and _is_shared(case, host):
        return _lifted(case)
    known = case.history.denials.get(host, case.failure.run_id)
    proven = speaks and (_proven_by_app(case, host) or _proven_by_tasks(case, host))
    if not proven and speaks and not _is_suspect(case, host, known):
        return {}
    until = round(time + _seconds(case, known, proven=proven), 3)
    if until <= time or (known is not None and known.until >= until):
        return {}
    if known is not None and known.until > time and until < time + rules.duration:
        return {}  # tasks that were under way when it was denied add nothing
    return {host: until} if _floor_allows(case, host) else {}


def _is_suspect(case: Case, host: str, denial: Denial | None) -> bool:
    """Whether nothing good is known of the node of late: one failure after successes is no reason to leave it idle."""
    if denial is not None and not denial.cleared:
        return True  # denied, or on probation
    known = case.history.host(host)
    return known is None or not known.tally.successes or known.tally.streak > 0


def _seconds(case: Case, known: Denial | None, *, proven: bool) -> float:
    rules, time = case.policy.deny, case.failure.time
    times = known.times if known is not None and not known.is_forgiven(time) else 0
    if known is not None and known.until > time:
        times -= 1  # this one would take its place
    growth = _power(rules.backoff_coefficient, times)
    if proven:
        return min(rules.duration * growth, max(rules.maximum_duration, rules.duration))
    return min(rules.cooldown * growth, rules.duration)


def _power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def _fails_fast(case: Case, host: str) -> bool:
    """Two quick failures of different tasks in a row that the tasks themselves do not explain."""
    failure, categorization = case.failure, case.categorization
    if case.category in _OTHERS_DOING or categorization.resolvable == "no":
        return False
    known = case.history.host(host)
    if known is None or known.quick is None or known.quick == (failure.run_id, failure.task_id):
        return False
    if not is_quick(failure, case.history.run_times(failure.app)):
        return False
    defect = case.history.defect(failure)
    if defect is not None and defect.hosts - {host}:
        return False
    if categorization.layer != "application" or case.history.succeeded_elsewhere(failure.run_id, failure.app, host):
        return True
    return case.category in _PLACE_OR_TASK and _only_here(case, host)


def _only_here(case: Case, host: str) -> bool:
    """Three failures of the app in a row here and none elsewhere: before its first success that is all there is."""
    failure = case.failure
    here = case.history.app_on(failure.run_id, failure.app, host)
    app = case.history.app(failure.run_id, failure.app)
    return here is not None and app is not None and here.streak >= 2 and app.failures == here.failures


def _is_shared(case: Case, host: str) -> bool:
    """Whether the fault is no node's own: it shows on several nodes at once, or wherever the app was."""
    faulty, time = case.history.faulty_hosts(case.failure, case.categorization), case.failure.time
    if case.history.succeeded_elsewhere(case.failure.run_id, case.failure.app, host):
        if case.category in INSTALLED:
            return False  # several nodes may lack it
        recent = sum(1 for name, last in faulty.items() if name != host and time - last <= FAULT_WINDOW)
        return recent + 1 >= SHARED
    others = len(faulty) - (host in faulty)
    return others + 1 >= min(SHARED, max(len(case.hosts), 2))


def _lifted(case: Case) -> dict[str, float]:
    """What was denied, by ourselves, for the same fault."""
    if not case.history.denials.any(case.failure.time, case.failure.run_id):
        return {}
    cause = (case.failure.app or "", case.categorization.category)
    faulty = case.history.faulty_hosts(case.failure, case.categorization)
    lifted = {}
    for host, denial in case.history.denials.among(islice(faulty, MAX_FAULT_HOSTS), case.failure.run_id):
        if denial.until > case.failure.time and denial.cause == cause and denial.by != "person":
            lifted[host] = case.failure.time
    return lifted


def _proven_by_app(case: Case, host: str) -> bool:
    return case.category in INSTALLED and case.history.succeeded_elsewhere(case.failure.run_id, case.failure.app, host)


def _proven_by_tasks(case: Case, host: str) -> bool:
    """Several tasks, or two of different apps, failed here in a row with what seldom mends itself."""
    if case.category not in LASTING:
        return False
    known = case.history.host(host)
    this = (case.failure.run_id, case.failure.task_id)
    faulty = len(known.faulty_tasks) if known else 0
    apps = len(known.faulty_apps | {case.failure.app or ""}) if known else 1
    if known is None or this not in known.faulty_tasks:
        faulty += 1
    enough = faulty >= case.policy.deny.tasks or (faulty > 1 and apps > 1)
    return enough and _another_is_well(case, host)


def _another_is_well(case: Case, host: str) -> bool:
    for name in islice(reversed(case.hosts), MAX_LOOKED_AT):
        if name == host or case.history.is_denied(name, case.failure.time, case.failure.run_id):
            continue
        other = case.history.host(name)
        if other is None or not other.faulty_tasks:
            return True
    return False


def _floor_allows(case: Case, host: str) -> bool:
    """Whether enough living nodes stay that are not denied."""
    time, run_id = case.failure.time, case.failure.run_id
    total = left = 0
    for name in islice(reversed(case.hosts), 4 * MAX_LOOKED_AT):
        known = case.history.host(name)
        if name != host and known is not None and not known.is_up(time):
            continue
        total += 1
        left += name != host and not case.history.is_denied(name, time, run_id)
    return left >= max(1, math.ceil(case.policy.deny.floor * total))
