"""Memory, judged by what was asked, used and allowed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from parsl.executors.high_throughput.errors import WorkerLost

from octopus_plugins.events import (
    Heartbeat,
    Limits,
    NodeState,
    Usage,
)
from octopus_plugins.wrath import History, categorize

from .causes import bash, program

GB = 10**9


def test_a_refused_allocation_is_told_with_what_was_asked_and_allowed(fail):
    failure = fail(lambda: np.ones((10**12, 125)), limits=Limits(address_space=GB))
    assert categorize(failure).reason == "ran out of memory on small-0 (asked for 999.5 TB under a limit of 1.0 GB)"


def test_a_worker_killed_at_its_cgroup_limit_ran_out_of_memory(fail):
    failure = fail(
        WorkerLost(0, "small-0"), usage=Usage(time=0.0, rss=960_000_000), limits=Limits(cgroup_memory=GB), signal=9
    )
    found = categorize(failure)
    assert (found.category, found.rule) == ("memory_exhausted", "memory_exhausted.killed")
    assert found.evidence["limit"] == GB


def test_a_worker_killed_far_from_any_limit_is_only_lost(fail):
    failure = fail(
        WorkerLost(0, "small-0"), usage=Usage(time=0.0, rss=1_000_000), limits=Limits(cgroup_memory=GB), signal=9
    )
    found = categorize(failure)
    assert (found.category, found.evidence["signal"]) == ("worker_lost", "SIGKILL")


def beat(time, kills, **fields):
    return Heartbeat(run_id="r", time=time, host="small-0", node=NodeState(time=time, oom_kills=kills), **fields)


def test_an_oom_kill_counted_during_the_try_explains_a_lost_worker(fail):
    history = History()
    history.observe(beat(10.0, 2))
    history.observe(beat(20.0, 3))
    lost = fail(WorkerLost(0, "small-0"), time=25.0, started=15.0)
    assert categorize(lost, history).category == "memory_exhausted"
    assert categorize(fail(WorkerLost(0, "small-0"), time=45.0, started=30.0), history).category == "worker_lost"


def test_a_count_that_rose_since_the_last_heartbeat_explains_a_lost_worker(fail):
    history = History()
    history.observe(beat(10.0, 2))
    lost = fail(WorkerLost(0, "small-0"), time=25.0, started=15.0, node=NodeState(time=24.0, oom_kills=3))
    assert categorize(lost, history).evidence["oom_kills"] == 1


def test_old_oom_kills_do_not_explain_a_lost_worker(fail):
    lost = fail(WorkerLost(0, "small-0"), node=NodeState(time=24.0, oom_kills=3))
    assert categorize(lost, History()).category == "worker_lost"


@pytest.mark.parametrize(
    ("cause", "category"),
    [
        (bash("exit 1"), "app_exit"),
        (bash("kill -KILL $$"), "memory_exhausted"),
        (lambda: sys.exit(3), "app_exit"),
    ],
)
def test_a_neighbours_oom_kill_does_not_explain_a_program_that_ended_by_itself(fail, cause, category):
    history = History()
    history.observe(beat(10.0, 2))
    history.observe(beat(20.0, 3))
    assert categorize(fail(cause, time=25.0, started=15.0), history).category == category


def test_nor_a_worker_that_left_with_an_exit_code(fail):
    history = History()
    history.observe(beat(10.0, 2))
    history.observe(beat(20.0, 3))
    left = fail(WorkerLost(0, "small-0"), time=25.0, started=15.0, exit_code=3)
    assert categorize(left, history).category == "app_exit"


def test_a_worker_ended_by_sigterm_did_not_run_out_of_memory(fail):
    lost = fail(WorkerLost(0, "small-0"), usage=Usage(time=0.0, rss=GB), limits=Limits(cgroup_memory=GB), signal=15)
    assert categorize(lost).category == "worker_lost"


def test_memory_that_neighbours_used_up_is_told_apart(fail):
    node = NodeState(time=0.0, memory_total=64 * GB, memory_available=GB)
    greedy = fail(MemoryError(), node=node, usage=Usage(time=0.0, rss=50 * GB))
    modest = fail(MemoryError(), node=node, usage=Usage(time=0.0, rss=2 * GB))
    assert "neighbours" not in categorize(greedy).evidence
    assert categorize(modest).evidence["neighbours"] is True


def test_a_program_that_aborts_for_want_of_memory_did_not_crash_by_itself(fail, tmp_path):
    # C++'s operator new, which nobody catches: std::terminate aborts, and says why.
    code = 'import ctypes; ctypes.CDLL("libstdc++.so.6")._Znwm(ctypes.c_size_t(1 << 62))'
    command = f"ulimit -c 0; {sys.executable} -c '{code}'"
    found = categorize(fail(**program(command, tmp_path)))
    assert (found.category, found.evidence["signal"]) == ("memory_exhausted", "SIGABRT")
    assert "bad_alloc" in found.evidence["text"]
