"""Which node gets no new tasks: on evidence, for a time, and never too many of them."""

from __future__ import annotations

import math

from octopus_plugins.wrath.case import Case
from octopus_plugins.wrath.history import NODE_FAULTS
from octopus_plugins.wrath.taxonomy import Category

MAX_LOOKED_AT = 64
"""Hosts looked at for one that is well; more would cost time and add nothing."""

_INSTALLED = frozenset(
    {
        Category.executable_missing,
        Category.library_missing,
        Category.module_missing,
        Category.version_mismatch,
    }
)
"""What a node has or has not: one success of the app elsewhere proves that it is the node."""


def hosts_to_deny(case: Case) -> dict[str, float]:
    """The failing node with the Unix time until when it is denied; empty where the evidence or the floor forbids."""
    host, rules, time = case.failure.host, case.policy.deny, case.failure.time
    if not rules.enabled or not host or not _speaks_against_node(case) or case.history.is_denied(host, time):
        return {}
    if case.pool is not None and not case.pool.steerable:
        return {}  # nobody there would heed it
    if not (_proven_by_app(case, host) or _proven_by_tasks(case, host)) or not _floor_allows(case):
        return {}
    return {host: time + rules.duration}


def _speaks_against_node(case: Case) -> bool:
    return case.categorization.category in NODE_FAULTS and case.categorization.scope in ("node", "worker")


def _proven_by_app(case: Case, host: str) -> bool:
    return case.category in _INSTALLED and case.history.succeeded_elsewhere(case.failure.app, host)


def _proven_by_tasks(case: Case, host: str) -> bool:
    known = case.history.host(host)
    faulty = len(known.faulty_tasks) if known else 0
    this = (case.failure.run_id, case.failure.task_id)
    if known is None or this not in known.faulty_tasks:
        faulty += 1
    return faulty >= case.policy.deny.tasks and _another_is_well(case, host)


def _another_is_well(case: Case, host: str) -> bool:
    for count, name in enumerate(case.hosts):
        if count == MAX_LOOKED_AT:
            break
        if name == host or case.history.is_denied(name, case.failure.time):
            continue
        other = case.history.host(name)
        if other is None or not other.faulty_tasks:
            return True
    return False


def _floor_allows(case: Case) -> bool:
    total = len(case.hosts) + (case.failure.host not in case.hosts)
    denied = sum(1 for host in case.history.denied_hosts(case.failure.time) if host in case.hosts)
    return total - denied - 1 >= max(1, math.ceil(case.policy.deny.floor * total))
