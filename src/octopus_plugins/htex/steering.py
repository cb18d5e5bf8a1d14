"""How a retry goes back to an executor: when, and to which nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from octopus_plugins.events import Placement
from octopus_plugins.htex.placement_hints import (
    AVOID,
    AVOID_BLOCKS,
    AVOID_IDLE_SECONDS,
    AVOID_SECONDS,
    PATIENCE,
    PREFER,
    PREFER_SECONDS,
)

FRONT_OF_THE_QUEUE = 0


@dataclass(frozen=True, slots=True)
class Steering:
    """How a retry goes back to an executor.

    Attributes:
        delay: Seconds to wait first.
        avoid_hosts: Nodes that must not get it while there is another one.
        avoid_blocks: Blocks that must not get it while there is another one.
        avoid_for: Seconds for which they are kept off while they have room and no other one has.
        prefer_hosts: Nodes that should get it, best first; after a second or two any other may.
        first: Whether it goes to the front of the executor's queue.
    """

    delay: float = 0.0
    avoid_hosts: tuple[str, ...] = ()
    avoid_blocks: tuple[str, ...] = ()
    avoid_for: float = AVOID_IDLE_SECONDS
    prefer_hosts: tuple[str, ...] = ()
    first: bool = True

    def context(self, now: float) -> dict[str, Any]:
        """What the interchange is told of the task, in its context.

        Args:
            now: Unix seconds.
        """
        told: dict[str, Any] = {}
        if self.avoid_hosts:
            told[AVOID] = self.avoid_hosts, now + self.delay + AVOID_SECONDS
        if self.avoid_blocks:
            told[AVOID_BLOCKS] = self.avoid_blocks, now + self.delay + AVOID_SECONDS
        if told:
            told[PATIENCE] = now + self.delay + self.avoid_for
        if self.prefer_hosts:
            until = now + self.delay + PREFER_SECONDS
            told[PREFER] = self.prefer_hosts, until
        return told


class SteeredSpecification(dict[str, Any]):
    """A task's resource specification, as it was, that also tells our executor how the task goes back to it.

    To everybody else it is the dict that it equals: what pickles or copies it gets a plain dict.

    Args:
        specification: What the user asked for.
        steering: How the task goes back.
        accepted: The keys that its executor takes, where it was made for another kind of executor; None for all.
    """

    __slots__ = ("accepted", "steering")

    def __init__(
        self, specification: Mapping[str, Any], steering: Steering, accepted: frozenset[str] | None = None
    ) -> None:
        super().__init__(specification)
        self.steering = steering
        self.accepted = accepted

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def for_executor(self) -> dict[str, Any]:
        """What the executor is to be asked for."""
        return {key: value for key, value in self.items() if self.accepted is None or key in self.accepted}


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
        avoid_for=placement.avoid_for or AVOID_IDLE_SECONDS,
        prefer_hosts=placement.prefer_hosts,
        first=placement.first,
    )
