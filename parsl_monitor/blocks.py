"""How the blocks of an executor stand, and how many more its tasks need: pure functions of what Parsl reports."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parsl.jobs.states import JobState, JobStatus


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of an executor; those that Parsl has scaled in are in none of the sets.

    Attributes:
        connected: Blocks of which at least one manager serves now, whatever the scheduler says of their jobs.
        starting: Blocks whose job waits or runs, and of which no manager serves.
        lost: Blocks that ended after one of their managers had connected.
        unborn: Blocks that ended, or were refused by the scheduler, before any manager connected.
        youngest: Number of the latest block that is no replacement in vain: one of the initial ones, or the last one
            that has ever connected.
    """

    connected: frozenset[str]
    starting: frozenset[str]
    lost: frozenset[str]
    unborn: frozenset[str]
    youngest: int

    @property
    def live(self) -> int:
        """How many blocks serve, or may come to serve."""
        return len(self.connected) + len(self.starting)

    @property
    def failed_starts(self) -> int:
        """How many replacements in a row never connected."""
        return sum(int(block) > self.youngest for block in self.unborn)


def sort_blocks(
    status: Mapping[str, JobStatus],
    history: Collection[str],
    managers: Sequence[Mapping[str, Any]],
    initial: int,
) -> Blocks:
    """Tell which blocks live, which were lost, and which never came.

    A connection is better evidence than the scheduler: while the scheduler is away, Parsl's providers call its jobs
    completed, missing or unknown, and their workers go on.

    Args:
        status: What the provider says of each job, by block.
        history: The blocks that have ever connected, as the interchange remembers them.
        managers: The managers that the interchange has now, as ``connected_managers()`` gives them.
        initial: How many blocks Parsl launches at the start, whose numbers are the first ones.
    """
    came = status.keys() & set(history)
    serving = {str(manager["block_id"]) for manager in managers if not manager["draining"]} & status.keys()
    others = {block: job for block, job in status.items() if block not in serving}
    ended = {block for block, job in others.items() if job.terminal and job.state != JobState.SCALED_IN}
    return Blocks(
        connected=frozenset(serving),
        starting=frozenset(block for block, job in others.items() if not job.terminal),
        lost=frozenset(ended & came),
        unborn=frozenset(ended - came),
        youngest=max(initial - 1, *map(int, came), -1),
    )


def wanted_blocks(provider: Any, status: Mapping[str, JobStatus], blocks: Blocks, *, scales: bool) -> int:
    """How many blocks should live while tasks wait.

    Args:
        provider: The executor's.
        status: All of its blocks. Those that Parsl has scaled in are not missed, as long as ``min_blocks`` live; nor
            are those that never came: stock Parsl does not try them again either.
        blocks: The same, sorted.
        scales: Whether Parsl's own strategy scales out. It replaces what tasks need; only ``min_blocks`` it does not
            restore.
    """
    if scales:
        return int(min(provider.min_blocks, provider.max_blocks))
    scaled_in = sum(job.state == JobState.SCALED_IN for job in status.values())
    never_came = sum(int(block) < provider.init_blocks for block in blocks.unborn)
    wanted = max(provider.min_blocks, provider.init_blocks - scaled_in - never_came, 1)
    return int(min(wanted, provider.max_blocks))


def needed_blocks(executor: Any, blocks: Blocks, managers: Sequence[Mapping[str, Any]]) -> int:
    """How many blocks it takes for the tasks that have no place: no manager holds them or has room for them.

    Args:
        executor: A HighThroughputExecutor. A block has the slots that Parsl's strategy counts.
        blocks: Its blocks.
        managers: As ``connected_managers()`` gives them.
    """
    slots = max(int(executor.workers_per_node) * int(executor.provider.nodes_per_block), 1)
    held = sum(manager["tasks"] for manager in managers)
    room = sum(
        max(manager["worker_count"] - manager["tasks"], 0)
        for manager in managers
        if manager["active"] and not manager["draining"]
    )
    waiting: int = executor.outstanding() - held - room - len(blocks.starting) * slots
    return max(math.ceil(waiting / slots), 0)


def strategy_scales_out(executor: Any, status: Mapping[str, JobStatus]) -> bool:
    """Whether Parsl's strategies ``simple`` and ``htex_auto_scale`` are about to launch a block by themselves.

    The same sum as in ``parsl.jobs.strategy.Strategy._general_strategy``, which runs right after the error handlers.
    """
    active = sum(job.state in (JobState.RUNNING, JobState.PENDING) for job in status.values())
    tasks = executor.outstanding()
    if tasks == 0 or active >= executor.provider.max_blocks:
        return False
    slots = active * executor.workers_per_node * executor.provider.nodes_per_block
    return bool(slots == 0 or slots / tasks < executor.provider.parallelism)
