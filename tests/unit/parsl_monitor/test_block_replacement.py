"""What is done about blocks that died, on an executor whose scheduler does what a test says."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from parsl.jobs.error_handlers import _get_error, simple_error_handler
from parsl.jobs.errors import TooManyJobFailuresError
from parsl.jobs.states import JobState, JobStatus

from octopus_plugins.wrath import Policy
from parsl_monitor import block_replacement
from parsl_monitor.block_replacement import FIRST_INTERVAL, MAXIMUM_FAILED_STARTS, MAXIMUM_FRUITLESS, Revival


@dataclass
class Provider:
    init_blocks: int = 1
    min_blocks: int = 0
    max_blocks: int = 10
    nodes_per_block: int = 1
    parallelism: float = 1.0


@dataclass
class Governed:
    policy: Policy | None = field(default_factory=Policy)
    strategy_scales: bool = False


class Executor:
    """A pool: its blocks of one worker each, and a scheduler that accepts or refuses."""

    label = "small"
    bad_state_is_set = False
    workers_per_node = 1

    def __init__(self, *, scales: bool = False, **provider: int) -> None:
        self.provider = Provider(**provider)
        self.status: dict[str, JobStatus] = {}
        self.history: list[str] = []
        self.serving: set[str] = set()
        self.tasks = 20
        self.refuses = False
        self.error: Exception | None = None
        self.clock = 1000.0
        self.handler = Revival(Governed(strategy_scales=scales), clock=lambda: self.clock)
        self._task_counter = 20

    def outstanding(self) -> int:
        return self.tasks

    def connected_blocks(self) -> list[str]:
        return self.history

    def connected_managers(self) -> list[dict[str, Any]]:
        busy = min(self.tasks, len(self.serving))
        return [
            {"block_id": block, "worker_count": 1, "tasks": int(number < busy), "active": True, "draining": False}
            for number, block in enumerate(sorted(self.serving))
        ]

    def scale_out_facade(self, n: int) -> list[str]:
        launched = []
        for _ in range(n):
            block = str(len(self.status))
            if self.refuses:
                self.status[block] = JobStatus(JobState.FAILED, f"Failed to start block {block}: no")
                continue
            self.status[block] = JobStatus(JobState.PENDING)
            launched.append(block)
        return launched

    def set_bad_state_and_fail_all(self, exception: Exception) -> None:
        self.error, self.bad_state_is_set = exception, True

    # -- what a test lets happen --

    def begin(self) -> None:
        """Parsl's strategy launches the first blocks, and their workers connect."""
        self.scale_out_facade(self.provider.init_blocks)
        self.connect()

    def connect(self) -> None:
        """The workers of all blocks that live connect."""
        for block, job in self.status.items():
            if not job.terminal:
                job.state = JobState.RUNNING
                self.serving.add(block)
                self.history.append(block)

    def end(self, state: JobState, *blocks: str) -> None:
        """So end the jobs of some blocks, by default of all that live."""
        for block in blocks or [name for name, job in self.status.items() if not job.terminal]:
            self.status[block].state = state
            self.serving.discard(block)

    def poll(self, seconds: float = FIRST_INTERVAL) -> None:
        self.clock += seconds
        self.handler(self, self.status)

    def live(self) -> int:
        return sum(not job.terminal for job in self.status.values())


def test_a_block_that_worked_and_died_is_replaced_at_once_while_tasks_wait() -> None:
    pool = Executor()
    pool.begin()
    pool.end(JobState.FAILED)
    pool.poll()
    assert pool.live() == 1
    assert pool.error is None


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED, JobState.TIMEOUT])
def test_every_lost_block_is_replaced_however_it_ended_and_also_while_others_live(state: JobState) -> None:
    pool = Executor(init_blocks=4, min_blocks=4)
    pool.begin()
    pool.end(state, "0", "2")
    pool.poll()
    assert pool.live() == 4


def test_no_more_blocks_are_launched_than_waiting_tasks_fill() -> None:
    pool = Executor(init_blocks=4)
    pool.begin()
    pool.end(JobState.FAILED, "0", "1", "2")
    pool.tasks = 1  # it runs on the fourth
    pool.poll()
    assert len(pool.status) == 4
    pool.tasks = 2
    pool.poll()
    assert len(pool.status) == 5


def test_what_lives_is_left_alone() -> None:
    pool = Executor(init_blocks=2)
    pool.begin()
    pool.poll()
    pool.status["1"].state = JobState.UNKNOWN
    pool.poll()
    assert len(pool.status) == 2


def test_with_no_task_waiting_no_block_is_launched_and_none_is_missed() -> None:
    pool = Executor()
    pool.begin()
    pool.end(JobState.FAILED)
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


@pytest.mark.parametrize("scales", [False, True])
@pytest.mark.parametrize("init_blocks", [1, 3])
def test_where_no_block_ever_connected_parsl_s_handler_decides_at_its_time_with_its_error(
    scales: bool, init_blocks: int
) -> None:
    pool, stock = Executor(init_blocks=init_blocks, scales=scales), Executor(init_blocks=init_blocks)
    for each in (pool, stock):
        each.scale_out_facade(init_blocks)
        for number, job in enumerate(each.status.values()):
            job.exit_code, job.message = 127, f"conda: command not found ({number})"
    for block in list(pool.status):
        pool.end(JobState.MISSING, block)
        stock.end(JobState.MISSING, block)
        pool.poll()
        simple_error_handler(stock, stock.status)  # type: ignore[arg-type]
        assert (repr(pool.error), len(pool.status)) == (repr(stock.error), init_blocks)
    assert "EXIT CODE: 127" in str(pool.error)


def test_a_scheduler_that_refuses_from_the_beginning_is_asked_no_second_time() -> None:
    pool = Executor()
    pool.refuses = True
    pool.scale_out_facade(1)
    pool.poll()
    assert len(pool.status) == 1
    assert "Failed to start block 0: no" in str(pool.error)


def test_a_block_that_never_connected_is_not_launched_again_while_others_live() -> None:
    pool = Executor(init_blocks=3)
    pool.begin()
    pool.history.remove("2")
    pool.end(JobState.MISSING, "2")
    for _ in range(20):
        pool.poll()
    assert (len(pool.status), pool.error) == (3, None)


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.MISSING, JobState.UNKNOWN])
def test_blocks_whose_workers_are_connected_live_whatever_the_scheduler_says(state: JobState) -> None:
    pool = Executor(init_blocks=2)
    pool.begin()
    for job in pool.status.values():
        job.state = state
    for _ in range(20):
        pool.poll()
    assert (len(pool.status), pool.error) == (2, None)


def test_a_scheduler_that_refuses_is_asked_ever_more_seldom_and_for_one_block_at_a_time() -> None:
    pool = Executor(init_blocks=4)
    pool.begin()
    pool.poll()
    pool.end(JobState.CANCELLED, "0", "1", "2")
    pool.refuses = True
    asked: list[float] = []
    for _ in range(2000):
        before = len(pool.status)
        pool.poll(1.0)
        asked += [pool.clock] * (len(pool.status) - before)
    rounds = sorted(set(asked))
    assert len(asked) == 3 + len(rounds) - 1
    waits = [after - before for before, after in itertools.pairwise(rounds)]
    assert waits == sorted(waits)
    assert len(waits) < 8
    assert pool.error is None  # the fourth lives


def lose_after(pool: Executor, seconds: float, state: JobState = JobState.FAILED) -> None:
    pool.begin()
    pool.poll()
    pool.clock += seconds
    pool.end(state)
    pool.refuses = True


@pytest.mark.parametrize(("seconds", "most"), [(20.0, 1), (600.0, 5)])
def test_an_executor_without_blocks_is_given_up_at_1_2_times_parsl_s_time_with_its_error(
    seconds: float, most: int
) -> None:
    pool = Executor()
    lose_after(pool, seconds)
    begin, lost = pool.handler._begun, pool.clock
    assert begin is not None
    while pool.error is None:
        pool.poll(1.0)
    assert pool.clock - begin <= max(1.2 * (lost - begin), lost - begin + 2.0) + 2.0
    assert str(pool.error) == str(_get_error(pool.status))
    assert 1 <= len(pool.status) - 1 <= most


def test_where_parsl_would_wait_for_ever_it_is_given_up_after_five_replacements() -> None:
    pool = Executor()
    lose_after(pool, 20.0, JobState.TIMEOUT)
    for _ in range(1000):
        pool.poll(1.0)
    assert isinstance(pool.error, TooManyJobFailuresError)
    assert len(pool.status) == 1 + MAXIMUM_FAILED_STARTS


def test_a_replacement_that_connected_makes_the_pool_whole_again() -> None:
    pool = Executor(init_blocks=3)
    lose_after(pool, 600.0)
    pool.poll()
    pool.poll()
    pool.refuses = False
    pool.poll(60)
    assert pool.live() == 1
    pool.connect()
    pool.poll(60)
    assert pool.live() == 3


def test_blocks_that_die_while_their_tasks_end_are_replaced_with_backoff_and_never_given_up() -> None:
    pool = Executor()
    pool.begin()
    for _ in range(600):
        pool.connect()
        pool._task_counter += 1
        pool.poll(0.5)
        pool.end(JobState.FAILED)
        pool.poll(0.5)
    assert pool.error is None
    assert 5 <= len(pool.status) <= 15


def test_blocks_that_connect_and_die_without_an_end_of_any_task_are_given_up() -> None:
    pool = Executor()
    pool.begin()
    for _ in range(600):
        pool.connect()
        pool.poll(0.5)
        pool.end(JobState.COMPLETED)
        pool.poll(0.5)
    assert pool.error is not None
    assert len(pool.status) <= 1 + MAXIMUM_FRUITLESS


def test_while_other_blocks_live_a_scheduler_that_refuses_costs_no_executor() -> None:
    pool = Executor(init_blocks=2)
    pool.begin()
    pool.end(JobState.FAILED, "0")
    pool.refuses = True
    for _ in range(300):
        pool.poll()
    assert pool.error is None


def test_what_parsl_s_strategy_launches_is_left_to_it() -> None:
    pool = Executor(scales=True, init_blocks=2)
    pool.begin()
    pool.end(JobState.FAILED)
    pool.poll()
    assert (len(pool.status), pool.error) == (2, None)
    pool.scale_out_facade(2)  # as the strategy does, right after
    pool.connect()
    pool.poll()
    assert (len(pool.status), pool.error) == (4, None)


def test_where_parsl_s_strategy_scales_its_first_refusal_is_parsl_s_verdict() -> None:
    pool = Executor(scales=True)
    lose_after(pool, 600.0)
    pool.poll()
    assert pool.error is None
    pool.scale_out_facade(1)
    pool.poll()
    assert str(pool.error) == str(_get_error(pool.status))
    assert len(pool.status) == 2


def test_only_min_blocks_are_restored_where_parsl_s_strategy_sees_slots_enough() -> None:
    pool = Executor(scales=True, init_blocks=4, min_blocks=2)
    pool.provider.parallelism = 0.1
    pool.tasks = 8
    pool.begin()
    pool.end(JobState.FAILED, "0", "1")
    pool.poll()
    assert len(pool.status) == 4  # two live
    pool.end(JobState.FAILED, "2")
    pool.poll()
    assert pool.live() == 2


@pytest.mark.parametrize("policy", [None, Policy(mode="passive")])
def test_without_a_policy_in_force_parsl_s_own_handler_decides(policy: Policy | None) -> None:
    pool = Executor()
    pool.handler = Revival(Governed(policy), clock=lambda: pool.clock)
    pool.begin()
    pool.poll()
    assert pool.error is None
    pool.end(JobState.FAILED)
    pool.poll()
    assert pool.error is not None
    assert pool.live() == 0


def test_an_error_of_ours_does_not_reach_parsl_s_poller(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> int:
        raise RuntimeError("a provider without init_blocks")

    monkeypatch.setattr(block_replacement, "wanted_blocks", fail)
    pool = Executor()
    pool.begin()
    pool.end(JobState.FAILED)
    pool.poll()
    pool.poll()
    assert len([record for record in caplog.records if "cannot be looked after" in record.message]) == 1
