"""What a worker can see of its node: limits, what is left, and which of its siblings are alive."""

from __future__ import annotations

import os
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def limits() -> dict[str, Any]:
    """The limits of this process: rlimits and the cgroup's memory limit. Keys as in events.Limits."""
    found: dict[str, Any] = {}
    for name, which in (
        ("address_space", "RLIMIT_AS"),
        ("data", "RLIMIT_DATA"),
        ("open_files", "RLIMIT_NOFILE"),
        ("processes", "RLIMIT_NPROC"),
        ("file_size", "RLIMIT_FSIZE"),
    ):
        number = getattr(resource, which, None)  # macOS lacks some
        if number is not None:
            soft, _ = resource.getrlimit(number)
            found[name] = None if soft == resource.RLIM_INFINITY else soft
    found["cgroup_memory"] = _cgroup_memory_limit()
    return {name: value for name, value in found.items() if value is not None}


def node_state() -> dict[str, Any]:
    """What this node has left. Keys as in events.NodeState."""
    memory = psutil.virtual_memory()
    here = _disk(os.curdir)  # which a task may have deleted
    tmp = _disk(tempfile.gettempdir())
    return {
        "time": time.time(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "memory_total": memory.total,
        "memory_available": memory.available,
        "disk_total": here[0],
        "disk_free": here[1],
        "tmp_free": tmp[1],
        "oom_kills": _oom_kills(),
    }


class NodeWatch:
    """Speaks for a node: one of the workers of each pool looks after the others.

    Args:
        run_id: The run; each has its own watch.
        place: Where this worker is.
        period: Seconds between heartbeats.
    """

    def __init__(self, run_id: str, place: dict[str, Any], period: float) -> None:
        self._period = period
        self._next = 0.0
        # On Linux a name that the kernel frees with its holder; a lock file would stay behind.
        self._name = f"\0octopus-{run_id}-{place['manager']}"
        self._seat: socket.socket | None = None
        self._manager = os.getppid()
        self._dead: set[int] = set()

    def beat(self) -> dict[str, Any] | None:
        """The node's heartbeat, if one is due or a sibling just died, and this worker is the one that speaks."""
        if not self._speaks():
            return None
        workers = self._workers()
        dead = {worker["pid"] for worker in workers if not worker.get("alive", True)}
        due = time.monotonic() >= self._next
        if not due and dead <= self._dead:
            return None
        self._dead = dead
        if due:
            self._next = time.monotonic() + self._period
        return {"time": time.time(), "period": self._period, "workers": workers, "node": node_state()}

    def _speaks(self) -> bool:
        if not sys.platform.startswith("linux"):
            alive = [process.pid for process in self._children() if process.status() != psutil.STATUS_ZOMBIE]
            return os.getpid() == min(alive, default=os.getpid())
        if self._seat is None:
            seat = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                seat.bind(self._name)
            except OSError:
                seat.close()
                return False
            self._seat = seat
        return True

    def _children(self) -> list[psutil.Process]:
        """The worker processes of this pool, dead ones included."""
        spawned = []
        for process in psutil.Process(self._manager).children():
            try:
                if process.status() == psutil.STATUS_ZOMBIE or "spawn_main" in " ".join(process.cmdline()):
                    spawned.append(process)
            except psutil.Error:
                continue
        # Before any worker the pool spawns the server of its multiprocessing.Manager.
        return sorted(spawned, key=lambda process: process.create_time())[1:]

    def _workers(self) -> list[dict[str, Any]]:
        workers = []
        for process in self._children():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    workers.append({"pid": process.pid, "alive": False, **_exit_status(process.pid)})
                else:
                    workers.append({"pid": process.pid, "rss": process.memory_info().rss})
            except psutil.Error:
                continue
        return workers


def _exit_status(pid: int) -> dict[str, int]:
    """How a process that nobody has waited for yet ended: ``/proc/PID/stat``, field 52 (proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        status = int(fields[49])
    except (OSError, IndexError, ValueError):
        return {}
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return {"exit_code": os.WEXITSTATUS(status)} if os.WIFEXITED(status) else {}


def _disk(path: str) -> tuple[int | None, int | None]:
    try:
        usage = psutil.disk_usage(path)
    except OSError:
        return None, None
    return usage.total, usage.free


def _cgroup(controller: str) -> Path | None:
    """This process's cgroup directory, version 2 (unified) or 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            return _CGROUP / path.lstrip("/")
        if controller in controllers.split(","):
            return _CGROUP / controller / path.lstrip("/")
    return None


def _cgroup_memory_limit() -> int | None:
    directory = _cgroup("memory")
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            text = (directory / name).read_text(encoding="utf-8").strip() if directory else ""
        except OSError:
            continue
        # Version 1 says "no limit" with a number near 2**63.
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return None


def _oom_kills() -> int | None:
    directory = _cgroup("memory")
    for file in ([directory / "memory.events", directory / "memory.oom_control"] if directory else []) + [
        Path("/proc/vmstat")
    ]:
        try:
            words = file.read_text(encoding="utf-8").split()
        except OSError:
            continue
        if "oom_kill" in words:
            return int(words[words.index("oom_kill") + 1])
    return None
