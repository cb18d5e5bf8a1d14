"""What the submit side tells all worker pools of an executor while they run: a grant to produce, a pace for samples.

The way of a notice: the submit side puts it into Parsl's queue of tasks, the interchange takes it out and sends the
last one of each kind to every manager, those that come later included; the pool's own process keeps it. All of it over
Parsl's channel.
"""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("parsl.executors.high_throughput.process_worker_pool")

NOTICE = "octopus_notice"
"""Key of the context of what looks like a task to Parsl and carries a notice to the interchange: kind and pickle."""

GRANT = "grant"
"""Kind of a notice: a `octopus_plugins.fabric.kafka.delegation.Grant`."""

PACE = "pace"
"""Kind of a notice: how many times further apart than set the samples of a run are to be."""


class NoticeMessage:
    """A notice as a manager receives it: to unpickle it hands the notice over, and leaves a list of no tasks.

    Args:
        kind: GRANT or PACE.
        packed: What it says, pickled.
    """

    def __init__(self, kind: str, packed: bytes) -> None:
        self._kind = kind
        self._packed = packed

    def __reduce__(self) -> Any:
        return take, (self._kind, self._packed)

    def __repr__(self) -> str:
        return f"<NoticeMessage {self._kind}>"


class Notices:
    """The last notice of each kind that this process was given, and who waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Any] = {}
        self._listeners: dict[str, Callable[[Any], None]] = {}

    def put(self, kind: str, notice: Any) -> None:
        """A notice has come."""
        with self._lock:
            self._last[kind] = notice
            if kind in self._listeners:
                self._listeners[kind](notice)

    def listen(self, kind: str, listener: Callable[[Any], None]) -> None:
        """Be called with each notice of a kind, and with the last one at once."""
        with self._lock:
            self._listeners[kind] = listener
            if kind in self._last:
                listener(self._last[kind])


received = Notices()
"""What this process, a pool, was given."""


def task_like(kind: str, notice: bytes) -> dict[str, Any]:
    """What is put into Parsl's queue of tasks.

    Args:
        kind: GRANT or PACE.
        notice: What it says, pickled.
    """
    return {"task_id": 0, "context": {NOTICE: (kind, notice)}, "buffer": b""}


def take(kind: str, packed: bytes) -> list[Any]:
    """Take a notice; called where a manager unpickles what came from the interchange, which it must not hurt.

    Args:
        kind: GRANT or PACE.
        packed: What it says, pickled.

    Returns:
        No tasks.
    """
    try:
        received.put(kind, pickle.loads(packed))
    except Exception as error:  # noqa: BLE001 - without a traceback, whose lines could show a token
        logger.warning("A notice of the submit side (%s) cannot be used (%s)", kind, type(error).__name__)
    return []
