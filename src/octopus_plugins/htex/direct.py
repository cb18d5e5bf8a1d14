"""Resource samples that a node produces by itself, with a short-lived token that the submit side renews.

A user asks for it by ``OctopusHighThroughputExecutor(direct=True)``. The way of a token: the submit side puts it into
Parsl's queue of tasks, the interchange takes it out and sends it to the managers, the pool's own process keeps it: all
over Parsl's channel, which must be encrypted. Workers are not concerned: their samples pass through the pool anyway.

One sample in ten seconds of each task goes to the submit side all the same, for decisions: where a whole node is lost,
the last sample is what tells why. So does all that cannot be produced from the node.
"""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_plugins.fabric.grants import Deputy, Grant
    from octopus_plugins.htex.observation import Settings

logger = logging.getLogger("parsl.executors.high_throughput.process_worker_pool")

GRANT = "octopus_grant"
"""Key of the context of what looks like a task to Parsl and carries a grant to the interchange."""

SHARE_PERIOD = 10.0
"""Seconds between the samples of a task that go to the submit side."""

CLOSE_SECONDS = 2.0

_MARK = b"monitoring"
_MARKED_WITHIN = 40
"""Bytes at the begin of a pickled message within which its type stands; a result is not unpickled to look."""


class GrantMessage:
    """A grant as a manager receives it: to unpickle it hands the grant over, and leaves a list of no tasks.

    Args:
        packed: The pickled Grant.
    """

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __reduce__(self) -> Any:
        return take, (self._packed,)

    def __repr__(self) -> str:
        return "<GrantMessage>"


class _Latest:
    """The grant that this process was given last, and who waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._grant: Grant | None = None
        self._listener: Callable[[Grant], None] | None = None

    def put(self, fresh: Grant) -> None:
        with self._lock:
            self._grant = fresh
            if self._listener is not None:
                self._listener(fresh)

    def listen(self, listener: Callable[[Grant], None]) -> None:
        with self._lock:
            self._listener = listener
            if self._grant is not None:
                listener(self._grant)


_latest = _Latest()


def take(packed: bytes) -> list[Any]:
    """Take a grant; called where a manager unpickles what came from the interchange, which it must not hurt.

    Args:
        packed: The pickled Grant.

    Returns:
        No tasks.
    """
    try:
        _latest.put(pickle.loads(packed))
    except Exception as error:  # noqa: BLE001 - without a traceback, whose lines could show a token
        logger.warning("A grant to produce directly cannot be used (%s)", type(error).__name__)
    return []


class Diversion:
    """Parsl's task scheduler of a manager, but what the node can produce itself is taken out of its results.

    Args:
        scheduler: Parsl's.
        settings: What the submit side says.
        put: Puts a message among the results.
    """

    def __init__(self, scheduler: Any, settings: Settings, put: Callable[[bytes], None]) -> None:
        self._scheduler = scheduler
        self._settings = settings
        self._put = put
        self._deputy: Deputy | None = None
        self._shared: dict[int, float] = {}
        self._complained = False
        _latest.listen(self._renew)

    def put_task(self, task: Any) -> None:
        """As Parsl's."""
        self._scheduler.put_task(task)

    def get_result(self, block: bool = True, timeout: float | None = None) -> Any:
        """As Parsl's; None in the place of what was taken out."""
        message = self._scheduler.get_result(block, timeout)
        if self._deputy is None or message is None or _MARK not in message[:_MARKED_WITHIN]:
            return message
        try:
            return None if self._produced(message) else message
        except Exception:
            if not self._complained:
                self._complained = True
                logger.exception("A sample could not be produced from here; it goes to the submit side (said once)")
            return message

    def report(self) -> dict[str, Any]:
        """What became of the samples, for the node's heartbeat; empty before the first grant."""
        deputy = self._deputy
        if deputy is None:
            return {}
        return {"delivered": deputy.delivered, "returned": deputy.returned, "error": deputy.error}

    def close(self) -> None:
        """Deliver what was taken."""
        if self._deputy is not None:
            self._deputy.close(CLOSE_SECONDS)

    def _renew(self, fresh: Grant) -> None:
        if self._deputy is None:
            from octopus_plugins.fabric.grants import Deputy

            self._deputy = Deputy(self._put)
        self._deputy.renew(fresh)

    def _produced(self, message: bytes) -> bool:
        content = pickle.loads(message)["payload"][1]
        subject = content.get("try")
        if content["kind"] != "sample" or subject is None or self._deputy is None:
            return False
        return not self._is_shared(content) and self._deputy.send(_event(self._settings, subject, content), message)

    def _is_shared(self, content: Mapping[str, Any]) -> bool:
        """Whether a sample is among those that the submit side gets."""
        worker, now = content["place"]["worker_id"], time.monotonic()
        if content["sequence"] > 0 and now < self._shared.get(worker, 0.0) + SHARE_PERIOD:
            return False
        self._shared[worker] = now
        return True


def _event(settings: Settings, subject: tuple[str, int], content: Mapping[str, Any]) -> Any:
    from octopus_plugins.htex.reports import sample_event

    about = {"run_id": settings.run_id, "task_id": subject[0], "try_id": subject[1], "executor": settings.executor}
    return sample_event({**about, **content["place"]}, content)
