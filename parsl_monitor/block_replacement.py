"""Blocks that worked and were lost are replaced while tasks wait for them, before Parsl gives their executor up."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from parsl.jobs.error_handlers import _get_error, simple_error_handler
from parsl.jobs.states import JobState, JobStatus

from octopus_plugins.wrath import Policy
from parsl_monitor.blocks import Blocks, needed_blocks, sort_blocks, strategy_scales_out, wanted_blocks

logger = logging.getLogger("octopus_plugins")

FIRST_INTERVAL = 5.0
MAXIMUM_INTERVAL = 60.0
BACKOFF = 2.0
"""Seconds between rounds of replacements: the interval doubles with each round of the last WINDOW seconds. While the
scheduler refuses, or blocks never connect, it doubles without an upper bound."""

WINDOW = 600.0
"""Seconds after which a round of replacements no longer counts."""

GRACE = 0.2
"""Seconds that replacements may be tried after the last block was lost, per second that the executor had run. Parsl
would have given the executor up at once: its users learn of it at 1.2 times that time."""

MAXIMUM_FAILED_STARTS = 5
"""Replacements that never connected, after which an executor with no block left goes bad, also where Parsl's own
handler would wait for ever: it counts no block that was cancelled or reached its walltime."""

MAXIMUM_FRUITLESS = 5
"""Blocks per initial block that were lost without one task having ended meanwhile, after which an executor with no
block left goes bad: its workers connect and die."""


class Governed(Protocol):
    """What knows the policy in force and Parsl's strategy: the monitoring hub."""

    @property
    def policy(self) -> Policy | None:
        """The policy; None where no WrathRetryHandler is in force."""
        ...

    @property
    def strategy_scales(self) -> bool:
        """Whether Parsl's strategy launches blocks while the run goes on."""
        ...


class Revival:
    """A ``block_error_handler`` that replaces lost blocks as tasks need them, with backoff and a cap.

    Parsl's own poisons an executor for good once all of its blocks have failed, and every task that waits there fails
    with it; and with the strategy ``none`` it never replaces a block. This one excuses blocks that had connected, as
    long as their replacement has a chance. It leaves to Parsl:

    - an executor of which no block has ever connected: Parsl's handler decides, at its time and with its error;
    - blocks that never connected: they are not launched again;
    - what its strategies ``simple`` and ``htex_auto_scale`` launch by themselves: only ``min_blocks`` they do not
      restore.

    Parsl calls it from one thread, the job status poller's, after each poll of the scheduler.

    Args:
        governed: Tells the policy; without one, or with a passive one, Parsl's own handler decides.
        clock: Seconds, monotonic.
    """

    def __init__(self, governed: Governed, clock: Callable[[], float] = time.monotonic) -> None:
        self._governed = governed
        self._clock = clock
        self._begun: float | None = None
        self._lost_at: float | None = None
        self._rounds: deque[float] = deque()
        self._ended_tasks = -1
        self._lost_then = 0
        self._complained = False

    def __call__(self, executor: Any, status: dict[str, JobStatus]) -> None:
        """Look after an executor's blocks; see Parsl's ``block_error_handler``."""
        try:
            policy = self._governed.policy
            if self._begun is None:
                self._begun = self._clock()
            if policy is None or policy.mode == "passive":
                simple_error_handler(executor, status)
            elif not executor.bad_state_is_set and _any_ended(status):
                self._look_after(executor, status)
        except Exception:
            # The border to Parsl's poller, which dies of an exception.
            if not self._complained:
                self._complained = True
                logger.exception("The blocks of executor %r cannot be looked after (said once)", executor.label)

    def _look_after(self, executor: Any, status: dict[str, JobStatus]) -> None:
        history = executor.connected_blocks()
        managers = executor.connected_managers() if history else []
        blocks = sort_blocks(status, history, managers, executor.provider.init_blocks)
        if not blocks.lost and not blocks.connected:
            simple_error_handler(executor, status)
            return
        now = self._clock()
        self._note_progress(executor, blocks, now)
        if blocks.live == 0 and self._is_hopeless(executor, status, blocks, now):
            return
        scales = self._governed.strategy_scales
        missing = wanted_blocks(executor.provider, status, blocks, scales=scales) - blocks.live
        if not blocks.lost or missing <= 0 or not self._is_due(blocks, now):
            return
        needed = needed_blocks(executor, blocks, managers)
        if needed and not (scales and strategy_scales_out(executor, status)):
            # A scheduler that refuses gets one block at a time to refuse.
            self._replace(executor, 1 if blocks.failed_starts else min(missing, needed), now)

    def _note_progress(self, executor: Any, blocks: Blocks, now: float) -> None:
        """Remember since when no block serves, and how many were lost since a task last ended."""
        if blocks.connected:
            self._lost_at = None
        elif self._lost_at is None and blocks.live == 0:
            self._lost_at = now
        ended = executor._task_counter - executor.outstanding()
        if ended != self._ended_tasks:
            self._ended_tasks, self._lost_then = ended, len(blocks.lost)

    def _is_hopeless(self, executor: Any, status: dict[str, JobStatus], blocks: Blocks, now: float) -> bool:
        """Give up an executor with no block left, if replacements cannot help; returns whether it did."""
        fruitless = len(blocks.lost) - self._lost_then >= MAXIMUM_FRUITLESS * max(executor.provider.init_blocks, 1)
        scales = self._governed.strategy_scales
        if fruitless or (blocks.failed_starts >= MAXIMUM_FAILED_STARTS and not scales):
            executor.set_bad_state_and_fail_all(_get_error(status))
        elif blocks.failed_starts and (scales or self._grace_is_over(now)):
            simple_error_handler(executor, status)
        return bool(executor.bad_state_is_set)

    def _grace_is_over(self, now: float) -> bool:
        assert self._begun is not None and self._lost_at is not None
        return now - self._lost_at > GRACE * (self._lost_at - self._begun)

    def _is_due(self, blocks: Blocks, now: float) -> bool:
        """Whether it is time for the next round of replacements."""
        while self._rounds and self._rounds[0] < now - WINDOW and len(self._rounds) > 1:
            self._rounds.popleft()
        if not self._rounds:
            return True
        interval = min(FIRST_INTERVAL * BACKOFF ** (len(self._rounds) - 1), MAXIMUM_INTERVAL)
        if blocks.failed_starts:
            interval = FIRST_INTERVAL * BACKOFF ** (blocks.failed_starts - 1)
        return now - self._rounds[-1] >= interval

    def _replace(self, executor: Any, count: int, now: float) -> None:
        logger.warning(
            "Executor %r has lost blocks while tasks wait for a worker: %d replaced (replacement %d of the last"
            " %.0f min). Set revive=False to leave lost blocks to Parsl.",
            executor.label,
            count,
            len(self._rounds) + 1,
            WINDOW / 60,
        )
        self._rounds.append(now)
        executor.scale_out_facade(count)


def _any_ended(status: Mapping[str, JobStatus]) -> bool:
    return any(job.terminal and job.state != JobState.SCALED_IN for job in status.values())
