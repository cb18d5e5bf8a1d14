"""Measurements: of a worker process, of its limits, of a node."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from octopus_plugins.events.base import Topic, TryEvent


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

    time: float
    rss: int | None = None
    peak_rss: int | None = None
    vms: int | None = None
    cpu_user: float | None = None
    cpu_system: float | None = None
    open_files: int | None = None
    threads: int | None = None
    children: int | None = None


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

    address_space: int | None = None
    data: int | None = None
    open_files: int | None = None
    processes: int | None = None
    file_size: int | None = None
    cgroup_memory: int | None = None
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

    time: float
    cpus: int | None = None
    load: float | None = None
    memory_total: int | None = None
    memory_available: int | None = None
    disk_total: int | None = None
    disk_free: int | None = None
    tmp_free: int | None = None
    oom_kills: int | None = None


class ResourceSample(TryEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A resource measurement of a running try.

    Attributes:
        sequence: 0, 1, … within the try.
        usage: What was measured.
    """

    TYPE: ClassVar[str] = "octopus.resource/v1"
    TOPIC: ClassVar[Topic] = Topic.task_metrics
    RECORD: ClassVar[bool] = False

    sequence: int = 0
    usage: Usage

    @property
    def id(self) -> str:
        return f"{self.run_id}/{self.task_id}/{self.try_id}/resource/{self.sequence}"
