"""Which node gets no new tasks: by comparison with the other nodes, and never too many of them.

An app that fails for some of its inputs fails everywhere alike. A node is denied to it where it stands out: it fails
there significantly more often than on the other nodes of the executor in the same stretch of time, and tasks that
failed there ended well elsewhere. Where two apps stand out the node is denied to all. What is wrong with a node as it
says itself, a full disk, denies it for seconds before that is proven. What the comparison no longer bears out is
lifted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import islice

from octopus_plugins.events import NodeState
from octopus_plugins.wrath.decisions.context import MAX_LOOKED_AT, Case
from octopus_plugins.wrath.history.denylist import EVERY_APP, PERSON, Denial
from octopus_plugins.wrath.history.node_faults import NOT_COMPARED
from octopus_plugins.wrath.taxonomy.categories import Category

CURED = 2
"""Tasks that must have failed on a node and ended well on another one."""

FULL = 0.01
"""Share of a node's disk below which it is full, by its own report."""

LIFTED = 10
"""How many times the level the probability must come to before a denial is taken back: evidence wavers."""

MAX_LIFTED = 16
"""Denied nodes of an app that are looked at again at each of its failures elsewhere."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Nodes that are denied now, or let off.

    Attributes:
        hosts: With the Unix time until when; those let off again have the time of the failure.
        app: The app that they are denied to; empty for every app.
    """

    hosts: dict[str, float] = field(default_factory=dict)
    app: str = EVERY_APP


NOBODY = Denied()


def find_denied(case: Case) -> Denied:
    """The nodes that are to be denied for what a failure shows, or let off; mostly none.

    Args:
        case: The failure.
    """
    host, rules = case.failure.host, case.policy.deny
    if not rules.enabled or not host or not case.steerable or case.categorization.category in NOT_COMPARED:
        return NOBODY  # a pool that cannot be steered would give it tasks all the same
    if case.run is not None and case.run.retries is not None and case.run.retries <= 0:
        return NOBODY  # such a run is watched only
    if case.history.denials.any(case.failure.time, case.failure.run_id):
        lifted = _lifted(case, host)
        if lifted.hosts:
            return lifted
    app = case.failure.app or EVERY_APP
    if case.history.is_denied(host, case.failure.time, case.failure.run_id, app):
        return NOBODY  # tasks that were under way when it was denied add nothing
    if _stands_out(case, app, host):
        to_all = any(_stands_out(case, other, host) for other in _other_apps(case, app))
        return _denied(case, host, EVERY_APP if to_all else app, proven=True)
    if _reports_full(case):
        return _denied(case, host, EVERY_APP, proven=False)
    return NOBODY


def _stands_out(case: Case, app: str, host: str) -> bool:
    comparison = case.history.comparison(case.failure.run_id, case.failure.executor, app)
    spell = comparison.nodes.get(host) if comparison is not None else None
    if comparison is None or spell is None or spell.cured < CURED or spell.cured <= spell.failed_elsewhere:
        return False
    return comparison.stands_out(host, level=case.policy.deny.level, minimum=case.policy.deny.tasks)


def _other_apps(case: Case, app: str) -> list[str]:
    keys = case.run.comparisons if case.run is not None else ()
    return [name for executor, name in keys if executor == case.failure.executor and name != app]


def _reports_full(case: Case) -> bool:
    """Whether the node says by itself that its disk is full, and another one of the executor does not."""
    if case.category is not Category.disk_full or not _is_full(case.failure.node):
        return False
    others = islice((host for host in reversed(case.hosts) if case.is_eligible(host)), MAX_LOOKED_AT)
    return any(not _is_full(known.node if (known := case.history.host(host)) else None) for host in others)


def _is_full(node: NodeState | None) -> bool:
    if node is None or not node.disk_total:
        return False
    free = [left for left in (node.disk_free, node.tmp_free) if left is not None]
    return bool(free) and min(free) <= FULL * node.disk_total


def _denied(case: Case, host: str, app: str, *, proven: bool) -> Denied:
    known = case.history.denials.get(host, case.failure.run_id, app)
    time = case.failure.time
    until = round(time + _seconds(case, known, proven=proven), 3)
    return Denied({host: until}, app) if until > time and _floor_allows(case, host, app) else NOBODY


def _seconds(case: Case, known: Denial | None, *, proven: bool) -> float:
    rules = case.policy.deny
    times = known.times if known is not None and not known.is_forgiven(case.failure.time) else 0
    growth = _power(rules.backoff_coefficient, times)
    if proven:
        return min(rules.duration * growth, max(rules.maximum_duration, rules.duration))
    return min(rules.cooldown * growth, rules.duration)


def _power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def _lifted(case: Case, host: str) -> Denied:
    """What was denied, by ourselves, and no longer stands out now that the app fails here as well."""
    app, run_id, time = case.failure.app or EVERY_APP, case.failure.run_id, case.failure.time
    level = min(LIFTED * case.policy.deny.level, 1.0)
    for (denied_to, name), denial in islice(case.history.denials.of_app(app, run_id, time), MAX_LIFTED):
        if name == host or denial.by == PERSON or denial.cause[1] == Category.disk_full.value:
            continue
        if name not in case.hosts:
            continue  # of another executor
        comparison = case.history.comparison(run_id, case.failure.executor, app)
        if comparison is None or not comparison.stands_out(name, level=level, minimum=1):
            return Denied({name: time}, denied_to)
    return NOBODY


def _floor_allows(case: Case, host: str, app: str) -> bool:
    """Whether enough living nodes stay that are not denied."""
    time = case.failure.time
    closed = case.history.denials.closed(app, case.failure.run_id, time)
    total = left = 0
    for name in islice(reversed(case.hosts), 4 * MAX_LOOKED_AT):
        known = case.history.host(name)
        if name != host and known is not None and not known.is_up(time):
            continue
        total += 1
        left += name != host and name not in closed
    return left >= max(1, math.ceil(case.policy.deny.floor * total))
