"""Who does what in a pool, and how results leave its workers: in the place of two things of Parsl's that cost more.

Parsl keeps the task of each worker in a dictionary of a server process of its own, which each worker asks twice a task.
Here each worker has a line in shared memory. And a result is put into the pool's pipe at once, where Parsl's worker
hands it to a thread: it has left before the worker says that it is idle, so that a worker's end loses none between the
two.
"""

from __future__ import annotations

import mmap
import os
import struct
from multiprocessing.queues import Queue
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

from octopus_plugins.htex.mapping import mapped
from octopus_plugins.htex.observation import WATCHED
from octopus_plugins.htex.worker_table import adopt

_LINE = struct.Struct("=qqdqq")  # task, number on the board, walltime, which of them there are, whether there is a task
_HAS_NUMBER, _HAS_WALLTIME = 1, 2


class InProgress:
    """The task of each worker, by the worker's number. Linux only.

    A worker gets it from its pool as one of its arguments, and with it where the pool's board is.

    Args:
        workers: How many workers there are.
        memory: The shared memory, a buffer.
        descriptor: Its file, for whoever made it.
        board: Where the pool's board is; None where it has none.
    """

    def __init__(self, workers: int, memory: Any, descriptor: int | None = None, board: str | None = None) -> None:
        self._workers = workers
        self._memory = memory
        self._descriptor = descriptor
        self._board = board

    @classmethod
    def create(cls, workers: int, board: str | None = None) -> InProgress | None:
        """Make that of this process, a pool; None where the system has no such memory."""
        if not hasattr(os, "memfd_create"):
            return None
        try:
            descriptor = os.memfd_create("octopus-tasks", os.MFD_CLOEXEC)
            size = _LINE.size * max(workers, 1)
            os.ftruncate(descriptor, size)
            return cls(workers, mmap.mmap(descriptor, size), descriptor, board)
        except OSError:
            return None

    def __setitem__(self, worker: int, task: dict[str, Any]) -> None:
        """A worker has taken a task: ``task_id``, and a context that may say what to watch."""
        if not 0 <= worker < self._workers:
            raise IndexError(f"there is no worker {worker} among {self._workers}")
        number, walltime = task["context"].get(WATCHED) or (None, None)
        has = (number is not None) * _HAS_NUMBER + (walltime is not None) * _HAS_WALLTIME
        _LINE.pack_into(self._memory, worker * _LINE.size, task["task_id"], number or 0, walltime or 0.0, has, 1)

    def pop(self, worker: int) -> dict[str, Any]:
        """What a worker did, which it does no more.

        Raises:
            KeyError: It did nothing.
        """
        task_id, number, walltime, has, there = _LINE.unpack_from(self._memory, worker * _LINE.size)
        if not there:
            raise KeyError(worker)
        _LINE.pack_into(self._memory, worker * _LINE.size, 0, 0, 0.0, 0, 0)
        watched = (number, walltime if has & _HAS_WALLTIME else None) if has & _HAS_NUMBER else None
        return {"task_id": task_id, "context": {} if watched is None else {WATCHED: watched}}

    def close(self) -> None:
        """Let go of the memory, in the pool; in a worker it stays."""
        if self._descriptor is not None:
            self._memory.close()
            os.close(self._descriptor)
            self._descriptor = None

    def __reduce__(self) -> tuple[Any, ...]:
        assert self._descriptor is not None  # only a pool hands it on
        return _inherited, (self._workers, DupFd(self._descriptor), self._board)


def _inherited(workers: int, handed: Any, board: str | None) -> InProgress:
    adopt(board)
    return InProgress(workers, mapped(handed.detach()))


class PromptResults:
    """A worker's end of its pool's queue of results.

    Args:
        queue: The pool's.
        greeting: What a worker puts into it when it has come; None for nothing.
    """

    def __init__(self, queue: Queue[Any], greeting: bytes | None = None) -> None:
        self._queue = queue
        self._greeting = greeting

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A worker has got it, with the last of what it takes from its pool."""
        self.__dict__ = state
        if self._greeting is not None:
            self.put(self._greeting)

    def put(self, item: Any) -> None:
        """Put a result into the pipe; returns when it is there, which may be while the pool reads it."""
        queue: Any = self._queue
        data = ForkingPickler.dumps(item)
        # As multiprocessing.Queue does it, whose reader expects to find a permit taken; but in this thread.
        queue._sem.acquire()
        with queue._wlock:
            queue._writer.send_bytes(data)

    @staticmethod
    def fit(queue: Queue[Any]) -> bool:
        """Whether this Python's queue is of the form that we know."""
        return all(hasattr(queue, name) for name in ("_sem", "_wlock", "_writer")) and queue._wlock is not None  # type: ignore[attr-defined]
