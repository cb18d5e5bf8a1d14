"""Calls made later, from one thread that sleeps until the next is due."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("octopus_plugins")


LONGEST_WAIT = 3600.0
"""Seconds of one wait; a lock takes no more than threading.TIMEOUT_MAX."""


class Delays:
    """Makes calls at their time, however many wait; the thread starts with the first.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def call(self, delay: float, function: Callable[[], None]) -> None:
        """Call ``function`` after ``delay`` seconds, unless closed before.

        Raises:
            ValueError: The delay is no finite number.
        """
        if not math.isfinite(delay):
            raise ValueError(f"a delay of {delay} seconds")
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + delay, next(self._order), function))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Make no further calls."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def __len__(self) -> int:
        return len(self._due)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    left = self._due[0][0] - time.monotonic() if self._due else LONGEST_WAIT
                    self._changed.wait(min(left, LONGEST_WAIT))
                if self._closed:
                    return
                function = heapq.heappop(self._due)[2]
            try:
                function()
            except Exception:
                logger.exception("A delayed call failed; the others go on")
