"""What every event has in common."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, ClassVar

import msgspec

from octopus_plugins.exception_description import LARGEST, LEAST

MAX_NAME = 1_024
"""Characters of a name: of a run, a task, an app, a node, an executor, a category, and so on."""

LATEST_TIME = 253_370_764_800.0
"""The beginning of the year 9999, Unix seconds: the last one that every calendar and table can hold."""


# Bounds of what is read. They are checked when a record is decoded, and cost nothing where an event is made. Without
# them one record could fill the history's memory, or hold a number that no table and no calendar can.
Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
Moment = Annotated[float, msgspec.Meta(ge=0.0, le=LATEST_TIME)]
Whole = Annotated[int, msgspec.Meta(ge=LEAST, le=LARGEST)]


class Topic(str, Enum):
    """The four topics each user has; the Kafka name is ``{namespace}.{value}``."""

    task_metrics = "task-metrics"
    heartbeats = "heartbeats"
    failures = "failures"
    decisions = "decisions"

    def __str__(self) -> str:
        return self.value


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of all events: one fact about a run.

    Plain data, which cannot refer to itself: the garbage collector leaves events alone.

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

    run_id: Name
    time: Moment
    framework: Name = "parsl"
    labels: dict[str, str] = {}
    truncated: bool = False
    order: Whole = 0

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

    @property
    def states(self) -> int:
        """How many things the record says: see `unfolded`."""
        return 1

    def unfolded(self) -> tuple[Event, ...]:
        """What the record says, one by one: most say one thing; see Task."""
        return (self,)


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

    task_id: Name
    try_id: Whole = 0
    app: Name | None = None
    executor: Name | None = None
    block: Name | None = None
    manager: Name | None = None
    host: Name | None = None
    worker_id: Whole | None = None
    pid: Whole | None = None

    @property
    def key(self) -> str:
        return f"{self.run_id}/{self.task_id}"
