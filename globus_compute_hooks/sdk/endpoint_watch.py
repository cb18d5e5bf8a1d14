"""Listens to the heartbeats of endpoints, and says of which tasks it is doubtful that they will be answered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from globus_compute_hooks.sdk.liveness import OWN_PERIOD, EndpointSigns, Suspicion
from globus_compute_hooks.sdk.submission import Submission
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Heartbeat, Topic
from octopus_plugins.fabric.kafka.follower import Arrival, Follower, Wanted

logger = logging.getLogger("octopus_plugins")

LOOK_BACK = 60.0
"""Seconds before its beginning from which on heartbeats count: an endpoint may die before the next one is due."""


class EndpointWatch:
    """Costs a thread that sleeps nearly always. Never raises, and never waits for the network but in that thread.

    Args:
        config: Which brokers.
        run_id: The executor's own run.
        waiting: How many submissions wait for an answer.
        given: Those of them that an endpoint was given.
        beat: Tells a heartbeat of the executor itself, with its period.
        suspected: Called, from the thread, with a submission that may never be answered, the number of its try and
            why; again after a second while the submission's mark is taken off.
    """

    def __init__(
        self,
        config: OctopusConfig,
        run_id: str,
        waiting: Callable[[], int],
        given: Callable[[], Iterable[Submission]],
        beat: Callable[[float], None],
        suspected: Callable[[Submission, int, Suspicion], None],
    ) -> None:
        self._run_id, self._waiting, self._given, self._beat = run_id, waiting, given, beat
        self._suspected = suspected
        self._told: set[str] = set()
        self._signs = EndpointSigns()
        self._next_beat = 0.0
        began = time.time() - LOOK_BACK
        # Whoever produces the executor's events warns of a broker that is away.
        self._follower = Follower(config, Wanted(Topic.heartbeats, began), level=logging.INFO)
        self._thread = threading.Thread(target=self._run, name="octopus-endpoints", daemon=True)

    def start(self) -> None:
        """Begin to listen; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening, within a second; returns at once."""
        self._follower.close()

    def _run(self) -> None:
        try:
            for arrivals in self._follower.read_batches():
                for arrival in arrivals:
                    self._hear(arrival)
                if self._waiting():
                    self._look(time.monotonic())
        except Exception:
            # The border of the thread: the executor goes on without knowing which endpoints live.
            logger.exception("lost endpoints are no longer noticed by executor %s", self._run_id)

    def _hear(self, arrival: Arrival) -> None:
        event = arrival.event
        if not isinstance(event, Heartbeat):
            return
        if event.run_id == self._run_id:
            self._signs.hear_self(time.monotonic())
        elif event.component == "endpoint":
            self._signs.hear(event, time.monotonic())

    def _look(self, now: float) -> None:
        if now >= self._next_beat:
            self._next_beat = now + OWN_PERIOD
            self._beat(OWN_PERIOD)
        doubtful = self._signs.doubtful(now)
        self._told &= doubtful
        for submission in self._given() if doubtful else ():
            try_id, since, endpoint = submission.try_id, submission.given, submission.user_endpoint
            if since is None or endpoint not in doubtful or submission.lost:
                continue
            suspicion = self._signs.suspicion(endpoint, since, now)
            if suspicion is None:
                continue
            if endpoint not in self._told and not suspicion.beginning:
                self._told.add(endpoint)
                logger.warning(
                    "Endpoint %s may have lost its tasks: %s. They are waited for, unless there is another endpoint on"
                    " the ladder and the web service says that this one is offline",
                    endpoint,
                    suspicion.reason,
                )
            submission.lost = True
            self._suspected(submission, try_id, suspicion)
