"""Memory, judged by what was asked, used and allowed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from octopus_plugins.events import (
    Heartbeat,
    Limits,
    NodeState,
    Usage,
    WorkerState,
)
from octopus_plugins.wrath import History, categorize, policy_from

from .causes import bash, program

GB = 10**9
NOW = 1_700_000_000.0


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


# -- when the memory of a node runs out, each task is judged by its own figures ---------------------------------------

CULPRIT, VICTIM, MIDDLING = 11, 12, 13


def node_out_of_memory(*workers, kills=1):
    """A node whose kernel has ended a process for want of memory, and what its workers used shortly before."""
    history = History()
    place = {"run_id": "r", "host": "small-0", "period": 10.0}
    used = tuple(WorkerState(pid=pid, rss=rss) for pid, rss in workers)
    for seconds, count in ((20.0, 0), (1.0, kills)):
        time = NOW - seconds
        node = NodeState(time=time, memory_total=16 * GB, memory_available=GB, oom_kills=count)
        history.observe(Heartbeat(**place, time=time, workers=used, node=node))
    return history


def lost(fail, pid, rss, *, error=None, **fields):
    usage = Usage(time=NOW, rss=rss) if rss is not None else None
    shared = {"usage": usage, "pid": pid, "started": NOW - 10.0, "time": NOW}
    return fail(error or WorkerLost(0, "small-0"), **(shared | fields))


def test_the_largest_process_is_the_one_that_used_up_the_memory(fail):
    history = node_out_of_memory((CULPRIT, 12 * GB), (VICTIM, GB))
    found = categorize(lost(fail, CULPRIT, 12 * GB), history)
    assert (found.category, found.evidence.get("victim")) == ("memory_exhausted", None)


def test_a_small_process_beside_it_is_its_victim(fail):
    history = node_out_of_memory((CULPRIT, 12 * GB), (VICTIM, GB))
    found = categorize(lost(fail, VICTIM, GB), history)
    assert (found.category, found.evidence["victim"], found.evidence["largest"]) == ("worker_lost", True, 12 * GB)
    assert found.reason == "went down with its neighbours when memory ran out on small-0: it used 1.0 GB itself"


def test_a_victim_of_a_lost_pool_is_one_too(fail):
    history = node_out_of_memory((CULPRIT, 12 * GB), (VICTIM, GB))
    found = categorize(lost(fail, VICTIM, GB, error=ManagerLost(b"m", "small-0")), history)
    assert (found.category, found.evidence["victim"]) == ("manager_lost", True)


def test_a_process_half_as_large_as_the_largest_may_have_done_it_too(fail):
    history = node_out_of_memory((CULPRIT, 8 * GB), (MIDDLING, 4 * GB))
    assert categorize(lost(fail, MIDDLING, 4 * GB), history).category == "memory_exhausted"


def test_the_most_that_a_process_used_counts_not_what_it_used_last(fail):
    history = node_out_of_memory((CULPRIT, 12 * GB), (VICTIM, GB))
    peak = Usage(time=NOW, rss=GB, peak_rss=11 * GB)
    assert categorize(lost(fail, VICTIM, None, usage=peak), history).category == "memory_exhausted"


@pytest.mark.parametrize("rss", [None, 0])
def test_a_process_of_which_no_figures_are_known_is_no_victim(fail, rss):
    history = node_out_of_memory((CULPRIT, 12 * GB))
    assert categorize(lost(fail, VICTIM, rss), history).category == "memory_exhausted"


def test_a_process_that_nobody_names_may_be_the_largest_itself(fail):
    history = node_out_of_memory((CULPRIT, 12 * GB))
    assert categorize(lost(fail, None, 4 * GB), history).category == "memory_exhausted"


def test_alone_a_process_far_below_its_limit_did_not_use_up_the_node(fail):
    history, node = node_out_of_memory(), NodeState(time=NOW, memory_total=16 * GB)
    assert categorize(lost(fail, VICTIM, GB, node=node), history).evidence["victim"] is True
    assert categorize(lost(fail, VICTIM, 2 * GB, node=node), history).category == "memory_exhausted"
    tight = Limits(cgroup_memory=2 * GB)
    assert categorize(lost(fail, VICTIM, GB, node=node, limits=tight), history).category == "memory_exhausted"


def test_where_no_process_was_ended_for_want_of_memory_there_is_no_victim(fail):
    history = node_out_of_memory((CULPRIT, 12 * GB), (VICTIM, GB), kills=0)
    found = categorize(lost(fail, VICTIM, GB), history)
    assert (found.category, found.evidence.get("victim")) == ("worker_lost", None)


def test_a_victim_is_retried_at_no_charge_and_the_culprit_goes_where_there_is_more(fail, world, step):
    there, policy = world(retries=2), policy_from(None, ladder=["small", "large"])
    there.history = node_out_of_memory((CULPRIT, 12 * GB), (VICTIM, GB))
    there.begin("r", nodes=3, retries=2)
    culprit = step(there.history, lost(fail, CULPRIT, 12 * GB), policy)
    assert (culprit.placement.executor, culprit.charge) == ("large", 1.0)
    victim = step(there.history, lost(fail, VICTIM, GB, task_id="2"), policy)
    assert (victim.placement.executor, victim.charge) == ("small", 0.0)
