"""Measurements: of a worker process, of its limits, of a node."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from octopus_plugins.events.base import Event, Moment, Name, Topic, TryEvent, Whole

MAX_SAMPLES = 1_024
"""Samples in one record: a node has no more workers, and a reader need not unfold without end."""

BY_NODE = "resources"
"""Second part of the key of a record with the samples of a node: it is about many tasks, and its key names none."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker process uses at one moment.

    Attributes:
        time: Unix seconds.
        rss: Resident set size, bytes.
        peak_rss: Largest resident set size since the process started, bytes.
        vms: Virtual memory size, bytes.
        cpu_user: CPU seconds in user mode since the try began.
        cpu_system: CPU seconds in kernel mode since the try began.
        open_files: Open file descriptors.
        threads: Threads of the process.
        children: Live child processes.
    """

    time: Moment
    rss: Whole | None = None
    peak_rss: Whole | None = None
    vms: Whole | None = None
    cpu_user: float | None = None
    cpu_system: float | None = None
    open_files: Whole | None = None
    threads: Whole | None = None
    children: Whole | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker process may use; None means no limit or not known.

    Attributes:
        address_space: ``RLIMIT_AS``, bytes.
        data: ``RLIMIT_DATA``, bytes.
        open_files: ``RLIMIT_NOFILE``.
        processes: ``RLIMIT_NPROC``.
        file_size: ``RLIMIT_FSIZE``, bytes.
        cgroup_memory: Memory limit of the process's cgroup, bytes.
        walltime: The try's own time limit, seconds.
    """

    address_space: Whole | None = None
    data: Whole | None = None
    open_files: Whole | None = None
    processes: Whole | None = None
    file_size: Whole | None = None
    cgroup_memory: Whole | None = None
    walltime: float | None = None


class NodeState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node has left at one moment.

    Attributes:
        time: Unix seconds.
        cpus: Logical processors.
        load: Load average over 1 minute.
        memory_total: Bytes.
        memory_available: Bytes.
        disk_total: Bytes of the file system of the working directory.
        disk_free: Bytes free there.
        tmp_free: Bytes free in the temporary directory.
        oom_kills: Kernel out-of-memory kills counted for the cgroup (or the node) since boot.
    """

    time: Moment
    cpus: Whole | None = None
    load: float | None = None
    memory_total: Whole | None = None
    memory_available: Whole | None = None
    disk_total: Whole | None = None
    disk_free: Whole | None = None
    tmp_free: Whole | None = None
    oom_kills: Whole | None = None


class ResourceSample(TryEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A resource measurement of a running try.

    Attributes:
        sequence: 0, 1, … within the try.
        usage: What was measured.
        period: Seconds until the next one is due, where the sampler said so.
        stretch: How many times the period is what was set, to keep the run's samples within ``sample_budget``.
    """

    TYPE: ClassVar[str] = "octopus.resource/v1"
    TOPIC: ClassVar[Topic] = Topic.task_metrics
    RECORD: ClassVar[bool] = False

    sequence: Whole = 0
    usage: Usage
    period: float | None = None
    stretch: float = 1.0

    @property
    def id(self) -> str:
        return f"{self.run_id}/{self.task_id}/{self.try_id}/resource/{self.sequence}"


class TrySample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one of a node's tries uses: see ResourceSamples.

    Attributes:
        task_id: The task.
        try_id: Its try.
        app: Name of the app or function, where it is known.
        worker_id: Number of the worker within its manager.
        pid: Process id of the worker.
        sequence: 0, 1, … within the try.
        usage: What was measured.
    """

    task_id: Name
    try_id: Whole = 0
    app: Name | None = None
    worker_id: Whole | None = None
    pid: Whole | None = None
    sequence: Whole = 0
    usage: Usage


class ResourceSamples(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Resource measurements of all tries that ran on one node at one moment, by one worker pool.

    Every reader of ours gives them one by one, as ResourceSample (`unfolded`).

    Attributes:
        executor: Label of the executor (pool), or the endpoint id.
        block: The scheduler job ("block") of the node.
        manager: The per-node worker pool.
        host: Host name of the node.
        period: Seconds until the next are due.
        stretch: How many times the period is what was set, to keep the run's samples within ``sample_budget``.
        tries: A sample of each.
    """

    TYPE: ClassVar[str] = "octopus.resources/v1"
    TOPIC: ClassVar[Topic] = Topic.task_metrics
    RECORD: ClassVar[bool] = False

    executor: Name | None = None
    block: Name | None = None
    manager: Name | None = None
    host: Name | None = None
    period: float | None = None
    stretch: float = 1.0
    tries: Annotated[tuple[TrySample, ...], msgspec.Meta(max_length=MAX_SAMPLES)]

    @property
    def id(self) -> str:
        # Each sample is in one record only.
        first = "".join(f"/{each.task_id}/{each.try_id}/{each.sequence}" for each in self.tries[:1])
        return f"{self.run_id}/{self.manager or self.host}/resources{first}"

    @property
    def key(self) -> str:
        return f"{self.run_id}/{BY_NODE}/{self.manager or self.host}"

    @property
    def states(self) -> int:
        return len(self.tries)

    def unfolded(self) -> tuple[ResourceSample, ...]:
        shared: dict[str, Any] = {name: getattr(self, name) for name in _SHARED}
        first = self.order - len(self.tries) + 1
        return tuple(
            ResourceSample(
                **shared,
                order=first + number if first > 0 else 0,
                time=each.usage.time,
                task_id=each.task_id,
                try_id=each.try_id,
                app=each.app,
                worker_id=each.worker_id,
                pid=each.pid,
                sequence=each.sequence,
                usage=each.usage,
            )
            for number, each in enumerate(self.tries)
        )


_SHARED = ("run_id", "framework", "labels", "truncated", "executor", "block", "manager", "host", "period", "stretch")
