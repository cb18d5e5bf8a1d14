from __future__ import annotations

import pytest
from parsl.executors import ThreadPoolExecutor
from parsl.executors.errors import BadStateException
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from octopus_plugins.events import Block, Heartbeat, Placement, Pool, Run, Task
from octopus_plugins.wrath import Category, CategoryPolicy, Policy, decide, policy_from
from octopus_plugins.wrath.decisions.ladder import MOVED_IN_VAIN

from .causes import placed

NOW = 1_700_000_000.0
LADDER = policy_from(None, ladder=["small", "large"])


def no_disk():
    raise OSError(28, "No space left on device")


def import_absent():
    import octopus_no_such_module  # noqa: F401


def bug():
    return int("twelve")


# -- blocks, where a policy names them ---------------------------------------------------------------------------------

BLOCKS = Policy(
    categories={Category.worker_lost: CategoryPolicy(rungs=("other_node", "other_block", "same_node"), confirm=4)}
)


def test_where_no_other_node_is_known_a_retry_moves_to_another_block_that_runs(fail, world, step):
    there = world(nodes=1)
    for block in ("0", "1"):
        there.observe(Block(run_id="r", time=NOW - 1, executor="small", block=block, state="RUNNING"))
    decision = step(there.history, fail(WorkerLost(0, "small-0"), block="0"), BLOCKS)
    assert placed(decision) == Placement(rung="other_block", executor="small", avoid_blocks=("0",))
    assert decision.rule == "worker_lost.other_block"
    assert "retried on another block of executor 'small'" in decision.reason


@pytest.mark.parametrize("state", ["FAILED", "PENDING"])
def test_a_block_that_does_not_run_is_none(fail, world, step, state):
    there = world(nodes=1)
    there.observe(Block(run_id="r", time=NOW - 1, executor="small", block="1", state=state))
    decision = step(there.history, fail(WorkerLost(0, "small-0"), block="0"), BLOCKS)
    assert decision.placement.rung != "other_block"


def test_a_policy_that_names_no_blocks_considers_none(fail, world, step):
    there = world(nodes=1)
    there.observe(Block(run_id="r", time=NOW - 1, executor="small", block="1", state="RUNNING"))
    decision = step(there.history, fail(WorkerLost(0, "small-0"), block="0"), Policy())
    assert "other_block" not in {rung.name for rung in decision.considered}


# -- which nodes ------------------------------------------------------------------------------------------------------


def test_a_retry_rather_goes_where_its_app_ended_well(fail, world, step):
    there = world(nodes=5)
    there.succeed("1", "small-1", app="other")
    there.succeed("2", "small-2")
    there.succeed("3", "small-3", time=NOW - 100)
    assert placed(step(there.history, fail(import_absent), Policy())) == Placement(
        rung="other_node",
        executor="small",
        avoid_hosts=("small-0",),
        prefer_hosts=("small-3", "small-2", "small-1"),
    )


def test_a_node_that_fails_more_than_it_does_well_is_not_preferred(fail, world, step):
    there = world(nodes=4)
    for host in ("small-1", "small-2"):
        there.succeed(host, host)
    for number in range(3):
        step(there.history, fail(WorkerLost(0, "small-1"), task_id=str(number), host="small-1"), Policy())
    assert step(there.history, fail(import_absent, task_id="9"), Policy()).placement.prefer_hosts == ("small-2",)


def test_denied_silent_and_tried_nodes_are_not_preferred(fail, world, step):
    there = world(nodes=4)
    for host in ("small-1", "small-2", "small-3"):
        there.succeed(host, host)
    there.observe(Heartbeat(run_id="r", time=NOW + 1, host="small-3", component="manager", state="lost"))
    step(there.history, fail(import_absent), Policy())
    second = step(there.history, fail(import_absent, try_id=1, host="small-1", time=NOW + 2), Policy())
    assert second.placement.prefer_hosts == ("small-2",)
    assert second.placement.avoid_hosts == ("small-1", "small-0")


def test_what_a_task_brings_along_goes_to_the_first_free_node(fail, world, step):
    there = world(nodes=3)
    there.succeed("1", "small-1")
    assert step(there.history, fail(bug), Policy()).placement.prefer_hosts == ()


def test_an_executor_that_may_share_nodes_keeps_off_the_bad_one(fail, world, step):
    there = world(nodes=1)
    assert placed(step(there.history, fail(import_absent), LADDER)) == Placement(
        rung="other_executor", executor="large", avoid_hosts=("small-0",)
    )


def test_of_a_thousand_nodes_that_are_gone_none_is_counted_on(fail, world, step):
    there = world(nodes=1_000)
    for number in range(1, 1_000):
        there.observe(
            Heartbeat(run_id="r", time=NOW + 1, host=f"small-{number}", component="manager", state="lost", executor="s")
        )
    there.observe(Heartbeat(run_id="r", time=NOW + 2, host="small-500", executor="small"))
    decision = step(there.history, fail(import_absent, time=NOW + 2), Policy())
    assert decision.considered[0].reason == "small-500 is up and was not tried"


# -- when, and before whom --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [WorkerLost(0, "small-0"), ManagerLost(b"m", "small-0"), bug, no_disk, import_absent])
def test_the_first_retry_on_another_node_waits_for_nothing_and_takes_its_turn(fail, world, step, cause):
    decision = step(world().history, fail(cause), Policy())
    assert (decision.placement.rung, decision.delay, decision.placement.first) == ("other_node", 0.0, False)


def test_what_looks_doomed_goes_first_to_its_last_retry(fail, world, step):
    there = world()
    there.observe(Task(run_id="r", task_id="1", app="app", state="pending", time=NOW - 1))
    first = [step(there.history, fail(bug, try_id=number), Policy()).placement.first for number in range(3)]
    assert first == [True, True, True]


@pytest.mark.parametrize("other", ["waits", "ended well", "showed it too"])
def test_what_time_may_help_takes_its_turn(fail, world, step, other):
    there = world()
    there.observe(*(Task(run_id="r", task_id=name, app="app", state="pending", time=NOW - 1) for name in "12"))
    if other == "ended well":
        there.observe(Task(run_id="r", task_id="2", app="app", state="exec_done", time=NOW - 1))
    if other == "showed it too":
        step(there.history, fail(bug, task_id="2"), Policy())
        there.observe(Task(run_id="r", task_id="2", app="app", state="failed", time=NOW - 1, try_id=1))
        step(there.history, fail(bug, task_id="1"), Policy())
    tries = range(1, 3) if other == "showed it too" else range(2)
    assert not any(step(there.history, fail(bug, try_id=number), Policy()).placement.first for number in tries)


def busy(world, **fields):
    """A run that has gone on for so long that its retries may wait for minutes."""
    return world(began=NOW - 1_000_000, **fields)


def test_a_rung_that_did_not_help_twice_is_passed_over_while_a_further_one_is_there(fail, world, step):
    there = busy(world, nodes=9)
    decisions = [
        step(there.history, fail(ManagerLost(b"m", f"small-{n}"), try_id=n, host=f"small-{n}"), Policy())
        for n in range(6)
    ]
    rungs = [decision.placement.rung for decision in decisions]
    assert rungs == ["other_node", "other_node", "same_node", "same_node", "other_node", "other_node"]
    assert [rung.reason for rung in decisions[2].considered if rung.name == "other_node"] == [
        "it was tried in vain (2 ×)"
    ]
    assert [decision.delay for decision in decisions[:2]] == [0.0, 0.0]
    assert all(0.9 <= decision.delay <= 2.2 for decision in decisions[2:]), "after two moves time is what is left"


def test_the_ladder_of_executors_is_climbed_when_a_rung_did_not_help(fail, world, step):
    there, entry = world(nodes=9), CategoryPolicy(rungs=("other_node", "other_executor", "same_node"))
    policy = Policy(ladder=("small", "large"), categories={Category.code_error: entry})
    decisions = [step(there.history, fail(ValueError("x"), try_id=n, host=f"small-{n}"), policy) for n in range(3)]
    assert [decision.placement.rung for decision in decisions] == ["other_node", "other_executor", "same_node"]
    assert decisions[1].placement.executor == "large"


def test_of_what_was_decided_and_not_done_nothing_counts_as_tried(fail, world, step):
    there, failure = world(nodes=9), fail(bug)
    for _ in range(5):
        assert decide(failure, there.history, Policy()).placement.rung == "other_node"


def cold_cache():
    raise RuntimeError("the cache was cold, and is warm now")


def moved_in_vain(there, fail, step, tasks):
    """Tasks fail on one node, and on the next one as well."""
    for number in range(tasks):
        for try_id, host in enumerate(("small-0", "small-1")):
            step(there.history, fail(cold_cache, task_id=f"other-{number}", try_id=try_id, host=host), Policy())


@pytest.mark.parametrize("moved", [False, True])
def test_where_moving_helped_none_a_last_retry_goes_to_a_node_that_the_task_knows(fail, world, step, moved):
    there = world(nodes=4, retries=2)
    moved_in_vain(there, fail, step, MOVED_IN_VAIN)
    if moved:
        there.succeed("other-0", "small-2")
    first = step(there.history, fail(cold_cache), Policy())
    last = step(there.history, fail(cold_cache, try_id=1, host="small-1"), Policy())
    assert first.placement.avoid_hosts == ("small-0",)
    if moved:
        assert not {"small-2", "small-3"} & set(last.placement.avoid_hosts)
    else:
        assert (last.placement.rung, last.placement.avoid_hosts) == ("same_node", ("small-2", "small-3"))
        assert "none like it ended well on a node that was new to it" in {rung.reason for rung in last.considered}


@pytest.mark.parametrize("rungs", [("other_node",), ("other_executor",), ("other_block",)])
def test_where_no_rung_can_help_a_task_stays_while_it_has_retries(fail, world, step, rungs):
    there = world(nodes=1, retries=2)
    policy = Policy(categories={Category.code_error: CategoryPolicy(rungs=rungs)})
    decisions = [step(there.history, fail(bug, try_id=number), policy) for number in range(3)]
    assert [decision.action for decision in decisions] == ["retry", "retry", "terminate"]
    assert decisions[0].placement.rung == "same_node"
    assert [rung.name for rung in decisions[0].considered if rung.taken] == ["same_node"]
    assert decisions[-1].rule == "run.retries"


def test_in_an_executor_that_has_given_up_no_task_stays(fail, world, step):
    error = BadStateException(ThreadPoolExecutor(label="small"), RuntimeError("all blocks are gone"))
    decision = step(world(nodes=3).history, fail(error, host=None), Policy())
    assert (decision.action, decision.rule) == ("terminate", "executor_bad_state.rungs")


def test_a_shared_service_is_tried_from_another_node_at_once_and_then_given_time(fail, world, step):
    there = busy(world, nodes=9)
    delays = [
        step(there.history, fail(ConnectionError("refused"), try_id=n, host=f"small-{n}"), Policy()).delay
        for n in range(4)
    ]
    assert delays[0] == 0.0
    assert [round(delay / 10) for delay in delays[2:]] == [2, 5]
    assert 1.8 <= delays[1] <= 2.2


# -- which executor ---------------------------------------------------------------------------------------------------


def test_an_executor_that_has_given_up_gets_no_retry(fail, world, step):
    there = world()
    error = BadStateException(ThreadPoolExecutor(label="large"), RuntimeError("all blocks are gone"))
    step(there.history, fail(error, task_id="1", executor="large", host=None), LADDER)
    decision = step(there.history, fail(MemoryError(), task_id="2"), LADDER)
    assert {rung.name: rung.reason for rung in decision.considered}["other_executor"] == "'large' has given up"


def test_tasks_leave_a_bad_executor_down_the_ladder_too_unless_they_need_its_memory(fail, world, step):
    there = world()
    error = BadStateException(ThreadPoolExecutor(label="large"), RuntimeError("all blocks are gone"))
    down = step(there.history, fail(error, executor="large", host=None), LADDER)
    assert (down.placement.executor, down.charge) == ("small", 0.0)
    step(there.history, fail(MemoryError(), task_id="2"), LADDER)
    stuck = step(there.history, fail(error, task_id="2", try_id=1, executor="large", host=None), LADDER)
    assert stuck.action == "terminate"


# -- with what --------------------------------------------------------------------------------------------------------


def test_a_retry_asks_for_more_of_what_ran_out_where_the_task_asks_for_it(fail, world, step):
    decision = step(busy(world).history, fail(MemoryError(), resources={"memory": 1001, "cores": 2}), Policy())
    assert decision.resources == {"memory": 2002}
    assert decision.placement.rung == "same_node"
    assert decision.considered[0].reason == "it asks for more there (memory 2002)"
    assert decision.reason.endswith("in the same place, small-0, with memory 2002")


@pytest.mark.parametrize("resources", [{}, {"cores": 2}, {"memory": "much"}, {"memory": 0}, {"memory": True}])
def test_nothing_is_asked_for_that_the_task_does_not_ask_for(fail, world, step, resources):
    assert step(world().history, fail(MemoryError(), resources=resources), LADDER).resources == {}


def test_only_memory_that_ran_out_is_made_larger(fail, world, step):
    assert step(world().history, fail(bug, resources={"memory": 1000}), Policy()).resources == {}


def test_a_policy_says_by_how_much(fail, world, step):
    entry = CategoryPolicy(resources={"memory": 1.5, "disk": 2})
    policy = Policy(categories={Category.memory_exhausted: entry})
    decision = step(world().history, fail(MemoryError(), resources={"memory": 3, "disk": 0.5}), policy)
    assert decision.resources == {"memory": 5, "disk": 1.0}


# -- what other tasks have shown --------------------------------------------------------------------------------------


def test_an_executor_where_hardly_anything_ends_well_is_passed_over_for_another(fail, world):
    there = world()
    extra = Pool(label="huge", kind="HighThroughputExecutor", steerable=True)
    there.observe(Run(run_id="r", time=NOW, state="configured", retries=5, pools=(*there.pools, extra)))
    for number in range(10):
        there.observe(fail(OSError(28, "No space left on device"), task_id=f"x{number}", executor="large", host="l-0"))
    decision = decide(fail(lambda: bytearray(1 << 62)), there.history, Policy(ladder=("small", "large", "huge")))
    assert decision.placement.executor == "huge"
    (taken,) = [rung for rung in decision.considered if rung.taken]
    assert "hardly anything ends well in 'large' of late" in taken.reason
    decision = decide(fail(lambda: bytearray(1 << 62)), there.history, Policy(ladder=("small", "large")))
    assert decision.placement.executor == "large", "a poor one is better than none"


def test_a_worker_that_died_twice_and_nobody_saw_of_what_goes_to_where_there_is_more(fail, world, step):
    there, policy = busy(world, nodes=9), Policy(ladder=("small", "large"))
    decisions = [
        step(there.history, fail(WorkerLost(0, f"small-{n}"), try_id=n, host=f"small-{n}"), policy) for n in (0, 1)
    ]
    assert [decision.placement.rung for decision in decisions] == ["other_node", "other_executor"]
    assert decisions[1].placement.executor == "large"
    assert "may need more memory" in decisions[1].considered[-1].reason
    assert "lost twice" in decisions[1].considered[0].reason


def test_a_worker_that_died_twice_stays_where_there_is_no_further_executor(fail, world, step):
    there = busy(world, nodes=9)
    decisions = [
        step(there.history, fail(WorkerLost(0, f"small-{n}"), try_id=n, host=f"small-{n}"), Policy()) for n in range(3)
    ]
    assert [decision.placement.rung for decision in decisions] == ["other_node", "other_node", "same_node"]
