"""What a worker sends back beside the result of a task: what it saw of it.

Imported on compute nodes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from octopus_plugins.htex import observation as htex

OBSERVATION = "octopus-compute/1"
"""First item of a result that is ours; another number means other fields."""


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


def of_agent(value: Any) -> tuple[Exception, Observation] | None:
    """What a node agent says in the place of a worker that died: what the task failed with, and what was seen.

    Returns:
        None for what is no answer of an agent.
    """
    if not (isinstance(value, tuple) and value and value[0] == htex.OBSERVATION):
        return None
    told = htex.Observation.unpacked(value)
    try:
        told.result(value).reraise()
    except Exception as error:  # noqa: BLE001 - raised as the host does it, which wants a traceback
        seen = Observation(
            place=told.place,
            started=told.started,
            ended=told.ended,
            usage=told.usage,
            failed=True,
            post_mortem=told.post_mortem or {},
        )
        return error, seen
    return None


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
