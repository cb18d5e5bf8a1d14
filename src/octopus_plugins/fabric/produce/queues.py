"""What waits in memory: samples always, records only where the disk does not take them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from operator import attrgetter

from octopus_plugins.fabric.record import Record

_key, _value = attrgetter("key"), attrgetter("value")
_OVERHEAD = 200  # bytes that Python needs for a record besides key and value


class BoundedQueue:
    """A queue bounded in bytes: when it is full, the oldest of the least important goes.

    What is taken stays accounted for until it is acknowledged, and comes back on ``rewind``.
    """

    def __init__(self, max_bytes: int, levels: int = 1) -> None:
        """Make an empty queue.

        Args:
            max_bytes: Most that may wait, in bytes.
            levels: How many levels of importance there are; 0 is the most important.
        """
        self._max_bytes = max_bytes
        self._levels: list[deque[Record]] = [deque() for _ in range(levels)]
        self._taken: deque[tuple[int, list[Record]]] = deque()
        self._bytes = 0
        self._count = 0  # with those taken
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    @property
    def unread(self) -> bool:
        """Whether there is anything that was not taken yet."""
        return any(self._levels)

    def put(self, record: Record, level: int = 0) -> list[Record]:
        """Append a record, and return those that had to go for it (perhaps itself)."""
        with self._lock:
            self._levels[level].append(record)
            self._bytes += _size(record)
            self._count += 1
            return self._trim() if self._bytes > self._max_bytes else []

    def take(self, max_bytes: int) -> tuple[list[Record], int]:
        """Take the next records, the most important first.

        Returns:
            The records (at least one, if there is any) and a token for ``acknowledge``.
        """
        with self._lock:
            for level, queue in enumerate(self._levels):
                if not queue:
                    continue
                records: list[Record] = []
                size = 0
                while queue and (not records or size + _size(queue[0]) <= max_bytes):
                    record = queue.popleft()
                    size += _size(record)
                    records.append(record)
                self._bytes -= size
                self._taken.append((level, records))
                return records, level
        return [], 0

    def acknowledge(self, token: int, count: int) -> None:
        """Forget the records that were taken first; they have arrived."""
        with self._lock:
            self._taken.popleft()
            self._count -= count

    def rewind(self) -> list[Record]:
        """Put back what was taken and not acknowledged, and return what no longer fits."""
        with self._lock:
            while self._taken:
                level, records = self._taken.pop()
                self._levels[level].extendleft(reversed(records))
                self._bytes += sum(map(_size, records))
            return self._trim()

    def drain(self) -> list[Record]:
        """Take out everything that has not been acknowledged."""
        gone = self.rewind()
        with self._lock:
            for queue in self._levels:
                gone += queue
                queue.clear()
            self._bytes = self._count = 0
        return gone

    def _trim(self) -> list[Record]:
        gone = []
        for queue in reversed(self._levels):
            while self._bytes > self._max_bytes and queue:
                record = queue.popleft()
                self._bytes -= _size(record)
                self._count -= 1
                gone.append(record)
        return gone


def total_bytes(records: Collection[Record]) -> int:
    """How much memory or buffer these records take, in bytes."""
    return sum(map(len, map(_key, records))) + sum(map(len, map(_value, records))) + _OVERHEAD * len(records)


def _size(record: Record) -> int:
    return len(record.key) + len(record.value) + _OVERHEAD
