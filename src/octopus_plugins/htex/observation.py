"""What travels between the submit side and the workers: settings one way, results with what was seen the other.

Imported on compute nodes: it needs Parsl, and of ours only the number of the version.
"""

from __future__ import annotations

import itertools
import pickle
import platform
import sys
import time
from typing import Any, NamedTuple

from parsl.app.errors import AppTimeout, RemoteExceptionWrapper
from parsl.serialize import deserialize, serialize

OBSERVATION = "octopus-observation/2"
"""First item of a result that is ours; another number means other fields."""

LARGE = 1_000_000
"""Bytes from which on a result is not written by itself: Parsl's worker writes what it gets, and copies it again."""

CELL = 8
"""Bytes that a cell of a table takes at least, as a rule."""

FEW = 1_000
"""Items of a collection that are looked at for its size."""

WATCHED = "octopus_watched"
"""Key of the context of a task whose worker writes it on the pool's board: its number there, and its walltime.

Whoever submits it takes an `Observation` for an answer."""

TAG = "octopus"
"""First item of the messages that are ours in Parsl's monitoring channel."""

STARTING, READY = "starting", "ready"
"""Kinds of those messages that are for the interchange: a pool has to start a worker anew, and the worker has come."""

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
        payload: The result as Parsl's ``serialize`` wrote it; a RemoteExceptionWrapper where the task raised. None
            where it is large and stands beside the observation.
        place: Where it ran: host, block, manager, worker_id, pid.
        started: When the worker began, Unix seconds.
        ended: When it ended, Unix seconds.
        usage: What the try used in all.
        post_mortem: Limits, node state and versions, for a task that failed, and how its worker ended where
            it did; else None.
    """

    payload: bytes | None
    place: dict[str, Any]
    started: float
    ended: float
    usage: dict[str, Any]
    post_mortem: dict[str, Any] | None

    def packed(self, result: Any = None) -> tuple[Any, ...]:
        """As it travels: nothing that Parsl's result thread, which guards nothing, could fail to read.

        Parsl serializes results with dill, in Python: 65 µs for the fields, 19 µs for bytes made by pickle, in C.

        Args:
            result: The task's, where it is large; then Parsl writes and reads it as it does without us.
        """
        fields = pickle.dumps(tuple(self))
        return (OBSERVATION, fields) if self.payload is not None else (OBSERVATION, fields, result)

    @classmethod
    def unpacked(cls, packed: Any) -> Observation:
        """Read what ``packed`` made.

        Raises:
            ValueError: It is something else: the worker has another version of octopus-plugins.
        """
        if not (isinstance(packed, tuple) and len(packed) in {2, 3} and packed[0] == OBSERVATION):
            raise ValueError("the worker's octopus-plugins is another version than the submit side's")
        return cls(*pickle.loads(packed[1]))

    def result(self, packed: Any) -> Any:
        """The task's result.

        Args:
            packed: What this was read from.

        Raises:
            Exception: Whatever a foreign pickle raises.
        """
        return packed[2] if self.payload is None else deserialize(self.payload)


def is_large(result: Any) -> bool:
    """Whether a result has so many bytes, as far as it says so by itself; looks into collections once."""
    parts = result.values() if type(result) is dict else result if type(result) in {list, tuple} else (result,)
    return sum(map(_size, itertools.islice(parts, FEW))) >= LARGE


def _size(value: Any) -> int:
    """Bytes of what arrays, tables, strings and bytes hold; 0 for anything else. Calls nothing of the user's."""
    kind = type(value)
    if kind in {bytes, bytearray, str}:
        return len(value)
    module = kind.__module__
    package = module.partition(".")[0] if type(module) is str else ""
    try:
        if package in _HAVE_SIZES:
            return int(value.nbytes)
        if package == "pandas":  # how much each column takes would be asked of each, one by one
            return int(value.size) * CELL
    except Exception:  # noqa: BLE001 - not all classes of these packages have a size
        return 0
    return 0


_HAVE_SIZES = frozenset({"numpy", "torch", "cupy", "xarray", "pyarrow"})
"""Packages whose arrays and tables have the number of their bytes as ``nbytes``."""


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
    packed: tuple[str, bytes] = Observation(payload, place, started, time.time(), usage, post_mortem).packed()
    return packed


def versions() -> dict[str, str]:
    """Versions of Python, Parsl and octopus-plugins here."""
    from parsl.version import VERSION

    from octopus_plugins import __version__

    return {"python": platform.python_version(), "parsl": VERSION, "octopus-plugins": __version__}
