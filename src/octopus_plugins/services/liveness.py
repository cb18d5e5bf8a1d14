"""Signs of life of the decider services."""

from __future__ import annotations

import threading

from octopus_plugins.events import Heartbeat

COMPONENT = "decider"
"""The component that a decider service's heartbeats name."""

PERIOD = 1.0
"""Seconds between two of its heartbeats."""

_MISSED = 3  # heartbeats that may be missed
_MAX_PERIOD = 60.0  # what a heartbeat may claim: it is untrusted input
_MAX_SERVICES = 1_000


class LifeSigns:
    """Until when each service is taken for alive, by the clock of whoever listens. Thread-safe."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, int | None], float] = {}
        self._lock = threading.Lock()

    def hear(self, heartbeat: Heartbeat, now: float) -> None:
        """Take in a heartbeat.

        Args:
            heartbeat: Of a decider; one whose state is not ``up`` takes its leave.
            now: When it arrived, monotonic seconds.
        """
        period = heartbeat.period if heartbeat.period is not None else PERIOD
        speaker = (heartbeat.host, heartbeat.pid)
        with self._lock:
            if heartbeat.state != "up":
                self._until.pop(speaker, None)
                return
            if len(self._until) >= _MAX_SERVICES:
                self._until = {known: until for known, until in self._until.items() if until > now}
            if len(self._until) < _MAX_SERVICES or speaker in self._until:
                self._until[speaker] = now + _MISSED * min(max(period, 0.0), _MAX_PERIOD)

    def alive(self, now: float) -> bool:
        """Whether any service was heard within 3 of its periods before ``now``, monotonic seconds."""
        with self._lock:
            return any(until > now for until in self._until.values())

    def forget(self) -> None:
        """Take every service for dead until it is heard again."""
        with self._lock:
            self._until.clear()
