"""How a retry goes back to an executor: when, and to which nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from octopus_plugins.events import Placement
from octopus_plugins.htex.wishes import AVOID, AVOID_BLOCKS, PREFER, PREFER_SECONDS

STEERING = "octopus_steering"
"""Key of a resource specification under which the retry handler tells the executor how to place a retry."""

FRONT_OF_THE_QUEUE = 0

AVOID_SECONDS = 9.0
"""How long a retry is kept for another node where its decision does not say. If none has room by then, the node that it
avoids is better than none: no node stands idle for long while tasks wait."""


@dataclass(frozen=True, slots=True)
class Steering:
    """How a retry goes back to an executor.

    Attributes:
        delay: Seconds to wait first.
        avoid_hosts: Nodes that must not get it while there is another one.
        avoid_blocks: Blocks that must not get it while there is another one.
        avoid_for: Seconds for which they are kept off at most.
        prefer_hosts: Nodes that should get it, best first; after a second or two any other may.
        first: Whether it goes to the front of the executor's queue.
    """

    delay: float = 0.0
    avoid_hosts: tuple[str, ...] = ()
    avoid_blocks: tuple[str, ...] = ()
    avoid_for: float = AVOID_SECONDS
    prefer_hosts: tuple[str, ...] = ()
    first: bool = True

    def context(self, now: float) -> dict[str, Any]:
        """What the interchange is told of the task, in its context.

        Args:
            now: Unix seconds.
        """
        told: dict[str, Any] = {}
        if self.avoid_hosts:
            told[AVOID] = self.avoid_hosts, now + self.delay + self.avoid_for
        if self.avoid_blocks:
            told[AVOID_BLOCKS] = self.avoid_blocks, now + self.delay + self.avoid_for
        if self.prefer_hosts:
            until = now + self.delay + PREFER_SECONDS
            told[PREFER] = self.prefer_hosts, until
        return told


def steering_of(placement: Placement, delay: float = 0.0) -> Steering:
    """The way of a retry that a decision has placed.

    Args:
        placement: Where it goes.
        delay: Seconds to wait first.
    """
    return Steering(
        delay=delay,
        avoid_hosts=placement.avoid_hosts,
        avoid_blocks=placement.avoid_blocks,
        avoid_for=placement.avoid_for or AVOID_SECONDS,
        prefer_hosts=placement.prefer_hosts,
        first=placement.first,
    )
