"""CPU time and memory of processes, and of a whole session of them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds: what the kernel counts CPU time in."""

MIB = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


def process_cpu(pid: int) -> float:
    """CPU seconds of a process and of its children that have ended; 0 where there is no such process."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) * TICK if fields else 0.0


def session_cpu(session: int) -> float:
    """CPU seconds of all processes of a session, with those that ended and were waited for within it.

    Args:
        session: Process id of its first process, which was started with ``start_new_session``.
    """
    return sum(process_cpu(pid) for pid in members(session))


def members(session: int) -> list[int]:
    """Process ids of a session, in the order in which they were given out."""
    pids = sorted(int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return [pid for pid in pids if (fields := _stat(pid)) and int(fields[3]) == session]


def resident(pid: int) -> int:
    """Bytes that a process has resident; 0 where there is no such process."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    return 0


def _stat(pid: int) -> list[str]:
    """What /proc tells of a process, from its state on: its name may hold anything, also blanks (proc_pid_stat(5))."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return []
