"""What is remembered of a run, of its scheduler jobs, and of its tasks that failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octopus_plugins.events import Pool
from octopus_plugins.wrath.recent import Recent

MAX_FAULTS = 1_000
MAX_BLOCKS = 4_000


@dataclass(slots=True)
class TaskState:
    """A task that has failed and not yet ended.

    Attributes:
        charge: What earlier decisions charged to its budget.
        attempts: Failed tries by category.
        signatures: How often each signature showed, by host (``""`` where the host is not known).
        hosts: Hosts where it failed, by category.
    """

    charge: float = 0.0
    attempts: dict[str, int] = field(default_factory=dict)
    signatures: dict[str, dict[str, int]] = field(default_factory=dict)
    hosts: dict[str, set[str]] = field(default_factory=dict)
    failed_tries: set[int] = field(default_factory=set)
    decided_tries: set[int] = field(default_factory=set)


@dataclass(slots=True)
class BlockState:
    """A scheduler job.

    Attributes:
        state: Parsl's name of its state.
        started: When it began to run, Unix seconds; None where that was not seen.
    """

    state: str = "UNKNOWN"
    started: float | None = None


@dataclass(slots=True)
class RunState:
    """A run.

    Attributes:
        now: Latest Unix time that its submit side told; 0 for none.
        retries: The framework's number of retries per task; None for no limit.
        pools: Its executors by label.
        versions: Versions on the submit side.
        failures: Failed tries so far.
        hosts: When each host of each executor was last seen.
        faults: Hosts where (app, category, subject) failed; the subject is the module, library or program.
        blocks: Scheduler jobs by (executor, block).
    """

    now: float = 0.0
    retries: int | None = None
    pools: dict[str, Pool] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    failures: int = 0
    hosts: dict[str, dict[str, float]] = field(default_factory=dict)
    faults: Recent[tuple[str, str, str], set[str]] = field(default_factory=lambda: Recent(MAX_FAULTS, set))
    blocks: Recent[tuple[str, str], BlockState] = field(default_factory=lambda: Recent(MAX_BLOCKS, BlockState))
