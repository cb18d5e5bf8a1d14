"""A watch over a run, in a thread of its own: what no event of Parsl's would ever tell."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from parsl_monitor.run.stragglers import end_stragglers

if TYPE_CHECKING:
    from parsl_monitor.hub import OctopusMonitoringHub

logger = logging.getLogger("octopus_plugins")

PERIOD = 0.5
"""Seconds between looks."""

GLANCE = 0.1
"""Seconds between glances at whether anything failed meanwhile: then it looks at once."""


class RunWatch:
    """Ends stragglers, and keeps telling the executors how their nodes stand: denials end, probations begin.

    It does nothing until a WrathRetryHandler with an active policy is in force, and hardly anything while nothing
    fails. Lost blocks are not its business: Parsl's job status poller looks after them, by `Revival`.

    Args:
        hub: The run's hub.
        period: Seconds between looks.
    """

    def __init__(self, hub: OctopusMonitoringHub, period: float = PERIOD) -> None:
        self._hub = hub
        self._period = period
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="octopus-watch", daemon=True)
        self._complained = False
        self._steering = False
        self._failures = 0

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; waits a second at most for the look that is under way."""
        self._closed.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def look(self, now: float) -> None:
        """Look once.

        Args:
            now: Unix seconds.
        """
        policy = self._hub.policy
        if policy is None or self._hub.watches_only:
            return
        end_stragglers(self._hub, policy, now)
        if not self._steering:
            run_id = self._hub.story.run_id
            with self._hub.story.lock:
                run = self._hub.story.history.run(run_id)
                # Once something failed, scores and denials change with time too; before, there is nothing to tell.
                failed = run is not None and run.failures > 0
                self._steering = failed or bool(self._hub.story.history.denied_hosts(now, run_id))
        if self._steering:
            self._hub.steer()

    def _has_news(self) -> bool:
        """Whether anything failed since the last glance: a node that fails fast takes tasks by the hundred."""
        with self._hub.story.lock:
            run = self._hub.story.history.run(self._hub.story.run_id)
            before, self._failures = self._failures, run.failures if run is not None else 0
        return self._failures != before

    def _run(self) -> None:
        due = 0.0
        while not self._closed.wait(min(GLANCE, self._period)):
            try:
                if self._has_news() or time.monotonic() >= due:
                    due = time.monotonic() + self._period
                    self.look(time.time())
            except Exception:
                # The border between our thread and the run, which goes on without it.
                if not self._complained:
                    self._complained = True
                    logger.exception("The watch over the run failed; it goes on (said once)")
