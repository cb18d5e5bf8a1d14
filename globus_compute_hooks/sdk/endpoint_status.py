"""What the web service says of endpoints, asked in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("octopus_plugins")

OFFLINE = "offline"
"""The web service's word for an endpoint whose heartbeats it misses."""

ASK_SECONDS = 5.0
"""Seconds between two questions about one endpoint."""

FRESH_SECONDS = 3 * ASK_SECONDS
"""How old an answer may be that is relied upon."""


class EndpointStatus:
    """Asks the web service in the background; never waits for it. Thread-safe.

    Args:
        ask: Asks for the status of an endpoint, by its id; may take its time, and may raise.
    """

    def __init__(self, ask: Callable[[str], str]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        self._known: dict[str, tuple[float, str]] = {}
        self._questions: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def is_gone(self, endpoint: str) -> bool:
        """Whether the web service has just said that an endpoint is offline; else has it asked, if it is time."""
        now = time.monotonic()
        with self._lock:
            if now >= self._asked.get(endpoint, -ASK_SECONDS) + ASK_SECONDS:
                self._asked[endpoint] = now
                self._questions.put(endpoint)
                self._begin()
            at, status = self._known.get(endpoint, (-FRESH_SECONDS, ""))
        return status == OFFLINE and now < at + FRESH_SECONDS

    def close(self) -> None:
        """Ask no more; returns at once."""
        self._questions.put(None)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="octopus-endpoint-status", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (endpoint := self._questions.get()) is not None:
            try:
                status = self._ask(endpoint)
            except Exception as error:  # noqa: BLE001 - no answer is no evidence
                logger.info("the web service does not say how endpoint %s is: %s", endpoint, error)
                continue
            with self._lock:
                self._known[endpoint] = time.monotonic(), status
