"""What runs on the worker: each task observed, by the host's own ``execute_task``, without touching its result.

Parsl's ``submit_payload`` lets a worker call a function of ours, by name, in the place of the host's. What it saw goes
back beside the result. Only what cannot wait for it travels by itself, over Parsl's encrypted channel: that a worker
exists, samples of a task that runs for a while, heartbeats of the node.

This module is imported on compute nodes.
"""

from __future__ import annotations

import os
import pickle
import platform
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import msgspec
from globus_compute_endpoint.engines import helper

from globus_compute_hooks.observation import TAG, Observation, Settings, packed
from octopus_plugins.events.exceptions import failure_details
from octopus_plugins.nodes import process
from octopus_plugins.nodes.node import NodeWatch, limits, node_state


def execute(
    task_body: bytes,
    task_id: Any,
    endpoint_id: Any = None,
    *,
    octopus: tuple[int, tuple[str, str, float, float]],
    **options: Any,
) -> tuple[str, bytes, bytes]:
    """Run one task and observe it. Parsl's worker calls this by name.

    Args:
        task_body: The task; see the host's ``execute_task``.
        task_id: Globus Compute's id of it.
        endpoint_id: The endpoint.
        octopus: The number of the try, and Settings as a plain tuple.
        **options: As the host's ``execute_task`` takes them.

    Returns:
        The packed result of the host, with what was seen.
    """
    try_id, settings = octopus
    observer = _observer(Settings(*settings))
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.time()
    with _watched() as seen:
        observer.begin(Running(str(task_id), try_id, started, before, seen))
        try:
            result = helper.execute_task(task_body, task_id, endpoint_id, **options)
        finally:
            # Also when SystemExit takes the worker down: a sample taken later would belong to nobody.
            observer.end()
    ended = time.time()
    failure = None if seen.error is None else msgspec.to_builtins(failure_details(seen.error))
    observation = Observation(
        place=observer.place,
        started=started,
        ended=ended,
        usage=_used(before, ended),
        app=seen.app,
        failed=failure is not None,
        failure=failure,
        post_mortem=observer.post_mortem() if failure is not None else {},
    )
    return packed(result, observation)


class Seen:
    """What passed through the host's hands while it ran a task.

    Attributes:
        app: Name of the function.
        error: What it raised, or what was raised on its behalf.
    """

    def __init__(self) -> None:
        self.app: str | None = None
        self.error: BaseException | None = None


@contextmanager
def _watched() -> Iterator[Seen]:
    """Look on while the host unpacks a function and describes what it raised: it keeps neither."""
    seen = Seen()
    serializer, describe = helper.ComputeSerializer, helper.get_result_error_details

    def noted(*arguments: Any, **options: Any) -> Any:
        seen.error = sys.exc_info()[1]
        return describe(*arguments, **options)

    _looking.append(seen)
    helper.ComputeSerializer, helper.get_result_error_details = _watching(serializer), noted
    try:
        yield seen
    finally:
        helper.ComputeSerializer, helper.get_result_error_details = serializer, describe
        _looking.pop()


_looking: list[Seen] = []
"""Where what is seen is put down: of the task that this process runs."""


@cache
def _watching(serializer: Any) -> Any:
    """The host's serializer that notes the name of the function it unpacks. Made once: a class takes a while."""

    class Watching(serializer):
        def unpack_and_deserialize(self, *arguments: Any, **options: Any) -> Any:
            unpacked = super().unpack_and_deserialize(*arguments, **options)
            _looking[-1].app = str(getattr(unpacked[0], "__name__", "")) or None
            return unpacked

    return Watching


class Running:
    """The task that a worker has at the moment.

    Attributes:
        task_id: Globus Compute's id of it.
        try_id: The number of the try.
        started: Unix seconds.
        before: What the process had used when it began.
        seen: What is known of it meanwhile.
    """

    def __init__(self, task_id: str, try_id: int, started: float, before: Any, seen: Seen) -> None:
        self.task_id, self.try_id, self.started, self.before, self.seen = task_id, try_id, started, before, seen


class _Observer:
    """The watch over one worker process: who it is, and a thread that samples what runs there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pid = os.getpid()
        self._running: Running | None = None
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

    def belongs_to(self, settings: Settings) -> bool:
        """False in a process forked from the worker, whose thread stayed behind, and for another run."""
        return self._pid == os.getpid() and self._settings == settings

    def begin(self, running: Running) -> None:
        self._running = running

    def end(self) -> None:
        self._running = None

    def post_mortem(self) -> dict[str, Any]:
        """What the node and the limits looked like just after a failure."""
        found: dict[str, Any] = {}
        for name, look in (("versions", versions), ("limits", limits), ("node", node_state), ("usage", self._usage)):
            try:
                found[name] = look()
            except Exception:  # noqa: BLE001, S112 - a measurement that fails must not fail the task again
                continue
        return found

    def _usage(self) -> dict[str, Any]:
        return process.usage(self._pid)

    def _watch(self) -> None:
        settings = self._settings
        period = settings.sample_period or settings.heartbeat_period
        speaks = settings.heartbeat_period > 0
        node = NodeWatch(settings.run_id, self.place, settings.heartbeat_period) if speaks else None
        sampled: Running | None = None
        sequence = 0
        while os.getppid() != 1:  # the channel ends with its pool
            time.sleep(period)
            try:
                running = self._running
                if running is not None and settings.sample_period > 0:
                    sequence = sequence + 1 if running is sampled else 0
                    sampled = running
                    _send(self._sample(running, sequence))
                beat = node.beat() if node is not None else None
                if beat is not None:
                    _send({"kind": "heartbeat", "executor": settings.executor, "place": self.place, **beat})
            except Exception:  # noqa: BLE001, S112 - the border to the user's worker
                continue

    def _sample(self, running: Running, sequence: int) -> dict[str, Any]:
        usage = self._usage()
        return {
            "kind": "sample",
            "executor": self._settings.executor,
            "task_id": running.task_id,
            "try_id": running.try_id,
            "app": running.seen.app,
            "started": running.started,
            "sequence": sequence,
            "place": self.place,
            "usage": {**usage, **_used(running.before, usage["time"])},
        }


_current: _Observer | None = None


def _observer(settings: Settings) -> _Observer:
    global _current  # noqa: PLW0603 - one per worker process
    if _current is None or not _current.belongs_to(settings):
        _current = _Observer(settings)
    return _current


def _used(before: Any, now: float) -> dict[str, Any]:
    """What this process used since a try began. Keys as in events.Usage."""
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "time": now,
        "cpu_user": round(after.ru_utime - before.ru_utime, 6),
        "cpu_system": round(after.ru_stime - before.ru_stime, 6),
        "peak_rss": after.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def versions() -> dict[str, str]:
    """Versions of Python, Globus Compute, Parsl and octopus-plugins here."""
    from globus_compute_endpoint.version import __version__ as endpoint
    from parsl.version import VERSION as parsl

    from octopus_plugins import __version__

    return {
        "python": platform.python_version(),
        "globus-compute-endpoint": endpoint,
        "parsl": parsl,
        "octopus-plugins": __version__,
    }


def _variable(name: str) -> str | None:
    value = os.environ.get(name)
    return None if value in (None, "None") else value


def _send(message: dict[str, Any]) -> None:
    """Put a message on Parsl's result channel, the way its HTEXRadio does."""
    import parsl.executors.high_throughput.monitoring_info as channel

    if channel.result_queue is not None:
        channel.result_queue.put(pickle.dumps({"type": "monitoring", "payload": (TAG, message)}))
