"""What is done about blocks that died, on an executor whose scheduler does what a test says."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from parsl.jobs.states import JobState, JobStatus

from octopus_plugins.wrath import Policy
from parsl_monitor import revival
from parsl_monitor.revival import FIRST_INTERVAL, MAXIMUM_DUDS, MAXIMUM_FIRST_DUDS, WINDOW, Revival, wanted_blocks


@dataclass
class Provider:
    init_blocks: int = 1
    min_blocks: int = 0
    max_blocks: int = 10


@dataclass
class Governed:
    policy: Policy | None = field(default_factory=Policy)


class Executor:
    """A pool: its blocks, and a scheduler that accepts or refuses."""

    label = "small"
    bad_state_is_set = False

    def __init__(self, **provider: int) -> None:
        self.provider = Provider(**provider)
        self.status: dict[str, JobStatus] = {}
        self.blocks_to_job_id: dict[str, str] = {}
        self.tasks = 5
        self.refuses = False
        self.error: Exception | None = None
        self.clock = 1000.0
        self.handler = Revival(Governed(), clock=lambda: self.clock)

    def outstanding(self) -> int:
        return self.tasks

    def scale_out_facade(self, n: int) -> list[str]:
        launched = []
        for _ in range(n):
            block = str(len(self.status))
            if self.refuses:
                self.status[block] = JobStatus(JobState.FAILED, f"Failed to start block {block}: no")
                continue
            self.status[block] = JobStatus(JobState.PENDING)
            self.blocks_to_job_id[block] = f"job-{block}"
            launched.append(block)
        return launched

    def set_bad_state_and_fail_all(self, exception: Exception) -> None:
        self.error, self.bad_state_is_set = exception, True

    # -- what a test lets happen --

    def begin(self) -> None:
        """Parsl's strategy launches the first blocks, and their workers connect."""
        self.scale_out_facade(self.provider.init_blocks)
        self.set(JobState.RUNNING)

    def set(self, state: JobState, *blocks: str) -> None:
        for block in blocks or [name for name, job in self.status.items() if not job.terminal]:
            self.status[block].state = state

    def poll(self, seconds: float = FIRST_INTERVAL) -> None:
        self.clock += seconds
        self.handler(self, self.status)

    def live(self) -> int:
        return sum(not job.terminal for job in self.status.values())


def test_a_block_that_died_is_replaced_at_once_while_tasks_wait() -> None:
    pool = Executor()
    pool.begin()
    pool.set(JobState.FAILED)
    pool.poll()
    assert pool.live() == 1
    assert pool.error is None


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED, JobState.TIMEOUT])
def test_every_lost_block_is_replaced_however_it_ended_and_also_while_others_live(state: JobState) -> None:
    pool = Executor(init_blocks=4, min_blocks=4)
    pool.begin()
    pool.set(state, "0", "2")
    pool.poll()
    assert pool.live() == 4


def test_what_lives_is_left_alone() -> None:
    pool = Executor(init_blocks=2)
    pool.begin()
    pool.poll()
    pool.set(JobState.PENDING, "1")
    pool.poll()
    assert len(pool.status) == 2


def test_with_no_task_waiting_no_block_is_launched_and_none_is_missed() -> None:
    pool = Executor()
    pool.begin()
    pool.set(JobState.FAILED)
    pool.tasks = 0
    pool.poll()
    assert (len(pool.status), pool.error) == (1, None)
    pool.tasks = 1
    pool.poll()
    assert pool.live() == 1


def test_the_first_blocks_are_parsl_s_to_launch() -> None:
    pool = Executor()
    pool.poll()
    assert pool.status == {}


def test_blocks_that_parsl_scaled_in_are_not_missed() -> None:
    status = {str(n): JobStatus(JobState.SCALED_IN if n < 3 else JobState.FAILED) for n in range(4)}
    assert wanted_blocks(Provider(init_blocks=4, min_blocks=0), status) == 1
    assert wanted_blocks(Provider(init_blocks=4, min_blocks=2), status) == 2
    assert wanted_blocks(Provider(init_blocks=4, min_blocks=0), {}) == 4
    assert wanted_blocks(Provider(init_blocks=4, min_blocks=0, max_blocks=2), {}) == 2
    assert wanted_blocks(Provider(init_blocks=0, min_blocks=0), {}) == 1


def test_a_scheduler_that_refuses_is_asked_ever_more_seldom_and_for_one_block_at_a_time() -> None:
    pool = Executor(init_blocks=4)
    pool.begin()
    pool.set(JobState.FAILED)
    pool.refuses = True
    asked: list[float] = []
    for _ in range(200):
        before = len(pool.status)
        pool.poll(1.0)
        asked += [pool.clock] * (len(pool.status) - before)
    assert len(asked) == 4 + MAXIMUM_DUDS - 1
    rounds = sorted(set(asked))
    waits = [after - before for before, after in itertools.pairwise(rounds)]
    assert waits == [5.0, 10.0, 20.0, 40.0]


def test_when_replacements_never_connect_the_executor_goes_bad_and_says_why() -> None:
    pool = Executor()
    pool.begin()
    pool.set(JobState.FAILED)
    for _ in range(100):
        pool.poll()
        pool.set(JobState.MISSING)
    assert "never connected 5 times in a row" in str(pool.error)
    launched = len(pool.status)
    pool.poll(WINDOW)
    assert len(pool.status) == launched


def test_a_pool_that_never_connected_at_all_is_given_up_sooner() -> None:
    pool = Executor(init_blocks=2)
    pool.begin()
    for _ in range(100):
        pool.set(JobState.MISSING)
        pool.poll()
    assert pool.error is not None
    assert len(pool.status) == 2 + 2 + (MAXIMUM_FIRST_DUDS - 1)


def test_a_replacement_that_connected_makes_the_pool_whole_again() -> None:
    pool = Executor(init_blocks=3)
    pool.begin()
    pool.set(JobState.FAILED)
    pool.refuses = True
    pool.poll()
    pool.poll()
    pool.refuses = False
    pool.poll(10)
    assert pool.live() == 1
    pool.set(JobState.RUNNING)
    pool.set(JobState.COMPLETED)
    pool.poll(60)
    assert pool.live() == 3


def test_blocks_that_keep_dying_young_are_replaced_with_backoff_and_never_given_up() -> None:
    pool = Executor()
    pool.begin()
    for _ in range(600):
        pool.set(JobState.FAILED)
        pool.poll(1.0)
    assert pool.error is None
    assert 5 <= len(pool.status) <= 15


def test_while_other_blocks_live_a_scheduler_that_refuses_costs_no_executor() -> None:
    pool = Executor(init_blocks=2)
    pool.begin()
    pool.set(JobState.FAILED, "0")
    pool.refuses = True
    for _ in range(300):
        pool.poll()
    assert pool.error is None
    pool.set(JobState.FAILED, "1")
    pool.refuses = False
    pool.poll(60)
    assert pool.live() >= 1


@pytest.mark.parametrize("policy", [None, Policy(mode="passive")])
def test_without_a_policy_in_force_parsl_s_own_handler_decides(policy: Policy | None) -> None:
    pool = Executor()
    pool.handler = Revival(Governed(policy), clock=lambda: pool.clock)
    pool.begin()
    pool.poll()
    assert pool.error is None
    pool.set(JobState.FAILED)
    pool.poll()
    assert pool.error is not None
    assert pool.live() == 0


def test_an_error_of_ours_does_not_reach_parsl_s_poller(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> int:
        raise RuntimeError("a provider without init_blocks")

    monkeypatch.setattr(revival, "wanted_blocks", fail)
    pool = Executor()
    pool.begin()
    pool.poll()
    pool.poll()
    assert len([record for record in caplog.records if "cannot be looked after" in record.message]) == 1
