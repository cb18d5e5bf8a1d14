"""Blocks that died are replaced while tasks wait for them, before Parsl gives their executor up."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from parsl.jobs.error_handlers import simple_error_handler
from parsl.jobs.errors import TooManyJobFailuresError
from parsl.jobs.states import JobState, JobStatus

from octopus_plugins.wrath import Policy

logger = logging.getLogger("octopus_plugins")

FIRST_INTERVAL = 5.0
MAXIMUM_INTERVAL = 60.0
BACKOFF = 2.0
"""Seconds between rounds of replacements: the interval doubles with each round of the last WINDOW seconds."""

WINDOW = 600.0
"""Seconds after which a round of replacements no longer counts."""

MAXIMUM_DUDS = 5
"""Rounds in a row whose blocks never connected, after which an executor with no block left goes bad."""

MAXIMUM_FIRST_DUDS = 2
"""The same for an executor of which no block has ever connected: more likely it is set up wrongly."""


class Governed(Protocol):
    """What knows the policy in force: the monitoring hub."""

    @property
    def policy(self) -> Policy | None:
        """The policy; None where no WrathRetryHandler is in force."""
        ...


class Revival:
    """A ``block_error_handler`` that scales out replacements for lost blocks, with backoff and a cap.

    Parsl's own poisons an executor for good once all of its blocks have failed, and every task that waits there fails
    with it; and it does not replace blocks that are lost while others live. This one keeps
    ``max(min_blocks, init_blocks)`` of them alive, less those that Parsl has scaled in, while tasks wait. When
    replacements never connect it lets the executor go bad, so that its tasks can move on.

    Parsl calls it from one thread, the job status poller's, after each poll of the scheduler.

    Args:
        governed: Tells the policy; without one, or with a passive one, Parsl's own handler decides.
        clock: Seconds, monotonic.
    """

    def __init__(self, governed: Governed, clock: Callable[[], float] = time.monotonic) -> None:
        self._governed = governed
        self._clock = clock
        self._rounds: deque[float] = deque()
        self._latest: list[str] = []
        self._duds = 0
        self._complained = False

    def __call__(self, executor: Any, status: dict[str, JobStatus]) -> None:
        """Look after an executor's blocks; see Parsl's ``block_error_handler``."""
        try:
            policy = self._governed.policy
            if policy is None or policy.mode == "passive":
                simple_error_handler(executor, status)
            else:
                self._look_after(executor, status)
        except Exception:
            # The border to Parsl's poller, which dies of an exception.
            if not self._complained:
                self._complained = True
                logger.exception("The blocks of executor %r cannot be looked after (said once)", executor.label)

    def _look_after(self, executor: Any, status: Mapping[str, JobStatus]) -> None:
        if not status or executor.bad_state_is_set or executor.outstanding() == 0:
            return  # nothing was started yet, nothing can be, or nothing waits
        live = sum(not job.terminal for job in status.values())
        missing = wanted_blocks(executor.provider, status) - live
        if missing <= 0:
            return
        now = self._clock()
        while self._rounds and self._rounds[0] < now - WINDOW:
            self._rounds.popleft()
        if self._rounds and now - self._rounds[-1] < self._interval():
            return
        self._judge_latest(executor, status)
        limit = MAXIMUM_DUDS if any(_connected(executor, block, job) for block, job in status.items()) else 0
        limit = max(limit, MAXIMUM_FIRST_DUDS)
        if self._duds >= limit:
            if live == 0:
                self._give_up(executor, status)
                return
            self._duds = limit - 2  # no hurry while others live; and when the last one dies there is a chance left
        # A scheduler that refuses gets one block at a time to refuse.
        self._replace(executor, 1 if self._duds else missing, now)

    def _interval(self) -> float:
        return min(FIRST_INTERVAL * BACKOFF ** (len(self._rounds) - 1), MAXIMUM_INTERVAL)

    def _judge_latest(self, executor: Any, status: Mapping[str, JobStatus]) -> None:
        if not self._rounds:
            self._duds = 0  # long ago, or never
        elif not self._latest:
            self._duds += 1  # the scheduler took none of them
        elif all(status[block].terminal for block in self._latest if block in status):
            connected = any(_connected(executor, block, status[block]) for block in self._latest if block in status)
            self._duds = 0 if connected else self._duds + 1

    def _replace(self, executor: Any, count: int, now: float) -> None:
        logger.warning(
            "Executor %r has lost blocks while %d tasks wait: %d replaced (replacement %d of the last %.0f min)",
            executor.label,
            executor.outstanding(),
            count,
            len(self._rounds) + 1,
            WINDOW / 60,
        )
        self._rounds.append(now)
        self._latest = list(executor.scale_out_facade(count))

    def _give_up(self, executor: Any, status: Mapping[str, JobStatus]) -> None:
        last = next((job.message for job in reversed(list(status.values())) if job.message), None)
        executor.set_bad_state_and_fail_all(
            TooManyJobFailuresError(
                f"no block is left, and replacements never connected {self._duds} times in a row"
                + (f"; the last one: {last}" if last else "")
                + "; see the output of the blocks in the run directory's submit_scripts"
            )
        )


def wanted_blocks(provider: Any, status: Mapping[str, JobStatus]) -> int:
    """How many blocks should live while tasks wait.

    Args:
        provider: The executor's.
        status: All of its blocks. Those that Parsl has scaled in are not missed, as long as ``min_blocks`` live.
    """
    scaled_in = sum(job.state == JobState.SCALED_IN for job in status.values())
    wanted = max(provider.min_blocks, provider.init_blocks - scaled_in, 1)
    return int(min(wanted, provider.max_blocks))


def _connected(executor: Any, block: str, job: JobStatus) -> bool:
    """Whether the workers of a block that has ended had ever come to the interchange."""
    # HighThroughputExecutor calls a block that ended without that MISSING; one that was refused has no job.
    return job.terminal and job.state != JobState.MISSING and block in executor.blocks_to_job_id
