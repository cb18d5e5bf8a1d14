"""What the workers of a pool write down, and the pool reads: which task runs, since when, until when.

Shared memory without a name: the pool makes it, its workers open it through the pool's entry in ``/proc``, and it
goes with the last of them, however they end. Linux only; elsewhere a pool has no board and does without.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any, NamedTuple

from octopus_plugins.htex.mapping import mapped

IDLE, BUSY, OVERTIME = 0, 1, 2
"""States of a worker: without a task, with one, and ended for its task's walltime."""

APP_BYTES = 64
"""Room for the name of an app; a longer one is not told."""

_LAYOUT = struct.Struct(f"=qqqdddddqqq{APP_BYTES}p")


class Slot(NamedTuple):
    """One worker's line.

    Attributes:
        pid: Its process; 0 where none has written yet.
        state: IDLE, BUSY or OVERTIME.
        number: The executor's number of its task.
        started: When the task began, Unix seconds.
        deadline: When its walltime is over, seconds of the node's monotonic clock; 0 for none.
        ticked: When the worker last showed that its threads run, same clock; 0 for never.
        cpu_user: CPU seconds in user mode that the process had used when the task began.
        cpu_system: The same in kernel mode.
        named: 1 where the node may tell of the task by itself: the next two are given.
        task: Parsl's number of the task.
        try_id: Its try.
        app: Name of the app, where the submit side does not know it; as UTF-8.
    """

    pid: int = 0
    state: int = IDLE
    number: int = 0
    started: float = 0.0
    deadline: float = 0.0
    ticked: float = 0.0
    cpu_user: float = 0.0
    cpu_system: float = 0.0
    named: int = 0
    task: int = 0
    try_id: int = 0
    app: bytes = b""


class Board:
    """One line per worker of a pool.

    Args:
        memory: The shared memory, a buffer.
        descriptor: Its file, for whoever made it.
    """

    def __init__(self, memory: Any, descriptor: int | None = None) -> None:
        self._memory = memory
        self._descriptor = descriptor
        self._lines = len(memory) // _LAYOUT.size

    @classmethod
    def create(cls, workers: int) -> Board | None:
        """Make the board of this process, a pool; None where the system has no such memory."""
        if not hasattr(os, "memfd_create"):
            return None
        try:
            descriptor = os.memfd_create("octopus-board", os.MFD_CLOEXEC)
            size = _LAYOUT.size * max(workers, 1)
            os.ftruncate(descriptor, size)
            return cls(mmap.mmap(descriptor, size), descriptor)
        except OSError:
            return None

    @classmethod
    def of_pool(cls) -> Board | None:
        """The board of the pool whose worker this process is; None where that has none."""
        pid, path = _adopted
        if path is None or pid != os.getpid():
            return None  # also in what a task forks
        try:
            return cls(mapped(os.open(path, os.O_RDWR | os.O_CLOEXEC)))
        except OSError:
            return None

    @property
    def path(self) -> str:
        """Where the pool's workers find it."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def write(self, line: int, slot: Slot) -> None:
        """Write a worker's line; a line that the board does not have is ignored."""
        if 0 <= line < self._lines:
            _LAYOUT.pack_into(self._memory, line * _LAYOUT.size, *slot)

    def read(self, line: int) -> Slot:
        """Read a worker's line; an empty one where it has none."""
        if not 0 <= line < self._lines:
            return Slot()
        return Slot(*_LAYOUT.unpack_from(self._memory, line * _LAYOUT.size))

    def close(self) -> None:
        """Let go of the memory, in the pool; in a worker it stays."""
        if self._descriptor is not None:
            self._memory.close()
            os.close(self._descriptor)
            self._descriptor = None


_adopted: tuple[int, str | None] = (0, None)


def adopt(path: str | None) -> None:
    """Remember in a worker where its pool's board is."""
    global _adopted  # noqa: PLW0603
    _adopted = os.getpid(), path
