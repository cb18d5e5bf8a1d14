"""What a HighThroughputExecutor reports of its nodes and blocks, as events.

Pure: the messages are plain values, and Parsl itself is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from octopus_plugins.events import (
    Block,
    Heartbeat,
    NodeState,
    Pool,
    ResourceSample,
    ResourceSamples,
    TrySample,
    Usage,
    WorkerState,
)

_GIGABYTE = 1 << 30

MAX_NAMED = 10
"""Nodes that a sentence names."""


ONLY_PLACEMENTS = "octopus_only_placements"
"""Key of a report of a manager: whether it is made for the sake of the tasks that it names, and is no heartbeat."""

WITHHELD = "withheld"
"""Key of a report of a manager: the slot-seconds for which its node was kept idle while tasks waited that no other node
had room for, because it is or was denied; left out where there were none."""


class IdleNodes:
    """What denying nodes has cost, as the interchanges report it."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], float] = {}

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take in a report of a manager."""
        if message.get(WITHHELD):
            self._seconds[message["executor_label"], message["hostname"]] = float(message[WITHHELD])

    def summary(self) -> str | None:
        """A sentence for people; None where it has cost nothing to speak of."""
        seconds = sum(self._seconds.values())
        if seconds < 1.0:
            return None
        hosts = sorted({host for _, host in self._seconds})
        named = ", ".join(hosts[:MAX_NAMED]) + (f" and {len(hosts) - MAX_NAMED} more" if len(hosts) > MAX_NAMED else "")
        nodes = "node" if len(hosts) == 1 else "nodes"
        return f"Denying {nodes} {named} kept {seconds:,.0f} slot-seconds idle while tasks waited."


def block_event(message: Mapping[str, Any], now: float, framework: str = "parsl") -> Block:
    """A block's change of state, from one entry of BLOCK_INFO."""
    job = message.get("job_id")
    return Block(
        run_id=message["run_id"],
        time=now,
        framework=framework,
        executor=message["executor_label"],
        block=str(message["block_id"]),
        job_id=None if job is None else str(job),
        state=message["status"],
    )


def manager_heartbeat(message: Mapping[str, Any], now: float, framework: str = "parsl") -> Heartbeat:
    """A manager as the interchange sees it, from NODE_INFO."""
    state = "draining" if message.get("draining") else "up"
    if not message["active"]:
        state = "lost" if message.get("overdue") else "held"
    beat = message["last_heartbeat"]
    return Heartbeat(
        run_id=message["run_id"],
        time=now if state != "up" or not isinstance(beat, datetime) else beat.timestamp(),
        framework=framework,
        host=message["hostname"],
        component="manager",
        state=state,
        executor=message.get("executor_label"),
        block=_text(message["block_id"]),
        manager=message["uid"],
        worker_count=message["worker_count"],
        node=NodeState(time=now, cpus=message.get("cpu_count"), memory_total=message.get("total_memory")),
    )


def node_heartbeat(run_id: str, message: Mapping[str, Any], framework: str = "parsl") -> Heartbeat:
    """A node as one of its workers sees it."""
    place = message["place"]
    return Heartbeat(
        run_id=run_id,
        time=message["time"],
        framework=framework,
        host=place["host"],
        component="node",
        period=message["period"],
        executor=message["executor"],
        block=place["block"],
        manager=place["manager"],
        pid=place["pid"],
        workers=tuple(msgspec.convert(message["workers"], list[WorkerState])),
        worker_count=len(message["workers"]),
        node=msgspec.convert(message["node"], NodeState),
    )


def sample_event(about: Mapping[str, Any], message: Mapping[str, Any]) -> ResourceSample:
    """A resource sample that a worker sent while a try ran.

    Args:
        about: What every event about the try says of it.
        message: The worker's.
    """
    measured = msgspec.convert(message["usage"], Usage)
    return ResourceSample(**about, time=measured.time, sequence=message["sequence"], usage=measured)


def samples_event(
    about: Mapping[str, Any], message: Mapping[str, Any], tries: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> ResourceSamples:
    """The resource samples that a pool took of its workers at one moment.

    Args:
        about: What an event says of the run: ``run_id``, ``executor``, and ``framework`` where it is not Parsl.
        message: The pool's: where it is, and how it samples.
        tries: By try, what names it (``task_id``, ``try_id`` and perhaps ``app``), and its sample of the message; at
            least one.
    """
    place = message["place"]
    return ResourceSamples(
        **about,
        time=message["time"],
        host=place["host"],
        block=place["block"],
        manager=place["manager"],
        period=message["period"],
        stretch=message["stretch"],
        tries=tuple(
            TrySample(
                **named,
                worker_id=sample["worker_id"],
                pid=sample["pid"],
                sequence=sample["sequence"],
                usage=msgspec.convert(sample["usage"], Usage),
            )
            for named, sample in tries
        ),
    )


def place_of(message: Mapping[str, Any], sample: Mapping[str, Any]) -> dict[str, Any]:
    """Where a try runs whose sample is in a pool's message."""
    return {**message["place"], "worker_id": sample["worker_id"], "pid": sample["pid"]}


def pool_of(executor: Any, *, steerable: bool) -> Pool:
    """An executor as the events describe it."""
    memory = getattr(executor, "mem_per_worker", None)
    workers = getattr(executor, "max_workers_per_node", None)
    provider = getattr(executor, "provider", None)
    blocks = getattr(provider, "max_blocks", None)
    nodes = getattr(provider, "nodes_per_block", None)
    return Pool(
        label=executor.label,
        kind=type(executor).__name__,
        observed=steerable,
        steerable=steerable,
        workers_per_node=int(workers) if isinstance(workers, (int, float)) and workers < float("inf") else None,
        memory_per_worker=int(memory * _GIGABYTE) if isinstance(memory, (int, float)) else None,
        walltime=_walltime(getattr(provider, "walltime", None)),
        maximum_nodes=blocks * nodes if isinstance(blocks, int) and isinstance(nodes, int) else None,
    )


def canonical(name: str) -> str:
    """The name of a distribution as it is compared: managers report it as its author wrote it."""
    return name.lower().replace("_", "-")


def usage(measured: Mapping[str, Any] | None) -> Usage | None:
    """A worker's measurements as the events have them."""
    return msgspec.convert(measured, Usage) if measured else None


def _walltime(text: Any) -> float | None:
    try:
        hours, minutes, seconds = (int(part) for part in str(text).split(":"))
    except ValueError:
        return None
    return hours * 3600.0 + minutes * 60 + seconds


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
