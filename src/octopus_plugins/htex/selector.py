"""Which nodes get tasks, and in what order: the standing of nodes, as Parsl's interchange honours it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from parsl.executors.high_throughput.manager_selector import ManagerSelector, RandomManagerSelector

if TYPE_CHECKING:
    from octopus_plugins.wrath.standing import Standing

CHECK_PERIOD = 0.05
"""Seconds between looks at the file; the interchange asks thousands of times a second."""

SCORE_STEPS = 5
"""Nodes whose scores lie within one step count as equals: one failure in a hundred tasks must not starve a node."""


POOR_STEP = 1
"""A node at or below this step (fewer than three tasks in ten end well there) gets its tasks one by one."""


class HostStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What the selector is told of the nodes of its executor.

    Attributes:
        denied: Until when a node gets no new tasks, Unix seconds.
        probation: Nodes that get one task at a time.
        steps: How well tasks fare on a node, 0 to SCORE_STEPS (best); a node that is not named counts as best.
    """

    denied: dict[str, float] = {}
    probation: tuple[str, ...] = ()
    steps: dict[str, int] = {}

    @classmethod
    def of(cls, standing: Standing) -> HostStanding:
        """What the history says, in steps: so that it changes, and is written, only now and then."""
        steps = {host: round(score * SCORE_STEPS) for host, score in standing.scores.items()}
        return cls(
            denied=dict(standing.denied),
            probation=tuple(sorted(standing.probation)),
            steps={host: step for host, step in steps.items() if step < SCORE_STEPS},
        )


class OctopusManagerSelector(ManagerSelector):
    """Leaves out the managers of denied nodes, and serves the better nodes first.

    Among nodes that fare alike the order is another selector's. It runs in the interchange process. Its channel is a
    small file, replaced atomically by ``publish``.

    Args:
        path: The file with the standing of the nodes; the executor sets it when it starts.
        inner: Orders the managers among equals.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, inner: ManagerSelector | None = None) -> None:
        self.path = None if path is None else os.fspath(path)
        self.inner = inner or RandomManagerSelector()
        self._standing = HostStanding()
        self._stamp: tuple[int, int] | None = None
        self._next_check = 0.0

    def sort_managers(self, ready_managers: Mapping[bytes, Any], manager_list: set[bytes]) -> list[bytes]:
        """Order the managers that may get tasks; Parsl serves the last of them first. See ManagerSelector."""
        denied = self.denied_hosts()
        if denied:
            allowed = {m for m in manager_list if ready_managers[m]["hostname"] not in denied}
            # Never keep everything waiting: with no other node left, a denied one is better than none.
            if allowed or any(may_serve(record, denied) for record in ready_managers.values()):
                manager_list = allowed
        ordered: list[bytes] = self.inner.sort_managers(ready_managers, manager_list)
        steps = self._standing.steps
        if steps and len(ordered) > 1:
            ordered.sort(key=lambda manager: steps.get(ready_managers[manager]["hostname"], SCORE_STEPS))
        return ordered

    def denied_hosts(self) -> set[str]:
        """The nodes that are denied now."""
        denied = self._current().denied
        if not denied:
            return set()
        clock = time.time()
        return {host for host, until in denied.items() if until > clock}

    def hosts_on_probation(self) -> set[str]:
        """The nodes that get one task at a time; a node whose denial has just ended is one of them."""
        standing = self._current()
        if not standing.probation and not standing.denied:
            return set()
        clock = time.time()
        return {*standing.probation, *(host for host, until in standing.denied.items() if until <= clock)}

    def poor_hosts(self) -> set[str]:
        """The nodes where hardly anything ends well: what fails fast would attract all the work."""
        steps = self._current().steps
        return {host for host, step in steps.items() if step <= POOR_STEP} if steps else set()

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


def may_serve(record: Mapping[str, Any], shunned: set[str]) -> bool:
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
