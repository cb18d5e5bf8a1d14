"""What can be seen of a node from one of its processes: limits, what is left, which of a pool's workers are alive."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from octopus_plugins.nodes import process

_CGROUP = Path("/sys/fs/cgroup")


def limits(pid: int | None = None) -> dict[str, Any]:
    """The limits of a process of this node: rlimits, and the memory limit of our cgroup. Keys as in events.Limits.

    Args:
        pid: The process; None is this one.
    """
    return {**process.limits(pid), **cgroup_limits()}


def cgroup_limits() -> dict[str, Any]:
    """The tightest memory limit of our cgroup and of those above it. Keys as in events.Limits."""
    memory = _cgroup_memory_limit()
    return {} if memory is None else {"cgroup_memory": memory}


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
        "oom_kills": oom_kills(),
    }


def oom_kills() -> int | None:
    """Processes that the kernel has ended for want of memory, in our cgroup, else on the node; a running count."""
    for directory in _cgroup("memory"):
        for name in ("memory.events", "memory.oom_control"):
            count = _count(directory / name)
            if count is not None:
                return count
    return _count(Path("/proc/vmstat"))


class NodeWatch:
    """Speaks for a node whose pool does not speak for itself: one of the pool's workers looks after the others.

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
        self._known: tuple[int, ...] = ()
        self._dead: set[int] = set()

    def beat(self) -> dict[str, Any] | None:
        """The node's heartbeat, if one is due or a sibling just died, and this worker is the one that speaks."""
        if not self._speaks():
            return None
        due = time.monotonic() >= self._next
        if due:
            # The list of workers is made anew only here: between beats a look at those known is enough.
            self._next = time.monotonic() + self._period
            self._known = self._workers()
        dead = {pid for pid in self._known if process.is_dead(pid)}
        if not due and dead <= self._dead:
            return None
        self._dead = dead
        workers = [_described(pid, dead=pid in dead) for pid in self._known]
        return {"time": time.time(), "period": self._period, "workers": workers, "node": node_state()}

    def _speaks(self) -> bool:
        if not sys.platform.startswith("linux"):
            alive = [pid for pid in self._workers() if not process.is_dead(pid)]
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

    def _workers(self) -> tuple[int, ...]:
        """The worker processes of this pool, dead ones included."""
        spawned = []
        for pid in process.children(self._manager):
            try:
                child = psutil.Process(pid)
                if process.is_dead(pid) or "spawn_main" in " ".join(child.cmdline()):
                    spawned.append((child.create_time(), pid))
            except psutil.Error:
                continue
        # Before any worker the pool spawns the server of its multiprocessing.Manager.
        return tuple(pid for _, pid in sorted(spawned)[1:])


def _described(pid: int, *, dead: bool) -> dict[str, Any]:
    if dead:
        return {"pid": pid, "alive": False, **process.exit_status(pid)}
    try:
        return {"pid": pid, "rss": process.usage(pid)["rss"]}
    except OSError:
        return {"pid": pid, "alive": False}


def _disk(path: str) -> tuple[int | None, int | None]:
    try:
        usage = psutil.disk_usage(path)
    except OSError:
        return None, None
    return usage.total, usage.free


def _cgroup(controller: str) -> Iterator[Path]:
    """This process's cgroup directory, version 2 (unified) or 1, and those above it, as far as they can be seen.

    In a container the path that the kernel names may lie outside of what is mounted; its root then stands for it.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            root = _CGROUP / controller if controllers else _CGROUP
            directory = root / path.lstrip("/")
            while directory != root:
                yield directory
                directory = directory.parent
            yield root


def _cgroup_memory_limit() -> int | None:
    found = []
    for directory in _cgroup("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                text = (directory / name).read_text(encoding="utf-8").strip()
            except OSError:
                continue
            # Version 1 says "no limit" with a number near 2**63.
            if text.isdigit() and int(text) < 1 << 60:
                found.append(int(text))
    return min(found, default=None)


def _count(file: Path) -> int | None:
    try:
        words = file.read_text(encoding="utf-8").split()
    except OSError:
        return None
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else None
