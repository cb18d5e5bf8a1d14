"""The queue on which everything in Parsl reports to its monitoring hub, and ours behind it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from multiprocessing.queues import Queue
from typing import Any

from parsl.multiprocessing import SpawnContext

Message = tuple[Any, Any]


class HubQueue(Queue):  # type: ignore[type-arg]
    """Parsl's monitoring queue: in this process a ``put`` is a call, from other processes it is a message.

    The DataFlowKernel puts about four messages per task. Handled in place they cost no pickling, no pipe and
    no thread switch. The receivers of messages from workers run in processes of their own, to which Parsl
    pickles this queue: there it is the plain queue, whose messages ``get`` returns here. There is none before that: it
    takes semaphores and a process of Python's that looks after them, for which a run without receivers has no use.

    Args:
        deliver: Called with each message put in this process; must not raise.
        hub: Who owns the queue; executors find their hub here.
    """

    def __init__(self, deliver: Callable[[Message], None], hub: Any) -> None:
        self._deliver = deliver
        self.hub = hub
        self._making = threading.Lock()
        self._made = self._over = False
        self._changed = threading.Event()

    def put(self, obj: Message, block: bool = True, timeout: float | None = None) -> None:
        """Deliver a message of this process."""
        self._deliver(obj)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The next message of another process; see ``Queue.get``."""
        if not self._made:
            self._changed.wait(timeout if block else 0.0)
        if self._made:
            return super().get(block, timeout)
        if self._over:
            return None
        raise queue.Empty

    def put_last(self) -> None:
        """Have ``get`` return None behind all that other processes have put so far."""
        with self._making:
            self._over = True
            if self._made:
                super().put(None)
            self._changed.set()

    def close(self) -> None:
        """Take no more; see ``Queue.close``."""
        if self._made:
            super().close()

    def join_thread(self) -> None:
        """Wait until all is sent; see ``Queue.join_thread``."""
        if self._made:
            super().join_thread()

    def __reduce__(self) -> tuple[Any, ...]:
        with self._making:
            if not self._made:
                super().__init__(ctx=SpawnContext)
                self._made = True
                self._changed.set()
        return _plain_queue, (self.__getstate__(),)


class NodeRows:
    """Which reports of managers Parsl's own interchange would have made, for the table ``node`` of Parsl's database.

    Parsl's reports a manager when it comes, gets a task, gives a result, is held or goes. Ours also reports that
    managers are merely alive.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[Any, ...]] = {}

    def is_one(self, report: Mapping[str, Any]) -> bool:
        """Whether a report tells of a change since the manager's last one."""
        state = (tuple(report["tasks"]), report["active"], report["draining"], report["block_id"])
        if self._last.get(report["uid"]) == state:
            return False
        self._last[report["uid"]] = state
        return True


def _plain_queue(state: Any) -> Queue[Any]:
    plain: Queue[Any] = Queue.__new__(Queue)
    plain.__setstate__(state)
    return plain
