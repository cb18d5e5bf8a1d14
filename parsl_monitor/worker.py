"""What runs on the worker: each task observed without touching the user's function.

Parsl's ``submit_payload`` lets a worker call a function of ours, by name, in place of its own
``execute_task``. What it saw (when the task ran, where, with what it used) goes back with the task's own
result, so that it costs no message. Only what cannot wait for the result travels by itself, over Parsl's
encrypted result channel: that a worker exists, that a task has run for a while, samples, heartbeats. Samples and
heartbeats come from the pool, where the pool is ours, which looks at its workers from outside.

A try that has a walltime is watched over besides (``octopus_plugins.htex.worker.walltime``). Where the pool is ours too
(``octopus_plugins.htex.pool``) it answers for workers that die, and speaks for the node; else one of the workers does.

This module is imported on compute nodes. It needs Parsl and psutil (which Parsl brings), and of ours only modules
that need no more.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from typing import Any

from parsl.app.errors import RemoteExceptionWrapper
from parsl.executors.execute_task import execute_task
from parsl.serialize import serialize

from octopus_plugins.exception_description import describe
from octopus_plugins.htex.observation import (
    BUFFER_THRESHOLD,
    Observation,
    Settings,
    is_large,
    lost_task,
    overtime_error,
    versions,
)
from octopus_plugins.htex.worker.monitor import Running, WorkerWatch, put, used_since
from octopus_plugins.htex.worker.walltime import Guard
from octopus_plugins.htex.worker_table import OVERTIME

FRAMES = (100, 40, 10, 0)
"""Innermost frames of a traceback that are left, one after the other, where the whole cannot be written: the pickler
makes many calls for each, one within the other, and what recursed without end leaves it no room."""

MAX_CAUSES = 100


def execute(
    buffer: bytes,
    number: int,
    settings: tuple[str, str, float, float],
    walltime: float | None = None,
    subject: tuple[str, int] | None = None,
) -> tuple[Any, ...]:
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
    observer.begin(Running(number, started, before, lambda: {"number": number}, subject), walltime)
    failed = False
    result: Any
    try:
        result = execute_task(buffer) if walltime is None else observer.within(walltime, buffer)
    except Exception:  # noqa: BLE001 - what any task may raise belongs to the task and travels as its result
        failed, result = True, RemoteExceptionWrapper(*sys.exc_info())
    finally:
        observer.end()  # also when SystemExit takes the worker down
    failed = failed or isinstance(result, RemoteExceptionWrapper)
    payload: bytes | None
    try:
        payload = None if is_large(result) else _written(result)
    except Exception:  # noqa: BLE001 - a result that cannot be written is the task's failure, as in Parsl's worker
        failed, unwritten = True, RemoteExceptionWrapper(*sys.exc_info())
        payload = serialize(unwritten, buffer_threshold=BUFFER_THRESHOLD)
        # What the task raised is why it failed, even where it cannot be sent.
        result = result if isinstance(result, RemoteExceptionWrapper) else unwritten
    ended = time.time()
    usage = used_since(before, ended)
    post_mortem = observer.ended(walltime) if failed else None
    if post_mortem is not None and isinstance(result, RemoteExceptionWrapper):
        post_mortem["error"] = _described(result)
    return Observation(payload, observer.place, started, ended, usage, post_mortem).packed(result)


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
    """What an exception tells, as long as nothing of it was pickled; nothing of the task's own is called for it."""
    try:
        return describe(wrapper.e_value, trace=wrapper.e_traceback, call=False)
    except Exception:  # noqa: BLE001 - whatever it is that cannot be described, it is the task's answer that counts
        return {}


class _Observer(WorkerWatch):
    """The watch over one worker process, whose tasks may have a walltime."""

    def within(self, walltime: float, buffer: bytes) -> Any:
        """Run a task that has a walltime."""
        with Guard(walltime, tick=self._tick, calm=self._calm, end=lambda: self._end_overtime(walltime)):
            return execute_task(buffer)

    def ended(self, walltime: float | None) -> dict[str, Any]:
        """What the node and the limits looked like just after a failure."""
        found = self.post_mortem()
        if walltime is not None:
            found["limits"] = {**found.get("limits", {}), "walltime": walltime}
        return found

    def _tick(self) -> None:
        self._write(self._slot._replace(ticked=time.monotonic()))

    def _calm(self) -> None:
        self._write(self._slot._replace(deadline=0.0))

    def _end_overtime(self, walltime: float) -> None:
        """End this process, and see to it that the submit side learns why."""
        running = self._running
        if running is None:
            return
        if self._board is not None:
            self._write(self._slot._replace(state=OVERTIME))
        else:
            place, mortem = self.place, {**self.ended(walltime), "signal": int(signal.SIGKILL)}
            answer = lost_task(overtime_error(walltime), place, running.started, mortem.get("usage", {}), mortem)
            # What stands on this queue the pool passes on as it is, results too. Its own report of a lost worker
            # comes later, and the interchange drops it: it knows the task no more.
            put({"type": "result", "task_id": running.number, "result": serialize(answer)})
        os.kill(self._pid, signal.SIGKILL)


_current: _Observer | None = None


def _observer(settings: Settings) -> _Observer:
    global _current  # noqa: PLW0603 - one per worker process
    if _current is None or not _current.belongs_to(settings):
        _current = _Observer(settings, versions)
    return _current
