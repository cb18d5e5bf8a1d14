"""What travels between the engine and its workers: settings one way, results with what was seen the other.

Imported on compute nodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

OBSERVATION = "octopus-compute/1"
"""First item of a result that is ours; another number means other fields."""

TAG = "octopus"
"""First item of the messages that are ours in Parsl's monitoring channel."""


class Settings(NamedTuple):
    """What the engine tells its workers with each task.

    Attributes:
        run_id: The run: this session of the endpoint.
        executor: The endpoint.
        sample_period: Seconds between resource samples; 0 takes none.
        heartbeat_period: Seconds between heartbeats of the node; 0 sends none.
    """

    run_id: str
    executor: str
    sample_period: float
    heartbeat_period: float


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker saw of one try.

    Attributes:
        place: Where it ran: host, block, manager, worker_id, pid.
        started: When the worker began, Unix seconds.
        ended: When it ended, Unix seconds.
        usage: What the try used in all.
        app: Name of the function.
        failure: For a try that failed: what the exception tells, as keyword arguments of ``Failure``.
        post_mortem: For a try that failed: ``limits``, ``node`` and ``versions`` there.
    """

    place: dict[str, Any]
    started: float
    ended: float
    usage: dict[str, Any]
    app: str | None = None
    failed: bool = False
    failure: dict[str, Any] | None = None
    post_mortem: dict[str, Any] = {}


def packed(result: bytes, observation: Observation) -> tuple[str, bytes, bytes]:
    """A result as it travels: the host's own bytes as they are, and beside them what was seen."""
    return OBSERVATION, result, msgspec.json.encode(observation)


def unpacked(value: Any) -> tuple[Any, Observation | None]:
    """The host's own result, and what was seen.

    Nothing was seen by a worker without octopus-plugins, and what another version of it has seen cannot be read.
    """
    if not isinstance(value, tuple):
        return value, None
    if value[0] != OBSERVATION:
        return value[1], None
    return value[1], msgspec.json.decode(value[2], type=Observation)
