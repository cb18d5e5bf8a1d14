"""Nodes that are kept idle while tasks wait that no other node has room for: since when, and at what cost.

Pure: the clock's readings are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

PROBE_FIRST = 1.0
"""Seconds that a node starves before it gets a task all the same, as a probe."""

PROBE_SHORTEST = 0.25
"""Seconds between probes at least; each pause is half of the one before, down to this, while probes last."""

PROBE_LONGEST = 8.0
"""Seconds between probes at most; each pause is twice the one before, up to this, where probes end in vain."""

CALM_SECONDS = 3.0
"""Seconds without starving after which it all begins again: others had room, or no task waited."""

STEP_SECONDS = 1.0
"""Two looks further apart than that say nothing of the time between them."""


@dataclass(slots=True)
class _Hunger:
    since: float
    seen: float
    probed: float
    probe: int | None = None
    pause: float = PROBE_FIRST
    in_vain: float = PROBE_FIRST


class Starvation:
    """Since when each node starves, and when it gets its next probe."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Hunger] = {}

    def observe(self, host: str, now: float) -> float:
        """A node starves at this moment; returns for how many seconds by now.

        Args:
            host: The node.
            now: A monotonic clock's, seconds.
        """
        known = self._nodes.get(host)
        if known is None or now - known.seen > CALM_SECONDS:
            known = self._nodes[host] = _Hunger(now, now, now)
        known.seen = now
        return now - known.since

    def is_due(self, host: str, now: float, running: Collection[int]) -> bool:
        """Whether a node that starves gets its next probe now.

        The pauses get shorter while the probe before still runs: tasks that last fill the node. Where it has ended and
        the node is denied all the same, they get longer: a node that fails at once must not take all.

        Args:
            host: The node.
            now: A monotonic clock's, seconds.
            running: The tasks that run there.
        """
        known = self._nodes[host]
        if known.probe is not None and known.probe not in running:
            known.probe = None
            known.in_vain = known.pause = min(2 * known.in_vain, PROBE_LONGEST)
        return now >= known.probed + known.pause

    def probe(self, host: str, now: float, task: int) -> None:
        """A node that starves gets a task as a probe."""
        known = self._nodes[host]
        known.probe, known.probed, known.pause = task, now, max(known.pause / 2, PROBE_SHORTEST)

    def keep(self, now: float, is_full: Callable[[str], bool]) -> None:
        """Keep the state of nodes that got tasks and are full, and drop that of the others that starve no more."""
        for host, known in list(self._nodes.items()):
            if is_full(host):
                known.seen = max(known.seen, now)
            elif now - known.seen > CALM_SECONDS:
                del self._nodes[host]


class IdleSlots:
    """Adds up the slot-seconds for which nodes starved."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._latest: dict[bytes, tuple[float, int]] = {}

    def observe(self, manager: bytes, host: str, slots: int, now: float) -> None:
        """So many slots of a manager are idle from now on, until the next look at it.

        Args:
            manager: The manager.
            host: Its node.
            slots: Idle slots for which a task waits that no other node has room for.
            now: A monotonic clock's, seconds.
        """
        before, idle = self._latest.get(manager, (now, 0))
        if idle and now - before <= STEP_SECONDS:
            self._seconds[host] = self._seconds.get(host, 0.0) + idle * (now - before)
        self._latest[manager] = now, slots

    def of(self, host: str) -> float:
        """Slot-seconds of a node so far."""
        return self._seconds.get(host, 0.0)

    def keep(self, managers: Collection[bytes]) -> None:
        """Forget when managers that are gone were looked at."""
        for manager in self._latest.keys() - set(managers):
            del self._latest[manager]
