"""What runs on the worker: each task observed without touching the user's function.

Parsl's ``submit_payload`` lets a worker call a function of ours, by name, in place of its own
``execute_task``. What it saw (when the task ran, where, with what it used) goes back with the task's own
result, so that it costs no message. Only what cannot wait for the result travels by itself, over Parsl's
encrypted result channel: that a worker exists, that a task has run for a while, samples, heartbeats.

A try that has a walltime is watched over besides (``parsl_monitor.walltime``). Where the pool is ours too
(``parsl_monitor.pool``) it answers for workers that die, and speaks for the node; else one of the workers does.

This module is imported on compute nodes. It needs Parsl and psutil (which Parsl brings), and of ours only modules
that need no more.
"""

from __future__ import annotations

import os
import pickle
import platform
import resource
import signal
import sys
import threading
import time
import traceback
from typing import Any

from parsl.app.errors import RemoteExceptionWrapper
from parsl.executors.execute_task import execute_task
from parsl.serialize import serialize

from octopus_plugins.nodes import process
from octopus_plugins.nodes.node import NodeWatch, limits, node_state
from parsl_monitor.board import BUSY, IDLE, OVERTIME, Board, Slot
from parsl_monitor.observation import BUFFER_THRESHOLD, TAG, Observation, Settings, lost_task, overtime_error, versions
from parsl_monitor.walltime import Guard

FRAMES = (100, 40, 10, 0)
"""Innermost frames of a traceback that are left, one after the other, where the whole cannot be written: the pickler
makes many calls for each, one within the other, and what recursed without end leaves it no room."""

MAX_CAUSES = 100

MAX_DESCRIPTION = 8_192
"""Characters of an exception's message, and of its traceback, as described on the worker."""


def execute(
    buffer: bytes,
    number: int,
    settings: tuple[str, str, float, float],
    walltime: float | None = None,
    subject: tuple[str, int] | None = None,
) -> tuple[str, bytes]:
    """Run one task and observe it. Parsl's worker calls this by name.

    Args:
        buffer: The task as ``pack_apply_message`` wrote it.
        number: The executor's number of the task.
        settings: See Settings; a plain tuple, so that it travels as one.
        walltime: Seconds after which the try is ended if Parsl's own timer could not; None is without.
        subject: Parsl's task and try, where the node is to tell of them by itself.

    Returns:
        The result or the exception, with what was seen: a packed Observation.
    """
    observer = _observer(Settings(*settings))
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.time()
    observer.begin(number, started, before, walltime, subject)
    failed = False
    result: Any
    try:
        result = execute_task(buffer) if walltime is None else observer.within(walltime, buffer)
    except Exception:  # noqa: BLE001 - what any task may raise belongs to the task and travels as its result
        failed, result = True, RemoteExceptionWrapper(*sys.exc_info())
    finally:
        # Also when SystemExit takes the worker down: a sample taken later would belong to nobody.
        observer.end()
    failed = failed or isinstance(result, RemoteExceptionWrapper)
    try:
        payload = _written(result)
    except Exception:  # noqa: BLE001 - a result that cannot be written is the task's failure, as in Parsl's worker
        failed = True
        payload = serialize(RemoteExceptionWrapper(*sys.exc_info()), buffer_threshold=BUFFER_THRESHOLD)
    ended = time.time()
    after = resource.getrusage(resource.RUSAGE_SELF)
    usage = {
        "time": ended,
        "cpu_user": round(after.ru_utime - before.ru_utime, 6),
        "cpu_system": round(after.ru_stime - before.ru_stime, 6),
        "peak_rss": after.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    post_mortem = observer.post_mortem(walltime) if failed else None
    if post_mortem is not None and isinstance(result, RemoteExceptionWrapper):
        post_mortem["error"] = _described(result)
    return Observation(payload, observer.place, started, ended, usage, post_mortem).packed()


def _written(result: Any) -> bytes:
    """A result as it travels; of an exception's traceback as much as can be written."""
    frames = iter(FRAMES if isinstance(result, RemoteExceptionWrapper) else ())
    while True:
        try:
            return bytes(serialize(result, buffer_threshold=BUFFER_THRESHOLD))
        except RecursionError:
            keep = next(frames, None)
            if keep is None:
                raise
            _shorten(result, keep)


def _shorten(wrapper: RemoteExceptionWrapper, keep: int) -> None:
    """Leave out all but the innermost frames of an exception's traceback."""
    length, frame = 0, wrapper.e_traceback
    while frame is not None:
        length, frame = length + 1, frame.tb_next
    for _ in range(length - keep):
        wrapper.e_traceback = wrapper.e_traceback.tb_next
    # Where tblib's pickling of exceptions is in force, each carries its own traceback as well.
    error = wrapper.e_value
    for _ in range(MAX_CAUSES):  # a chain of causes may be a circle
        if error is None:
            break
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _described(wrapper: RemoteExceptionWrapper) -> dict[str, Any]:
    """An exception in words, for a submit side that lacks its class."""
    kind, error = wrapper.e_type, wrapper.e_value
    try:
        return {
            "mro": [f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.") for cls in kind.__mro__[:-1]],
            "message": str(error)[:MAX_DESCRIPTION],
            "traceback": "".join(traceback.format_exception(kind, error, error.__traceback__))[-MAX_DESCRIPTION:],
        }
    except Exception:  # noqa: BLE001 - a hostile exception: its pickle is all there is then
        return {}


class _Observer:
    """The watch over one worker process: who it is, and a thread that samples what runs there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pid = os.getpid()
        self._task: tuple[int, float, tuple[str, int] | None] | None = None
        self._slot = Slot()
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self._board = Board.of_pool()
        self.place: dict[str, Any] = {
            "host": platform.node(),
            "block": _variable("PARSL_WORKER_BLOCK_ID"),
            "manager": _variable("PARSL_WORKER_POOL_ID"),
            "worker_id": int(os.environ.get("PARSL_WORKER_RANK", "-1")),
            "pid": self._pid,
        }
        _send({"kind": "worker", "executor": settings.executor, "place": self.place, "time": time.time()})
        if settings.sample_period > 0 or (settings.heartbeat_period > 0 and self._board is None):
            threading.Thread(target=self._watch, name="octopus-sampler", daemon=True).start()

    def belongs_here(self) -> bool:
        """False in a process forked from the worker: its thread stayed behind."""
        return self._pid == os.getpid()

    def begin(
        self,
        number: int,
        started: float,
        before: resource.struct_rusage,
        walltime: float | None,
        subject: tuple[str, int] | None,
    ) -> None:
        self._before = before
        self._task = (number, started, subject)
        if self._board is not None:
            deadline = 0.0 if walltime is None else time.monotonic() + walltime
            self._slot = Slot(self._pid, BUSY, number, started, deadline)
            self._write()

    def end(self) -> None:
        self._task = None
        if self._board is not None:
            self._slot = Slot(self._pid, IDLE)
            self._write()

    def within(self, walltime: float, buffer: bytes) -> Any:
        """Run a task that has a walltime."""
        with Guard(walltime, tick=self._tick, calm=self._calm, end=lambda: self._end_overtime(walltime)):
            return execute_task(buffer)

    def post_mortem(self, walltime: float | None = None) -> dict[str, Any]:
        """What the node and the limits looked like just after a failure."""
        found: dict[str, Any] = {}
        for name, look in (("versions", versions), ("limits", limits), ("node", node_state), ("usage", self._usage)):
            try:
                found[name] = look()
            except Exception:  # noqa: BLE001, S112 - a measurement that fails must not fail the task again
                continue
        if walltime is not None:
            found["limits"] = {**found.get("limits", {}), "walltime": walltime}
        return found

    def _write(self) -> None:
        if self._board is not None:
            self._board.write(self.place["worker_id"], self._slot)

    def _tick(self) -> None:
        self._slot = self._slot._replace(ticked=time.monotonic())
        self._write()

    def _calm(self) -> None:
        self._slot = self._slot._replace(deadline=0.0)
        self._write()

    def _end_overtime(self, walltime: float) -> None:
        """End this process, and see to it that the submit side learns why."""
        task = self._task
        if task is None:
            return
        if self._board is not None:
            self._slot = self._slot._replace(state=OVERTIME)
            self._write()
        else:
            number, started, _ = task
            place, mortem = self.place, {**self.post_mortem(walltime), "signal": int(signal.SIGKILL)}
            answer = lost_task(overtime_error(walltime), place, started, mortem.get("usage", {}), mortem)
            # What stands on this queue the pool passes on as it is, results too. Its own report of a lost worker
            # comes later, and the interchange drops it: it knows the task no more.
            _put({"type": "result", "task_id": number, "result": serialize(answer)})
        os.kill(self._pid, signal.SIGKILL)

    def _usage(self) -> dict[str, Any]:
        before, now = self._before, resource.getrusage(resource.RUSAGE_SELF)
        return {
            **process.usage(self._pid),
            "cpu_user": round(now.ru_utime - before.ru_utime, 6),
            "cpu_system": round(now.ru_stime - before.ru_stime, 6),
        }

    def _watch(self) -> None:
        settings = self._settings
        period = settings.sample_period or settings.heartbeat_period
        speaks = settings.heartbeat_period > 0 and self._board is None
        node = NodeWatch(settings.run_id, self.place, settings.heartbeat_period) if speaks else None
        sampled: tuple[int, float, tuple[str, int] | None] | None = None
        sequence = 0
        while True:
            time.sleep(period)
            try:
                task = self._task
                if task is not None and settings.sample_period > 0:
                    sequence = sequence + 1 if task == sampled else 0
                    sampled = task
                    _send(
                        {
                            "kind": "sample",
                            "executor": settings.executor,
                            "number": task[0],
                            "started": task[1],
                            "try": task[2],
                            "sequence": sequence,
                            "place": self.place,
                            "usage": self._usage(),
                        }
                    )
                beat = node.beat() if node is not None else None
                if beat is not None:
                    _send({"kind": "heartbeat", "executor": settings.executor, "place": self.place, **beat})
            except Exception:  # noqa: BLE001 - the border to the user's worker; the channel closes when the pool ends
                if not _channel_open():
                    return


_current: _Observer | None = None


def _observer(settings: Settings) -> _Observer:
    global _current  # noqa: PLW0603 - one per worker process
    if _current is None or not _current.belongs_here():
        _current = _Observer(settings)
    return _current


def _variable(name: str) -> str | None:
    value = os.environ.get(name)
    return None if value in (None, "None") else value


def _channel_open() -> bool:
    return os.getppid() != 1


def _send(message: dict[str, Any]) -> None:
    _put({"type": "monitoring", "payload": (TAG, message)})


def _put(message: dict[str, Any]) -> None:
    """Put a message on Parsl's result channel, the way its HTEXRadio does."""
    import parsl.executors.high_throughput.monitoring_info as channel

    if channel.result_queue is not None:
        channel.result_queue.put(pickle.dumps(message))
