"""Measurements: of a worker process, of its limits, of a node."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from octopus_plugins.events.base import Moment, Topic, TryEvent, Whole


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
    """

    TYPE: ClassVar[str] = "octopus.resource/v1"
    TOPIC: ClassVar[Topic] = Topic.task_metrics
    RECORD: ClassVar[bool] = False

    sequence: Whole = 0
    usage: Usage

    @property
    def id(self) -> str:
        return f"{self.run_id}/{self.task_id}/{self.try_id}/resource/{self.sequence}"
