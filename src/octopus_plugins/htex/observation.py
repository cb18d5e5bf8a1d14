"""What travels between the submit side and the workers: settings one way, results with what was seen the other.

Imported on compute nodes: it needs Parsl, and of ours only the number of the version.
"""

from __future__ import annotations

import pickle
import platform
import sys
import time
from typing import Any, NamedTuple

from parsl.app.errors import AppTimeout, RemoteExceptionWrapper
from parsl.serialize import serialize

OBSERVATION = "octopus-observation/1"
"""First item of a result that is ours; another number means other fields."""

WATCHED = "octopus_watched"
"""Key of the context of a task whose worker writes it on the pool's board: its number there, and its walltime.

Whoever submits it takes an `Observation` for an answer."""

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
        post_mortem: Limits, node state and versions, for a task that failed, and how its worker ended where
            it did; else None.
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


def overtime_error(walltime: float) -> AppTimeout:
    """What a try fails with that was ended together with its worker."""
    return AppTimeout(f"the app did not return within its walltime of {walltime:g} s, and was ended with its worker")


def lost_task(
    error: BaseException, place: dict[str, Any], started: float, usage: dict[str, Any], post_mortem: dict[str, Any]
) -> tuple[str, bytes]:
    """The answer for a task whose worker cannot give it any more, in the form of one that ``execute`` gives.

    Args:
        error: What the task fails with.
        place: Where it ran; see Observation.
        started: When it began, Unix seconds.
        usage: The last that was measured of it.
        post_mortem: What is known of its end; see Observation.
    """
    try:
        raise error
    except BaseException:  # noqa: BLE001 - raised to be wrapped, as Parsl does it
        wrapped = RemoteExceptionWrapper(*sys.exc_info())
    payload = serialize(wrapped, buffer_threshold=BUFFER_THRESHOLD)
    return Observation(payload, place, started, time.time(), usage, post_mortem).packed()


def versions() -> dict[str, str]:
    """Versions of Python, Parsl and octopus-plugins here."""
    from parsl.version import VERSION

    from octopus_plugins import __version__

    return {"python": platform.python_version(), "parsl": VERSION, "octopus-plugins": __version__}
