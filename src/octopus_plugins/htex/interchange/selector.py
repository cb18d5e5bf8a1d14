"""Which nodes get tasks, and in what order: the standing of nodes, as Parsl's interchange honours it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from parsl.executors.high_throughput.manager_selector import ManagerSelector, RandomManagerSelector

from octopus_plugins.htex.interchange.shunned import NOBODY, Shunned
from octopus_plugins.htex.placement_hints import app_key

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.node_standing import Standing

CHECK_PERIOD = 0.05
"""Seconds between looks at the file; the interchange asks thousands of times a second."""

SCORE_STEPS = 5
"""Nodes whose scores lie within one step count as equals: one failure in a hundred tasks must not starve a node."""

MAX_DENIED_APPS = 200
"""Apps that nodes are denied for; of more of them, those whose denials end first are left out."""

RELIEF_SECONDS = 8.0
"""Seconds after which denied nodes are filled once where no other has room, by an interchange that is not ours."""


class HostStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What the selector is told of the nodes of its executor.

    Attributes:
        denied: Until when a node gets no new tasks, Unix seconds.
        denied_for: The same for the tasks of one app, by app.
        probation: Nodes that get one task at a time.
        barred: Those of ``denied`` that a person keeps out: they are not even probed.
        paused: Whether only a few tasks at a time go out, to any node.
        steps: How well tasks fare on a node, 0 to SCORE_STEPS (best); a node that is not named counts as best.
    """

    denied: dict[str, float] = {}
    denied_for: dict[str, dict[str, float]] = {}
    probation: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()
    paused: bool = False
    steps: dict[str, int] = {}

    @classmethod
    def of(cls, standing: Standing) -> HostStanding:
        """What the history says, in steps: so that it changes, and is written, only now and then."""
        steps = {host: round(score * SCORE_STEPS) for host, score in standing.scores.items()}
        return cls(
            denied=dict(standing.denied),
            denied_for=_by_app(standing.denied_for),
            probation=tuple(sorted(standing.probation)),
            barred=standing.barred,
            paused=standing.paused,
            steps={host: step for host, step in steps.items() if step < SCORE_STEPS},
        )


class OctopusManagerSelector(ManagerSelector):
    """Serves the better nodes first, and those that are denied last or not at all.

    Among nodes that fare alike the order is another selector's. It runs in the interchange process. Its channel is a
    small file, replaced atomically by ``publish``.

    Args:
        path: The file with the standing of the nodes; the executor sets it when it starts.
        inner: Orders the managers among equals.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, inner: ManagerSelector | None = None) -> None:
        self.path = None if path is None else os.fspath(path)
        self.inner = inner or RandomManagerSelector()
        self._standing = self._weighed = HostStanding()
        self._shunned = NOBODY
        self._stamp: tuple[int, int] | None = None
        self._next_check = 0.0
        self._next_relief = 0.0

    def sort_managers(self, ready_managers: Mapping[bytes, Any], manager_list: set[bytes]) -> list[bytes]:
        """Order the managers that may get tasks; Parsl serves the last of them first. See ManagerSelector.

        Managers of nodes that are denied for every app are left out while another node may serve: Parsl's interchange
        gives a manager as much as it has room for. What is denied for one app is only heeded by our interchange.
        """
        denied = self.shunned().denied
        if denied:
            allowed = {manager for manager in manager_list if ready_managers[manager]["hostname"] not in denied}
            others = [record for record in ready_managers.values() if may_serve(record, denied)]
            # Never keep everything waiting: with no other node left, a denied one is better than none.
            if allowed or others:
                barred = self.shunned().barred
                spared = {manager for manager in manager_list if ready_managers[manager]["hostname"] not in barred}
                manager_list = spared if self._relieves(others) else allowed
        return self.order(ready_managers, manager_list)

    def order(self, ready_managers: Mapping[bytes, Any], manager_list: set[bytes]) -> list[bytes]:
        """Order managers, the best last; for our interchange, which decides what each of them gets."""
        ordered: list[bytes] = self.inner.sort_managers(ready_managers, manager_list)
        shunned, steps = self.shunned(), self._standing.steps

        def rank(manager: bytes) -> int:
            host = ready_managers[manager]["hostname"]
            if host in shunned.denied:
                return -2
            return -1 if host in shunned.probation else steps.get(host, SCORE_STEPS)

        if len(ordered) > 1 and (steps or shunned.denied or shunned.probation):
            ordered.sort(key=rank)
        return ordered

    def shunned(self) -> Shunned:
        """The nodes that get fewer tasks than they have room for; the same object while nothing changes."""
        standing = self._current()
        if standing is not self._weighed or time.time() >= self._shunned.until:
            self._weighed = standing
            self._shunned = Shunned.at(
                time.time(),
                standing.denied,
                standing.denied_for,
                standing.probation,
                barred=standing.barred,
                paused=standing.paused,
            )
        return self._shunned

    def _relieves(self, others: list[Any]) -> bool:
        """Whether denied nodes get tasks this once: the others are full, and have been now and then for a while."""
        if any(len(record["tasks"]) < record["max_capacity"] for record in others):
            return False
        now = time.monotonic()
        due = 0.0 < self._next_relief <= now
        if due or not self._next_relief:
            self._next_relief = now + RELIEF_SECONDS
        return due

    def _current(self) -> HostStanding:
        now = time.monotonic()
        if self.path is not None and now >= self._next_check:
            self._next_check = now + CHECK_PERIOD
            self._reload(self.path)
        return self._standing

    def _reload(self, path: str) -> None:
        try:
            status = os.stat(path)  # noqa: PTH116 - on the interchange's hot path
        except OSError:
            return
        stamp = (status.st_ino, status.st_mtime_ns)
        if stamp == self._stamp:
            return
        try:
            self._standing = msgspec.json.decode(Path(path).read_bytes(), type=HostStanding)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return  # a torn or foreign file: keep what was known; the next replacement is read again
        self._stamp = stamp


def may_serve(record: Mapping[str, Any], shunned: Set[str]) -> bool:
    """Whether a manager will get tasks again: it may be busy now, but is neither shunned nor held nor draining."""
    return bool(record["active"] and not record["draining"] and record["hostname"] not in shunned)


def publish(path: str | os.PathLike[str], standing: HostStanding) -> None:
    """Replace what a selector is told.

    Args:
        path: The selector's file.
        standing: The standing of the nodes from now on.

    Raises:
        OSError: The file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
    fresh.write_bytes(msgspec.json.encode(standing))
    fresh.replace(target)


def _by_app(denied_for: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    named = {app_key(app): dict(hosts) for app, hosts in denied_for.items() if hosts}
    if len(named) <= MAX_DENIED_APPS:
        return named
    last = sorted(named, key=lambda app: max(named[app].values()))[-MAX_DENIED_APPS:]
    return {app: named[app] for app in sorted(last)}
