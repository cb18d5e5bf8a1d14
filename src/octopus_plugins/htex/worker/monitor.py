"""The watch over one worker process of a HighThroughputExecutor: who it is, what its task uses, and its pool's board.

What a worker writes on its pool's board the pool samples (`octopus_plugins.htex.pool.agent`). Only where there is no
board does the worker do it by itself, in a thread.

Imported on compute nodes. It needs Parsl and psutil, and of ours only modules that need no more.
"""

from __future__ import annotations

import os
import pickle
import platform
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from octopus_plugins.htex.fast_log import quicken
from octopus_plugins.htex.observation import TAG, Settings
from octopus_plugins.htex.worker_table import APP_BYTES, BUSY, IDLE, Board, Slot
from octopus_plugins.nodes import process
from octopus_plugins.nodes.node import NodeWatch, cgroup_limits, node_state

NODE_SECONDS = 0.2
"""How old a look at the node may be that goes with a failure: a task may fail hundreds of times a second."""


class Running(NamedTuple):
    """The task that a worker has at the moment.

    Attributes:
        number: Its number on the pool's board.
        started: When it began, Unix seconds.
        before: What the process had used when it began.
        named: What a sample of the worker's own says of whose it is; asked at each sample.
        subject: Parsl's task and try, where the node is to tell of them by itself.
    """

    number: int
    started: float
    before: resource.struct_rusage
    named: Callable[[], dict[str, Any]]
    subject: tuple[str, int] | None = None


class WorkerWatch:
    """Who this worker is, and what it writes down of its task.

    Args:
        settings: What the submit side says.
        versions: Tells the versions of what matters here.
    """

    def __init__(self, settings: Settings, versions: Callable[[], dict[str, str]]) -> None:
        quicken()
        self._settings = settings
        self._versions = versions
        self._pid = os.getpid()
        self._running: Running | None = None
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._node, self._cgroup = _lately(node_state), _lately(cgroup_limits)
        self._slot = Slot()
        self._board = Board.of_pool()
        self.place: dict[str, Any] = {
            "host": platform.node(),
            "block": _variable("PARSL_WORKER_BLOCK_ID"),
            "manager": _variable("PARSL_WORKER_POOL_ID"),
            "worker_id": int(os.environ.get("PARSL_WORKER_RANK", "-1")),
            "pid": self._pid,
        }
        send({"kind": "worker", "executor": settings.executor, "place": self.place, "time": time.time()})
        if self._board is None and (settings.sample_period > 0 or settings.heartbeat_period > 0):
            threading.Thread(target=self._watch, name="octopus-sampler", daemon=True).start()

    def belongs_to(self, settings: Settings) -> bool:
        """False in a process forked from the worker, whose thread stayed behind, and for another run."""
        return self._pid == os.getpid() and self._settings == settings

    def begin(self, running: Running, walltime: float | None = None) -> None:
        """A task begins; its walltime is counted from here."""
        self._before, self._running = running.before, running
        if self._board is not None:
            deadline = 0.0 if walltime is None else time.monotonic() + walltime
            used = running.before
            task, try_id = running.subject or (0, 0)
            self._write(
                Slot(
                    self._pid,
                    BUSY,
                    running.number,
                    running.started,
                    deadline,
                    0.0,
                    used.ru_utime,
                    used.ru_stime,
                    running.subject is not None,
                    int(task),
                    try_id,
                )
            )

    def name(self, app: str) -> None:
        """The task turned out to be a call of this function."""
        text = app.encode("utf-8", "replace")
        if self._running is not None and self._board is not None and len(text) < APP_BYTES:
            self._write(self._slot._replace(app=text))

    def end(self) -> None:
        """The task is over, however it ended: a sample taken later would belong to nobody."""
        self._running = None
        if self._board is not None:
            self._write(Slot(self._pid, IDLE))

    def post_mortem(self) -> dict[str, Any]:
        """What the node and the limits looked like just after a failure."""
        found: dict[str, Any] = {}
        looks: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("versions", self._versions),
            ("limits", lambda: {**process.limits(), **self._cgroup()}),
            ("node", self._node),
            ("usage", self._usage),
        )
        for name, look in looks:
            try:
                found[name] = look()
            except Exception:  # noqa: BLE001, S112 - a measurement that fails must not fail the task again
                continue
        return found

    def _write(self, slot: Slot) -> None:
        self._slot = slot
        if self._board is not None:
            self._board.write(self.place["worker_id"], slot)

    def _usage(self) -> dict[str, Any]:
        return {**process.usage(self._pid), **cpu_since(self._before)}

    def _watch(self) -> None:
        settings = self._settings
        period = settings.sample_period or settings.heartbeat_period
        speaks = settings.heartbeat_period > 0
        node = NodeWatch(settings.run_id, self.place, settings.heartbeat_period) if speaks else None
        sampled: Running | None = None
        sequence = 0
        while True:
            time.sleep(period)
            try:
                running = self._running
                if running is not None and settings.sample_period > 0:
                    sequence = sequence + 1 if running is sampled else 0
                    sampled = running
                    send(self._sample(running, sequence))
                beat = node.beat() if node is not None else None
                if beat is not None:
                    send({"kind": "heartbeat", "executor": settings.executor, "place": self.place, **beat})
            except Exception:  # noqa: BLE001 - the border to the user's worker; the channel closes when the pool ends
                if os.getppid() == 1:
                    return

    def _sample(self, running: Running, sequence: int) -> dict[str, Any]:
        return {
            "kind": "sample",
            "executor": self._settings.executor,
            **running.named(),
            "started": running.started,
            "sequence": sequence,
            "place": self.place,
            "usage": self._usage(),
        }


def _lately(look: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """A look at the node, which all tries share that fail within a moment."""
    known: tuple[float, dict[str, Any]] = -NODE_SECONDS, {}

    def kept() -> dict[str, Any]:
        nonlocal known
        now = time.monotonic()
        if now >= known[0] + NODE_SECONDS:
            known = now, look()
        return known[1]

    return kept


def cpu_since(before: resource.struct_rusage) -> dict[str, float]:
    """CPU seconds of this process since a try began. Keys as in events.Usage."""
    now = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_user": round(now.ru_utime - before.ru_utime, 6),
        "cpu_system": round(now.ru_stime - before.ru_stime, 6),
    }


def used_since(before: resource.struct_rusage, now: float) -> dict[str, Any]:
    """What this process used since a try began. Keys as in events.Usage."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"time": now, **cpu_since(before), "peak_rss": peak}


def send(message: dict[str, Any]) -> None:
    """Send the submit side a message."""
    put({"type": "monitoring", "payload": (TAG, message)})


def put(message: dict[str, Any]) -> None:
    """Put a message on Parsl's result channel, the way its HTEXRadio does."""
    import parsl.executors.high_throughput.monitoring_info as channel

    if channel.result_queue is not None:
        channel.result_queue.put(pickle.dumps(message))


def _variable(name: str) -> str | None:
    value = os.environ.get(name)
    return None if value in (None, "None") else value
