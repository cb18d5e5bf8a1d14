"""Workers that a pool is starting anew: slots that look free to the interchange, and that nobody serves yet.

To start a worker takes half a second on a quiet machine and longer on a busy file system. What is handed to its pool
meanwhile waits there, though another node may have room before: as a rule a retry, which is first in the queue. A pool
of ours says when a worker has to be started, and the worker when it has come. Both travel as monitoring messages, and
go no further than the interchange.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from octopus_plugins.htex import observation

START_SECONDS = 8.0
"""For how long at most a slot counts as taken by a worker that starts: a node is never idle for long for a message that
did not come."""

STARTS = "octopus_starts"
"""Key of a manager's record: until when each worker counts that starts, monotonic seconds by worker number."""


def starting(record: Mapping[str, Any]) -> int:
    """How many of a manager's slots wait for their worker."""
    starts = record.get(STARTS)
    if not starts:
        return 0
    now = time.monotonic()
    return sum(now < until for until in starts.values())


class Overhearing:
    """The interchange's way to the hub, which keeps for itself what it is told of workers that start.

    Args:
        radio: Parsl's sender of monitoring messages.
        managers: Parsl's records of managers, by identity.
    """

    def __init__(self, radio: Any, managers: Mapping[bytes, Any]) -> None:
        self.radio = radio
        self._managers = managers

    def send(self, message: Any) -> None:
        """Send the hub a message that came from a manager."""
        match message:
            case (
                observation.TAG,
                {
                    "kind": observation.STARTING | observation.READY as kind,
                    "place": {"manager": str(manager), "worker_id": int(worker)},
                },
            ):
                self._hear(kind, manager, worker)
            case _:
                self.radio.send(message)

    def _hear(self, kind: str, manager: str, worker: int) -> None:
        record = self._managers.get(manager.encode())
        if record is None:
            return
        starts = record.setdefault(STARTS, {})
        if kind == observation.STARTING:
            starts[worker] = time.monotonic() + START_SECONDS
        else:
            starts.pop(worker, None)
