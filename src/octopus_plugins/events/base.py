"""What every event has in common."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

import msgspec


class Topic(str, Enum):
    """The four topics each user has; the Kafka name is ``{namespace}.{value}``."""

    task_metrics = "task-metrics"
    heartbeats = "heartbeats"
    failures = "failures"
    decisions = "decisions"

    def __str__(self) -> str:
        return self.value


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all events: one fact about a run.

    Attributes:
        run_id: The run that the event belongs to.
        time: When it happened, in Unix seconds (UTC).
        framework: ``"parsl"`` or ``"globus_compute"``.
        labels: Free-form annotations; plugins add theirs here.
        truncated: Whether text was cut to keep the event below the size limit.
        order: Position, from 1, in which the run's submit side told its events; 0 where it did not tell it. Topics and
            partitions have orders of their own: this one is what lets a recorded run be replayed.
    """

    TYPE: ClassVar[str] = ""
    TOPIC: ClassVar[Topic] = Topic.task_metrics
    RECORD: ClassVar[bool] = True
    """Records are delivered at least once; the others are samples, of which the newest win."""

    run_id: str
    time: float
    framework: str = "parsl"
    labels: dict[str, str] = {}
    truncated: bool = False
    order: int = 0

    @property
    def id(self) -> str:
        """The CloudEvents id: a pure function of what happened, so that a second copy is the same event."""
        raise NotImplementedError(f"{type(self).__name__} defines no id")

    @property
    def key(self) -> str:
        """The Kafka record key, which keeps what is said of one task (or host) in order."""
        raise NotImplementedError(f"{type(self).__name__} defines no key")

    @property
    def source(self) -> str:
        """The CloudEvents source."""
        return f"/{self.framework}/{self.run_id}"


class TryEvent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event about one try of one task, and the place where it ran.

    Attributes:
        task_id: The task: Parsl's number or Globus Compute's UUID, as text.
        try_id: 0 for the first try, 1 for the first retry, and so on.
        app: Name of the app or function.
        executor: Label of the executor (pool), or the endpoint id.
        block: The scheduler job ("block") of the worker.
        manager: The per-node worker pool.
        host: Host name of the node.
        worker_id: Number of the worker within its manager.
        pid: Process id of the worker.
    """

    task_id: str
    try_id: int = 0
    app: str | None = None
    executor: str | None = None
    block: str | None = None
    manager: str | None = None
    host: str | None = None
    worker_id: int | None = None
    pid: int | None = None

    @property
    def key(self) -> str:
        return f"{self.run_id}/{self.task_id}"
