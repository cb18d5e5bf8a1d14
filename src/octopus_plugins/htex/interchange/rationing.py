"""Which of the waiting tasks a manager gets, where nodes are denied or on probation, or tasks have wishes.

Nothing here holds back work for long. What a node is denied goes to others while they have room. Where none has, the
node gets probes at a growing rate. A task waits for `AVOID_IDLE_SECONDS` at most where only nodes that it avoids have
room. Where every node is denied, it is as if none were.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from octopus_plugins.htex.interchange.pending import Kind, Pending
from octopus_plugins.htex.interchange.shunned import NOBODY, Shunned
from octopus_plugins.htex.interchange.starting import starting
from octopus_plugins.htex.interchange.starving import PROBE_FIRST, IdleSlots, Starvation
from octopus_plugins.htex.placement_hints import PREFER, is_patient, prefers_another, shuns

TRIAL_PERIOD = 1.0
"""Seconds between the tasks of a node on probation: what fails in a millisecond would take all."""

PAUSED_TASKS = 2
PAUSED_PERIOD = 1.0
"""Tasks that may be under way in a run that is paused, and seconds from one to the next."""

Managers = Mapping[bytes, Any]
"""Parsl's records of managers, by identity."""


@dataclass(slots=True)
class _Offer:
    """The kinds of waiting tasks, by what they are to one manager.

    Attributes:
        free: It may have as many as it has room for.
        trial: The same, but its node is on probation and others could take them.
        withheld: Its node is denied to them, and no other has room: one now and then.
        starved: Those of ``trial`` that no node in good standing has room for.
        reluctant: They avoid it, but have waited long enough for others, which have no room: better than an idle slot.
    """

    free: list[Kind] = field(default_factory=list)
    trial: list[Kind] = field(default_factory=list)
    withheld: list[Kind] = field(default_factory=list)
    starved: list[Kind] = field(default_factory=list)
    reluctant: list[Kind] = field(default_factory=list)


class _Room:
    """Who is up and who has room, in one turn of the interchange's loop."""

    def __init__(self, managers: Managers, shunned: Shunned) -> None:
        self._shunned = shunned
        self.up = {key: record for key, record in managers.items() if record["active"] and not record["draining"]}
        self._roomy = {key: record for key, record in self.up.items() if has_room(record)}
        self._takers: dict[str | None, Managers] = {}

    def filled(self, manager: bytes, record: Any) -> None:
        """A manager was given tasks."""
        if not has_room(record):
            self._roomy.pop(manager, None)

    def takers(self, app: str | None) -> Managers:
        """The managers that an app is not denied on; where it is denied on all of them, as if it were on none."""
        known = self._takers.get(app)
        if known is None:
            denied = self._shunned.denied_to(app)
            known = self.up
            if denied:
                known = {key: record for key, record in self.up.items() if record["hostname"] not in denied} or self.up
            self._takers[app] = known
        return known

    def roomy(self, app: str | None) -> Iterable[Any]:
        """Those of the takers that have room for one more task now."""
        takers = self.takers(app)
        return (record for key, record in self._roomy.items() if key in takers)

    def in_good_standing(self, records: Iterable[Any]) -> bool:
        """Whether one of these managers is not on probation."""
        probation = self._shunned.probation
        return any(record["hostname"] not in probation for record in records)


class Rationing:
    """See the module's docstring.

    Args:
        managers: Parsl's records of all managers that are connected.
        pending: The tasks that wait.
    """

    def __init__(self, managers: Managers, pending: Pending) -> None:
        self._managers = managers
        self._pending = pending
        self._shunned = NOBODY
        self._room: _Room | None = None
        self._tried: dict[str, float] = {}
        self._starvation = Starvation()
        self._idle = IdleSlots()
        self._trickled = -PAUSED_PERIOD

    def begin(self, shunned: Shunned) -> None:
        """A turn of the interchange's loop begins, in which the nodes stand like this."""
        self._room = None
        if shunned is not self._shunned:
            self._shunned = shunned
            self._pending.keep_apart(frozenset(shunned.denied_for))

    def applies_to(self, host: str) -> bool:
        """Whether there is anything to weigh before a node gets tasks."""
        return self._shunned.paused or not self._pending.is_plain or self._shunned.holds_back(host)

    def gave(self, manager: bytes) -> None:
        """A manager has got what it gets in this turn."""
        if self._room is not None:
            self._room.filled(manager, self._managers[manager])

    def tasks_for(self, manager: bytes, count: int) -> list[dict[str, Any]]:
        """The tasks that a manager gets.

        Args:
            manager: The manager, which is neither held nor draining.
            count: How many more it has room for.
        """
        if self._room is None:
            self._room = _Room(self._managers, self._shunned)
        if self._shunned.paused:
            count = min(count, self._trickle())
        room, record, now = self._room, self._managers[manager], time.time()
        offer = self._sorted_out(room, manager, record, now)

        def accepts(kind: Kind, context: Mapping[str, Any]) -> bool:
            return not _is_unwanted(room, kind, context, record, now) and not _longs(room, kind, context, record, now)

        tasks = self._pending.take(offer.free, count, accepts)
        host, clock = record["hostname"], time.monotonic()
        if offer.trial and len(tasks) < count:
            kinds, most = self._on_trial(offer, host, count - len(tasks), clock)
            tasks += self._pending.take(kinds, most, accepts)
        if offer.reluctant and len(tasks) < count:
            left = count - len(tasks)
            tasks += self._pending.take(offer.reluctant, left, lambda _, context: not is_patient(context, now))
        if offer.withheld and len(tasks) < count:
            self._starvation.observe(host, clock)
            if self._starvation.is_due(host, clock, record["tasks"]):
                tasks += self._pending.take(offer.withheld, 1, accepts)
                self._starvation.probe(host, clock, tasks[-1]["task_id"])
        if self._shunned.names(host):
            missed = self._pending.count({*offer.withheld, *offer.starved})
            self._idle.observe(manager, host, min(count - len(tasks), missed), clock)
        return tasks

    def _trickle(self) -> int:
        """How many tasks may go out in a run that is paused, to see whether they end well by now."""
        under_way, clock = sum(len(record["tasks"]) for record in self._managers.values()), time.monotonic()
        if under_way >= PAUSED_TASKS or clock < self._trickled + PAUSED_PERIOD:
            return 0
        self._trickled = clock
        return 1

    def withheld(self, host: str) -> float:
        """Slot-seconds for which a node was kept idle while tasks waited that no other one had room for."""
        return self._idle.of(host)

    def keep(self) -> None:
        """Bring up to date what is remembered of the nodes; to be called every second or so."""
        waits = bool(self._pending)

        def is_full(host: str) -> bool:
            ours = [record for record in self._managers.values() if record["hostname"] == host]
            return waits and bool(ours) and not any(map(has_room, ours))

        clock = time.monotonic()
        self._starvation.keep(clock, is_full)
        self._idle.keep(self._managers.keys())
        self._tried = {host: at for host, at in self._tried.items() if clock < at + TRIAL_PERIOD}

    def _sorted_out(self, room: _Room, manager: bytes, record: Any, now: float) -> _Offer:
        offer = _Offer()
        on_probation = record["hostname"] in self._shunned.probation
        for kind, context in self._pending.heads():
            takers = room.takers(kind.app)
            if manager not in takers:
                if record["hostname"] in self._shunned.barred:
                    continue
                spared = _shuns(context, record, now) and is_patient(context, now)
                if not spared and not _others_have_room(room, kind, context, now):
                    offer.withheld.append(kind)
            elif kind.has_wishes and _is_unwanted(room, kind, context, record, now):
                if not is_patient(context, now) and not _others_have_room(room, kind, context, now):
                    offer.reluctant.append(kind)
            elif kind.has_wishes and _longs(room, kind, context, record, now):
                continue
            elif on_probation and room.in_good_standing(takers.values()):
                offer.trial.append(kind)
                if not room.in_good_standing(room.roomy(kind.app)):
                    offer.starved.append(kind)
            else:
                offer.free.append(kind)
        return offer

    def _on_trial(self, offer: _Offer, host: str, count: int, clock: float) -> tuple[list[Kind], int]:
        """What a node on probation gets of what others could take: one at a time; all, where these have no room."""
        if offer.starved and self._starvation.observe(host, clock) >= PROBE_FIRST:
            return offer.starved, count
        busy = any(record["tasks"] for record in self._managers.values() if record["hostname"] == host)
        if busy or clock < self._tried.get(host, 0.0) + TRIAL_PERIOD:
            return [], 0
        self._tried[host] = clock
        return offer.trial, 1


def has_room(record: Any) -> bool:
    """Whether a manager can take one more task."""
    return bool(len(record["tasks"]) + starting(record) < record["max_capacity"])


def _shuns(context: Mapping[str, Any], record: Any, now: float) -> bool:
    return shuns(context, record["hostname"], record["block_id"], now)


def _others_have_room(room: _Room, kind: Kind, context: Mapping[str, Any], now: float) -> bool:
    """Whether a manager that may have a task has room for it: one that the task avoids only if it avoids all."""
    picky = any(not _shuns(context, record, now) for record in room.takers(kind.app).values())
    return any(not picky or not _shuns(context, record, now) for record in room.roomy(kind.app))


def _is_unwanted(room: _Room, kind: Kind, context: Mapping[str, Any], record: Any, now: float) -> bool:
    """Whether a task avoids a manager that may have it, and another one is up that it does not avoid."""
    if not _shuns(context, record, now):
        return False
    return any(not _shuns(context, other, now) for other in room.takers(kind.app).values())


def _longs(room: _Room, kind: Kind, context: Mapping[str, Any], record: Any, now: float) -> bool:
    """Whether a task had better wait for a node that it prefers to this manager's."""
    if PREFER not in context:
        return False
    eligible = {other["hostname"] for other in room.takers(kind.app).values()}
    roomy = {other["hostname"] for other in room.roomy(kind.app)}
    return prefers_another(context, record["hostname"], eligible, roomy, now)
