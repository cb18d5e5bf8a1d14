"""What one process uses and may use, as the kernel tells it.

On Linux from ``/proc``, read directly: psutil looks through all processes of the node to find one's children.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import psutil

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_HAS_PROC = sys.platform.startswith("linux") and (_PROC / "self" / "statm").exists()

_DEAD = ("Z", "X")
"""States in ``/proc/PID/stat`` of a process that only waits for its parent to take notice."""

_RLIMITS = (
    ("address_space", "RLIMIT_AS"),
    ("data", "RLIMIT_DATA"),
    ("open_files", "RLIMIT_NOFILE"),
    ("processes", "RLIMIT_NPROC"),
    ("file_size", "RLIMIT_FSIZE"),
)


def usage(pid: int) -> dict[str, Any]:
    """What a process uses now. Keys as in events.Usage, but CPU seconds are those since the process began.

    Args:
        pid: The process.

    Raises:
        OSError: There is no such process, it has ended, or it is somebody else's.
    """
    if not _HAS_PROC:
        return _usage_by_psutil(pid)
    base = _PROC / str(pid)
    pages = (base / "statm").read_text(encoding="ascii").split()
    fields = _stat(pid)
    if fields[0] in _DEAD or pages[0] == "0":  # no memory left: it is on its way out, and what it had is no longer told
        raise ProcessLookupError(f"process {pid} has ended")
    return {
        "time": time.time(),
        "rss": int(pages[1]) * _PAGE,
        "vms": int(pages[0]) * _PAGE,
        "cpu_user": int(fields[11]) / _TICKS,
        "cpu_system": int(fields[12]) / _TICKS,
        "open_files": sum(1 for _ in (base / "fd").iterdir()),
        "threads": int(fields[17]),
        "children": len(children(pid)),
    }


def peak_rss(pid: int) -> int | None:
    """The largest resident set size that a process has had, bytes; None where it is not known."""
    try:
        text = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    _, found, rest = text.partition("VmHWM:")
    return int(rest.split(None, 1)[0]) * 1024 if found else None


def children(pid: int) -> list[int]:
    """The child processes of a process, dead ones that it has not waited for included."""
    if _HAS_PROC:
        try:
            found: list[int] = []
            for task in (_PROC / str(pid) / "task").iterdir():
                found += map(int, (task / "children").read_text(encoding="ascii").split())
            return found
        except FileNotFoundError:
            if not (_PROC / str(pid)).exists():
                return []
            # A thread that ended meanwhile, or a kernel without CONFIG_PROC_CHILDREN.
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def limits(pid: int | None = None) -> dict[str, Any]:
    """The rlimits of a process (None: this one), those that limit anything. Keys as in events.Limits."""
    found: dict[str, Any] = {}
    for name, which in _RLIMITS:
        number = getattr(resource, which, None)  # macOS lacks some
        if number is None:
            continue
        if pid is None:
            soft, _ = resource.getrlimit(number)
        elif hasattr(resource, "prlimit"):
            soft, _ = resource.prlimit(pid, number)
        else:
            continue
        if soft != resource.RLIM_INFINITY:
            found[name] = soft
    return found


def is_dead(pid: int) -> bool:
    """Whether a process has ended (its parent may not have taken notice yet)."""
    if _HAS_PROC:
        try:
            return _stat(pid)[0] in _DEAD
        except OSError:
            return True
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def exit_status(pid: int) -> dict[str, int]:
    """How a process that nobody has waited for yet ended: ``/proc/PID/stat``, field 52 (proc(5)).

    Returns:
        ``{"signal": n}``, ``{"exit_code": n}``, or nothing where it cannot be read.
    """
    try:
        status = int(_stat(pid)[49])
    except (OSError, IndexError, ValueError):
        return {}
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return {"exit_code": os.WEXITSTATUS(status)} if os.WIFEXITED(status) else {}


def _stat(pid: int) -> list[str]:
    """``/proc/PID/stat`` from its third field on; the second, the command's name, may hold anything."""
    text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def _usage_by_psutil(pid: int) -> dict[str, Any]:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            memory, cpu = process.memory_info(), process.cpu_times()
            return {
                "time": time.time(),
                "rss": memory.rss,
                "vms": memory.vms,
                "cpu_user": cpu.user,
                "cpu_system": cpu.system,
                "open_files": process.num_fds(),
                "threads": process.num_threads(),
                "children": len(process.children()),
            }
    except psutil.Error as error:
        raise ProcessLookupError(f"process {pid} cannot be measured: {error}") from error
