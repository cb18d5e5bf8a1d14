"""Which nodes get fewer tasks than they have room for, at one moment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

_NO_HOSTS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Shunned:
    """The nodes that are denied or on probation.

    Attributes:
        denied: Nodes that are denied for every app.
        denied_for: Nodes that are denied for one app, by app; none of them is empty.
        probation: Nodes that get one task at a time; none of them is in ``denied``.
        barred: Those of ``denied`` that a person keeps out: they are not even probed.
        paused: Whether only a few tasks at a time go out, to any node.
        until: Unix time at which this changes by itself.
    """

    denied: frozenset[str] = _NO_HOSTS
    denied_for: Mapping[str, frozenset[str]] = field(default_factory=dict)
    probation: frozenset[str] = _NO_HOSTS
    barred: frozenset[str] = _NO_HOSTS
    paused: bool = False
    until: float = math.inf

    @classmethod
    def at(
        cls,
        now: float,
        denied: Mapping[str, float],
        denied_for: Mapping[str, Mapping[str, float]],
        probation: tuple[str, ...],
        *,
        barred: tuple[str, ...] = (),
        paused: bool = False,
    ) -> Shunned:
        """How the nodes stand at a time; a node whose denial has just ended is on probation.

        Args:
            now: Unix seconds.
            denied: Until when nodes are denied for every app.
            denied_for: The same by app.
            probation: Nodes on probation.
            barred: Nodes that a person keeps out.
            paused: Whether only a few tasks at a time go out.
        """
        current = {app: {host for host, until in hosts.items() if until > now} for app, hosts in denied_for.items()}
        ahead = [until for hosts in (denied, *denied_for.values()) for until in hosts.values() if until > now]
        refused = frozenset(host for host, until in denied.items() if until > now)
        return cls(
            denied=refused,
            denied_for={app: frozenset(hosts) for app, hosts in current.items() if hosts},
            probation=frozenset({*probation, *denied} - refused),
            barred=refused.intersection(barred),
            paused=paused,
            until=min(ahead, default=math.inf),
        )

    def denied_to(self, app: str | None) -> frozenset[str]:
        """The nodes that may not get an app's tasks.

        Args:
            app: The app; None is one of no name, or one that no node is denied for.
        """
        own = self.denied_for.get(app) if app is not None else None
        return self.denied | own if own else self.denied

    def holds_back(self, host: str) -> bool:
        """Whether a node may not get as many tasks as it has room for, whatever they are."""
        return host in self.denied or host in self.probation

    def names(self, host: str) -> bool:
        """Whether a node is denied for something, or on probation."""
        return self.holds_back(host) or any(host in hosts for hosts in self.denied_for.values())


NOBODY = Shunned()
