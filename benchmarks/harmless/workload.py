"""What a workload is."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.harmless.trial import Trial


class IdleRule(enum.Enum):
    """When a task counts as waiting, so that a node with a free worker counts as idle."""

    EVERY_TRY = "every try"
    """From when it can run, and between its tries."""

    FIRST_TRY = "first try"
    """Only until its first try begins: the workload makes nodes wait between tries."""

    NOT_JUDGED = "not judged"
    """The workload itself keeps a node from working, or has no nodes."""


RATIO = 1.05
"""So many times the makespan of stock Parsl a healthy run may take."""

DOOMED = 1.2
"""… and one in which every task fails at each of its tries."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a workload is.

    Attributes:
        nodes: Nodes at the start.
        workers: Of each node.
        tasks: About how many tasks are submitted.
    """

    nodes: int
    workers: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """How many blocks the provider may have; by default as many as there are nodes, always."""

    initial: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload.

    Attributes:
        name: Of it.
        title: What it does, for the page; no full stop.
        body: Submits the tasks; returns when all are submitted, or later.
        size: In the full form.
        retries: ``Config.retries``.
        short: Size in the short form; None where it has none.
        idle: When tasks count as waiting.
        warm: Whether every worker has run something before the first submission.
        blocks: Of the provider.
        pool: More options of the executor.
        options: More options of ``Config``.
        executors: Makes other executors than the usual one.
        worker_init: Lines of bash in front of the usual ones.
        ratio: So many times the makespan of stock Parsl it may take.
    """

    name: str
    title: str
    body: Callable[[Trial], None]
    size: Size
    retries: int = 0
    short: Size | None = None
    idle: IdleRule = IdleRule.EVERY_TRY
    warm: bool = True
    blocks: Blocks | None = None
    pool: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    executors: Callable[[Workload, Size, Path], Sequence[Any]] | None = None
    worker_init: str = ""
    ratio: float = RATIO

    def sized(self, *, short: bool) -> Size:
        """The size to run.

        Raises:
            ValueError: The workload has no short form.
        """
        if not short:
            return self.size
        if self.short is None:
            raise ValueError(f"the workload {self.name!r} has no short form; --list shows those that have")
        return self.short
