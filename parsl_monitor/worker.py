"""What runs on the worker: each task observed without touching the user's function.

Parsl's ``submit_payload`` lets a worker call a function of ours, by name, in place of its own
``execute_task``. What it saw (when the task ran, where, with what it used) goes back with the task's own
result, so that it costs no message. Only what cannot wait for the result travels by itself, over Parsl's
encrypted result channel: that a worker exists, that a task has run for a while, samples, heartbeats.

This module is imported on compute nodes. It needs Parsl and psutil (which Parsl brings) and of ours only
``parsl_monitor.node`` and the number of the version.
"""

from __future__ import annotations

import os
import pickle
import platform
import resource
import sys
import threading
import time
import traceback
from typing import Any, NamedTuple

from parsl.app.errors import RemoteExceptionWrapper
from parsl.executors.execute_task import execute_task
from parsl.serialize import serialize

from parsl_monitor.node import NodeWatch, limits, node_state

OBSERVATION = "octopus-observation/1"
"""First item of a result that is ours; another number means other fields."""

MAX_DESCRIPTION = 8_192
"""Characters of an exception's message, and of its traceback, as described on the worker."""

TAG = "octopus"
"""First item of the messages that are ours in Parsl's monitoring channel."""

BUFFER_THRESHOLD = 1_000_000
"""As in Parsl's own worker: results above this many bytes are not kept in its serializer's buffer."""


class Settings(NamedTuple):
    """What the submit side tells its workers with each task.

    Attributes:
        run_id: The run.
        executor: Label of the executor.
        sample_period: Seconds between resource samples; 0 takes none.
        heartbeat_period: Seconds between heartbeats of the node; 0 sends none.
    """

    run_id: str
    executor: str
    sample_period: float
    heartbeat_period: float


class Observation(NamedTuple):
    """A task's result, still serialized, with what its worker saw.

    Attributes:
        payload: The result as Parsl's ``serialize`` wrote it; a RemoteExceptionWrapper where the task raised.
        place: Where it ran: host, block, manager, worker_id, pid.
        started: When the worker began, Unix seconds.
        ended: When it ended, Unix seconds.
        usage: What the try used in all.
        post_mortem: Limits, node state and versions, for a task that failed; else None.
    """

    payload: bytes
    place: dict[str, Any]
    started: float
    ended: float
    usage: dict[str, Any]
    post_mortem: dict[str, Any] | None

    def packed(self) -> tuple[str, bytes]:
        """As it travels: nothing that Parsl's result thread, which guards nothing, could fail to read.

        Parsl serializes results with dill, in Python: 65 µs for the fields, 19 µs for bytes made by pickle, in C.
        """
        return OBSERVATION, pickle.dumps(tuple(self))

    @classmethod
    def unpacked(cls, result: Any) -> Observation:
        """Read what ``packed`` made.

        Raises:
            ValueError: It is something else: the worker has another version of octopus-plugins.
        """
        if not (isinstance(result, tuple) and len(result) == 2 and result[0] == OBSERVATION):
            raise ValueError("the worker's octopus-plugins is another version than the submit side's")
        return cls(*pickle.loads(result[1]))


def execute(buffer: bytes, number: int, settings: tuple[str, str, float, float]) -> tuple[str, bytes]:
    """Run one task and observe it. Parsl's worker calls this by name.

    Args:
        buffer: The task as ``pack_apply_message`` wrote it.
        number: The executor's number of the task.
        settings: See Settings; a plain tuple, so that it travels as one.

    Returns:
        The result or the exception, with what was seen: a packed Observation.
    """
    observer = _observer(Settings(*settings))
    before = resource.getrusage(resource.RUSAGE_SELF)
    observer.begin(number, before)
    started = time.time()
    failed = False
    result: Any
    try:
        result = execute_task(buffer)
    except Exception:  # noqa: BLE001 - what any task may raise belongs to the task and travels as its result
        failed, result = True, RemoteExceptionWrapper(*sys.exc_info())
    finally:
        # Also when SystemExit takes the worker down: a sample taken later would belong to nobody.
        observer.end()
    failed = failed or isinstance(result, RemoteExceptionWrapper)
    try:
        payload = serialize(result, buffer_threshold=BUFFER_THRESHOLD)
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
    post_mortem = observer.post_mortem() if failed else None
    if post_mortem is not None and isinstance(result, RemoteExceptionWrapper):
        post_mortem["error"] = _described(result)
    return Observation(payload, observer.place, started, ended, usage, post_mortem).packed()


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
        self._task: tuple[int, float] | None = None
        self._before = resource.getrusage(resource.RUSAGE_SELF)
        self.place: dict[str, Any] = {
            "host": platform.node(),
            "block": _variable("PARSL_WORKER_BLOCK_ID"),
            "manager": _variable("PARSL_WORKER_POOL_ID"),
            "worker_id": int(os.environ.get("PARSL_WORKER_RANK", "-1")),
            "pid": self._pid,
        }
        _send({"kind": "worker", "executor": settings.executor, "place": self.place, "time": time.time()})
        if settings.sample_period > 0 or settings.heartbeat_period > 0:
            threading.Thread(target=self._watch, name="octopus-sampler", daemon=True).start()

    def belongs_here(self) -> bool:
        """False in a process forked from the worker: its thread stayed behind."""
        return self._pid == os.getpid()

    def begin(self, number: int, before: resource.struct_rusage) -> None:
        self._before = before
        self._task = (number, time.time())

    def end(self) -> None:
        self._task = None

    def post_mortem(self) -> dict[str, Any]:
        """What the node and the limits looked like just after a failure."""
        found: dict[str, Any] = {}
        for name, look in (("versions", _versions), ("limits", limits), ("node", node_state), ("usage", self._usage)):
            try:
                found[name] = look()
            except Exception:  # noqa: BLE001, S112 - a measurement that fails must not fail the task again
                continue
        return found

    def _usage(self) -> dict[str, Any]:
        import psutil

        process = psutil.Process(self._pid)
        before, now = self._before, resource.getrusage(resource.RUSAGE_SELF)
        with process.oneshot():
            memory = process.memory_info()
            return {
                "time": time.time(),
                "rss": memory.rss,
                "vms": memory.vms,
                "cpu_user": round(now.ru_utime - before.ru_utime, 6),
                "cpu_system": round(now.ru_stime - before.ru_stime, 6),
                "open_files": process.num_fds(),
                "threads": process.num_threads(),
                "children": len(process.children()),
            }

    def _watch(self) -> None:
        settings = self._settings
        period = settings.sample_period or settings.heartbeat_period
        node = NodeWatch(settings.run_id, self.place, settings.heartbeat_period)
        sampled: tuple[int, float] | None = None
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
                            "sequence": sequence,
                            "place": self.place,
                            "usage": self._usage(),
                        }
                    )
                beat = node.beat() if settings.heartbeat_period > 0 else None
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


def _versions() -> dict[str, str]:
    from parsl.version import VERSION

    from octopus_plugins import __version__

    return {"python": platform.python_version(), "parsl": VERSION, "octopus-plugins": __version__}


def _variable(name: str) -> str | None:
    value = os.environ.get(name)
    return None if value in (None, "None") else value


def _channel_open() -> bool:
    return os.getppid() != 1


def _send(message: dict[str, Any]) -> None:
    """Put a message on Parsl's result channel, the way its HTEXRadio does."""
    import parsl.executors.high_throughput.monitoring_info as channel

    if channel.result_queue is not None:
        channel.result_queue.put(pickle.dumps({"type": "monitoring", "payload": (TAG, message)}))
