"""Failures that wait for a decider service: the try's future is settled when its decision or its deadline comes."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from octopus_plugins.events import Decision, Failure
from octopus_plugins.frameworks.timers import Delays

logger = logging.getLogger("octopus_plugins")


LATE_IN_A_ROW = 3
"""Deadlines that pass one after the other without a decision, after which a service is not waited for."""

ASK_AGAIN = 30.0
"""Seconds after which one failed task waits all the same, to find out whether the service is in time again."""

MAX_WATCHED = 1_000
"""Failures that nobody waits for of which it is remembered until when a decision would have been in time."""


@dataclass(slots=True)
class Verdict:
    """A failure that was told, and what is to be done about it.

    Attributes:
        failure: The failure, as it was told.
        local: What the workflow itself decided when it happened.
        release: Settles the future that Parsl holds.
        remote: What the service decided, if it came in time.
    """

    failure: Failure
    local: Decision
    release: Callable[[], None]
    remote: Decision | None = None


class Verdicts:
    """Holds failed tries back until the service has decided, each for its deadline at most. Thread-safe.

    No thread waits: what holds a try is an entry here and one in the delays. A service that is alive and late again and
    again is not waited for, until a decision of it would have been in time, or was.

    Args:
        delays: Whose thread settles a try at its deadline.
    """

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], Verdict] = {}
        self._ready: dict[tuple[str, int], Verdict] = {}
        self._closed = False
        self._late_in_a_row = 0
        self._ask_at = 0.0
        self._watched: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._complained = False
        self.in_time = 0
        """Decisions that came before the deadline."""
        self.late = 0
        """Tries that were settled at the deadline."""

    def worth_waiting(self, task_id: str, try_id: int, deadline: float) -> bool:
        """Whether a failed try should wait for the service, which has not been late all the time.

        Args:
            task_id: Parsl's task.
            try_id: Its try, of which the service hears in any case.
            deadline: Seconds that it would wait at most.
        """
        now = time.monotonic()
        with self._lock:
            if self._late_in_a_row < LATE_IN_A_ROW:
                return True
            if now >= self._ask_at:
                self._ask_at = now + ASK_AGAIN
                return True
            self._watched[task_id, try_id] = now + deadline
            if len(self._watched) > MAX_WATCHED:
                self._watched.popitem(last=False)
            return False

    def hold(self, verdict: Verdict, deadline: float) -> bool:
        """Hold a failed try.

        Args:
            verdict: The failure, the decision that holds if no other comes, and how to settle the try.
            deadline: Seconds.

        Returns:
            False after ``close``: nothing is held any more.
        """
        key = verdict.failure.task_id, verdict.failure.try_id
        with self._lock:
            if self._closed:
                return False
            self._held[key] = verdict
        self._delays.call(deadline, lambda: self._expire(key, verdict))
        return True

    def hear(self, decision: Decision) -> bool:
        """Take in a decision of the service.

        Returns:
            Whether a try was waiting for it; one that comes late, or that nobody asked for, changes nothing.
        """
        key = decision.task_id, decision.try_id
        with self._lock:
            verdict = self._held.pop(key, None)
            if verdict is not None or self._watched.pop(key, 0.0) > time.monotonic():
                self._late_in_a_row = 0
                self._watched.clear()
            if verdict is None:
                return False
            verdict.remote = decision
            self._ready[key] = verdict
            self.in_time += 1
        _settle(verdict)
        return True

    def take(self, task_id: str, try_id: int) -> Verdict | None:
        """The verdict of a try that was held, once; None for one that was not."""
        with self._lock:
            return self._ready.pop((task_id, try_id), None)

    def release_all(self) -> None:
        """Settle all that is held, by what the workflow itself decided."""
        with self._lock:
            waiting, self._held = self._held, {}
            self._ready |= waiting
        for verdict in waiting.values():
            _settle(verdict)

    def release(self, task_id: str) -> None:
        """Settle the tries of a task that are held, by what the workflow itself decided."""
        with self._lock:
            waiting = {key: verdict for key, verdict in self._held.items() if key[0] == task_id}
            for key in waiting:
                del self._held[key]
            self._ready |= waiting
        for verdict in waiting.values():
            _settle(verdict)

    def close(self) -> None:
        """Settle all that is held, and hold nothing more."""
        with self._lock:
            self._closed = True
        self.release_all()

    def __len__(self) -> int:
        return len(self._held)

    def _expire(self, key: tuple[str, int], verdict: Verdict) -> None:
        with self._lock:
            if self._held.get(key) is not verdict:
                return  # decided in time
            self._ready[key] = self._held.pop(key)
            self.late += 1
            self._late_in_a_row += 1
            if self._late_in_a_row == LATE_IN_A_ROW:
                self._ask_at = time.monotonic() + ASK_AGAIN
            complain = self._late_in_a_row >= LATE_IN_A_ROW and not self._complained
            self._complained = self._complained or complain
        if complain:
            logger.warning(
                "The decider service is alive, but has not decided %d failures in a row within the deadline: the"
                " workflow decides without waiting for it, and asks again every %g s (said once)",
                LATE_IN_A_ROW,
                ASK_AGAIN,
            )
        _settle(verdict)


def _settle(verdict: Verdict) -> None:
    try:
        verdict.release()
    except Exception:
        # The border to Parsl's callbacks: other tries, and this thread, go on.
        logger.exception("Task %s could not be settled", verdict.failure.task_id)
