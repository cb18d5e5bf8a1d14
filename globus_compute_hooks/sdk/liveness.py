"""Which endpoints are silent that should not be, from their heartbeats. Pure: the clock is passed in."""

from __future__ import annotations

from dataclasses import dataclass

from octopus_plugins.events import Heartbeat

MISSED = 3
"""Heartbeats that an endpoint may miss."""

START_UP = 60.0
"""Seconds that an endpoint which was silent when it was given a task may take to begin."""

OWN_PERIOD = 1.0
"""Seconds between our own heartbeats."""

MAX_ENDPOINTS = 10_000
_PERIODS = (0.1, 3600.0)  # what a heartbeat may claim: it is untrusted input


@dataclass(frozen=True, slots=True)
class Suspicion:
    """An endpoint is silent that was given a task. It may have died, or only lost its way to the broker.

    Attributes:
        reason: What is known, as a clause.
        had_it: Whether it was alive when it was given the task.
        beginning: Whether it was silent by then, and may just be starting.
    """

    reason: str
    had_it: bool
    beginning: bool


@dataclass(slots=True)
class _Life:
    """One endpoint. Times are monotonic seconds.

    Attributes:
        run_id: Its session.
        period: Seconds between its heartbeats.
        began: When its session was first heard of.
        last: When it was last heard of.
        told: When it said so, by its own clock, Unix seconds.
        before: When its earlier session was last heard of.
    """

    run_id: str
    period: float
    began: float
    last: float
    told: float
    before: float | None = None


class EndpointSigns:
    """What was heard of endpoints, and of ourselves.

    Silence counts only while we hear our own heartbeats come back from the topics: a broker that is away keeps all
    endpoints silent at once.
    """

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}
        self._heard_self: float | None = None
        self._hearing_since = 0.0

    def hear(self, heartbeat: Heartbeat, now: float) -> None:
        """Take in a heartbeat of an endpoint.

        Args:
            heartbeat: With the endpoint in ``executor``.
            now: When it arrived, monotonic seconds.
        """
        endpoint = heartbeat.executor
        if endpoint is None or not heartbeat.period:
            return
        period = min(max(heartbeat.period, _PERIODS[0]), _PERIODS[1])
        life = self._lives.get(endpoint)
        if life is None:
            if len(self._lives) < MAX_ENDPOINTS:
                self._lives[endpoint] = _Life(heartbeat.run_id, period, now, now, heartbeat.time)
        elif life.run_id == heartbeat.run_id:
            life.period, life.last, life.told = period, now, max(life.told, heartbeat.time)
        elif heartbeat.time > life.told:  # else it is the earlier session's, and late
            self._lives[endpoint] = _Life(heartbeat.run_id, period, now, now, heartbeat.time, before=life.last)

    def hear_self(self, now: float) -> None:
        """One of our own heartbeats came back."""
        if self._heard_self is None or now - self._heard_self > MISSED * OWN_PERIOD:
            self._hearing_since = now
        self._heard_self = now

    def doubtful(self, now: float) -> set[str]:
        """The endpoints whose heartbeats are overdue.

        Args:
            now: Monotonic seconds.
        """
        return {endpoint for endpoint, life in self._lives.items() if now - life.last > MISSED * life.period}

    def suspicion(self, endpoint: str, given: float, now: float) -> Suspicion | None:
        """Why an endpoint may never answer for a task; None where nothing says so.

        Args:
            endpoint: The endpoint, by the id under which it reports.
            given: When it was given the task, monotonic seconds.
            now: Monotonic seconds.
        """
        life = self._lives.get(endpoint)
        if life is None or self._heard_self is None or now - self._heard_self > MISSED * OWN_PERIOD:
            return None
        if life.before is not None and given <= life.before:
            return None  # it was started anew, and says itself what it has lost
        alive_then = given <= life.last
        silence = now - max(life.last if alive_then else given, self._hearing_since)
        if silence <= MISSED * life.period:
            return None
        reason = (
            f"it has given no sign of life for {now - life.last:.1f} s, and gave one every {life.period:g} s before"
        )
        return Suspicion(reason, had_it=alive_then, beginning=not alive_then and silence <= START_UP)
