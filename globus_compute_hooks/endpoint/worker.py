"""What runs on the worker: each task observed, by the host's own ``execute_task``, without touching its result.

Parsl's ``submit_payload`` lets a worker call a function of ours, by name, in the place of the host's. What it saw goes
back beside the result. Only what cannot wait for it travels by itself, over Parsl's encrypted channel: that a worker
exists, samples of a task that runs for a while, heartbeats of the node.

This module is imported on compute nodes.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import msgspec
from globus_compute_endpoint.engines import helper

from globus_compute_hooks.endpoint.observation import Observation, packed
from octopus_plugins.events.exceptions import failure_details
from octopus_plugins.htex.observation import Settings
from octopus_plugins.htex.worker.monitor import Running, WorkerWatch, used_since


def execute(
    task_body: bytes,
    task_id: Any,
    endpoint_id: Any = None,
    *,
    octopus: tuple[int, int, tuple[str, str, float, float]],
    **options: Any,
) -> tuple[str, bytes, bytes]:
    """Run one task and observe it. Parsl's worker calls this by name.

    Args:
        task_body: The task; see the host's ``execute_task``.
        task_id: Globus Compute's id of it.
        endpoint_id: The endpoint.
        octopus: The number of the try, its number on the pool's board, and Settings as a plain tuple.
        **options: As the host's ``execute_task`` takes them.

    Returns:
        The packed result of the host, with what was seen.
    """
    try_id, number, settings = octopus
    watch = _watch(Settings(*settings))
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.time()
    with _watched(watch) as seen:

        def named() -> dict[str, Any]:
            return {"task_id": str(task_id), "try_id": try_id, "app": seen.app}

        watch.begin(Running(number, started, before, named))
        try:
            result = helper.execute_task(task_body, task_id, endpoint_id, **options)
        finally:
            watch.end()  # also when SystemExit takes the worker down
    ended = time.time()
    failure = None if seen.error is None else msgspec.to_builtins(failure_details(seen.error))
    observation = Observation(
        place=watch.place,
        started=started,
        ended=ended,
        usage=used_since(before, ended),
        app=seen.app,
        failed=failure is not None,
        failure=failure,
        post_mortem=watch.post_mortem() if failure is not None else {},
    )
    return packed(result, observation)


class Seen:
    """What passed through the host's hands while it ran a task.

    Args:
        watch: Learns the name of the function.

    Attributes:
        app: Name of the function.
        error: What it raised, or what was raised on its behalf.
    """

    def __init__(self, watch: WorkerWatch) -> None:
        self.app: str | None = None
        self.error: BaseException | None = None
        self._watch = watch

    def call(self, function: Any) -> None:
        """The task is a call of this function."""
        self.app = str(getattr(function, "__name__", "")) or None
        if self.app is not None:
            self._watch.name(self.app)


@contextmanager
def _watched(watch: WorkerWatch) -> Iterator[Seen]:
    """Look on while the host unpacks a function and describes what it raised: it keeps neither."""
    seen = Seen(watch)
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
            _looking[-1].call(unpacked[0])
            return unpacked

    return Watching


_current: WorkerWatch | None = None


def _watch(settings: Settings) -> WorkerWatch:
    global _current  # noqa: PLW0603 - one per worker process
    if _current is None or not _current.belongs_to(settings):
        _current = WorkerWatch(settings, versions)
    return _current


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
