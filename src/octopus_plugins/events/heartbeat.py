"""Signs of life."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from octopus_plugins.events.base import Event, Name, Topic, Whole
from octopus_plugins.events.resource import NodeState


class WorkerState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One worker process as seen on its node.

    Attributes:
        pid: Process id.
        alive: False for a process that has ended and was not yet replaced.
        rss: Resident set size, bytes.
        exit_code: Exit code of a dead worker, where it can be read.
        signal: Signal that killed a dead worker, where it can be read.
    """

    pid: Whole
    alive: bool = True
    rss: Whole | None = None
    exit_code: Whole | None = None
    signal: Whole | None = None


class Heartbeat(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A component is alive, or was just found not to be.

    Attributes:
        host: Host name of the node.
        component: ``node`` (seen from the node itself), ``manager`` (as the framework sees the worker
            pool from the submit side), ``decider``, ``endpoint``, ``sdk`` (an OctopusExecutor).
        state: ``up``, ``draining``, ``held``, ``lost``.
        period: Seconds until the next one is due.
        executor: Label of the executor or id of the endpoint.
        block: The node's block.
        manager: The node's worker pool.
        pid: Process that speaks.
        workers: Worker processes of the pool, where they can be seen.
        worker_count: Workers the pool has or should have.
        node: What the node has left.
    """

    TYPE: ClassVar[str] = "octopus.heartbeat/v1"
    TOPIC: ClassVar[Topic] = Topic.heartbeats
    RECORD: ClassVar[bool] = False

    host: Name
    component: Name = "node"
    state: Name = "up"
    period: float | None = None
    executor: Name | None = None
    block: Name | None = None
    manager: Name | None = None
    pid: Whole | None = None
    workers: tuple[WorkerState, ...] = ()
    worker_count: Whole | None = None
    node: NodeState | None = None

    @property
    def id(self) -> str:
        speaker = self.manager or self.pid or "-"
        return f"{self.run_id}/{self.host}/{self.component}/{speaker}/{self.state}/{round(self.time * 1_000_000)}"

    @property
    def key(self) -> str:
        return f"{self.run_id}/{self.host}"
