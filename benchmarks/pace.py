"""How quick the machine is at the moment: shared ones are a half quicker in one minute than in the next."""

from __future__ import annotations

import json
import statistics
import threading
import time
from types import TracebackType

PERIOD = 1.0
"""Seconds between looks; one takes some milliseconds."""

_WORK = {
    "run_id": "r" * 36,
    "tasks": list(range(200)),
    "host": "node-1",
    "usage": {"cpu_user": 0.25, "peak_rss": 1 << 27},
}
_TIMES = 100


class Pace:
    """Measures, once a second while it is open, the CPU that one piece of work takes: what Python does all day.

    CPU time, not time: it says how quick the processor is, and its caches, and not how long one waited for it.
    """

    def __init__(self) -> None:
        self._found: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="pace", daemon=True)

    def __enter__(self) -> Pace:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def between(self, begin: float, end: float) -> float:
        """The median of what the piece of work took.

        Args:
            begin: Of the time that counts, in seconds of ``time.monotonic``. One look before it and one after its end
                count, too: it may be shorter than the time between two.
            end: Of the time that counts.

        Returns:
            Microseconds of CPU.

        """
        found = [took for at, took in self._found if begin - PERIOD <= at <= end + PERIOD]
        # On a machine that is very busy none may have come to its turn.
        return statistics.median(found or [min(self._found, key=lambda look: abs(look[0] - begin))[1]])

    def _look(self) -> None:
        while True:
            begun = time.thread_time()
            for _ in range(_TIMES):
                json.loads(json.dumps(_WORK))
            self._found.append((time.monotonic(), 1e6 * (time.thread_time() - begun) / _TIMES))
            if self._ended.wait(PERIOD):
                return
