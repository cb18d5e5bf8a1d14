"""Failed tries that may still have to be decided, and those that are decided."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import TypeAlias

from octopus_plugins.events import Decision, Failure

Try: TypeAlias = tuple[str, str, int]
"""Run, task, try."""

MAX_WAITING = 50_000
MAX_DECIDED = 100_000
"""Decided tries that are remembered: those of the last minute at 1,600 a second. Older failures nobody decides."""


class Undecided:
    """Failures that nobody has decided yet, oldest first, each with its partition. Bounded."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Try, tuple[Failure, int, float]] = OrderedDict()
        self._decided: OrderedDict[Try, None] = OrderedDict()

    def add(self, failure: Failure, partition: int, now: float = math.inf) -> None:
        """A failure has come that is not decided.

        Args:
            failure: The failure.
            partition: Where it came.
            now: Unix seconds: one that says that it is yet to happen waits no longer than others.
        """
        self._waiting[try_of(failure)] = (failure, partition, min(failure.time, now))

    def is_decided(self, event: Failure | Decision) -> bool:
        """Whether a decision on its try was seen or made, also if that came before the failure."""
        return try_of(event) in self._decided

    def settle(self, event: Failure | Decision) -> Failure | None:
        """A try is decided.

        Returns:
            Its failure, where that was waiting.
        """
        key = try_of(event)
        self._decided[key] = None
        if len(self._decided) > MAX_DECIDED:
            self._decided.popitem(last=False)
        waiting = self._waiting.pop(key, None)
        return waiting[0] if waiting else None

    def waiting(self) -> list[tuple[Failure, int]]:
        """The failures that wait, each with its partition."""
        return [(failure, partition) for failure, partition, _ in self._waiting.values()]

    def waits_since(self, failure: Failure) -> float:
        """Since when a failure waits, Unix seconds: since it happened, as far as that is in the past."""
        found = self._waiting.get(try_of(failure))
        return found[2] if found is not None else failure.time

    def give_up(self, before: float) -> Iterator[Failure]:
        """Take out the failures that happened before this Unix time, and the oldest of too many."""
        for key, (failure, _, since) in list(self._waiting.items()):
            if since < before or len(self._waiting) > MAX_WAITING:
                del self._waiting[key]
                yield failure


def try_of(event: Failure | Decision) -> Try:
    """What identifies a try."""
    return event.run_id, event.task_id, event.try_id
