"""How long the tries of an app take."""

from __future__ import annotations

from array import array

REMEMBERED = 64
"""Run times kept of an app: enough to know its longest, and few enough for thousands of apps."""


class RunTimes:
    """The last run times of an app's tries that ended well, in seconds."""

    __slots__ = ("_next", "_times")

    def __init__(self) -> None:
        self._times = array("d")
        self._next = 0

    def __len__(self) -> int:
        return len(self._times)

    def add(self, seconds: float) -> None:
        """Remember one; the oldest is forgotten."""
        if len(self._times) < REMEMBERED:
            self._times.append(seconds)
        else:
            self._times[self._next] = seconds
            self._next = (self._next + 1) % REMEMBERED

    @property
    def longest(self) -> float:
        """The longest that is remembered; 0 where none is."""
        return max(self._times, default=0.0)
