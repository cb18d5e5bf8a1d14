from __future__ import annotations

import msgspec
import numpy as np
import pytest
import requests
from msgspec.structs import replace
from parsl.dataflow.errors import DependencyError
from parsl.executors.errors import BadStateException
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from octopus_plugins.events import (
    Categorization,
    Decision,
    Heartbeat,
    Limits,
    NodeState,
    Placement,
    Pool,
    Run,
    Usage,
    encode,
)
from octopus_plugins.wrath import Category, CategoryPolicy, History, Policy, categorize, decide, policy_from
from octopus_plugins.wrath.decisions.decider import JITTER, delay
from octopus_plugins.wrath.decisions.termination import UNKNOWN_RETRIES

from .causes import placed

GB = 10**9
NOW = 1_700_000_000.0
LADDER = policy_from(None, ladder=["small", "large"])


def allocate():
    np.ones((10**12, 125))


def import_absent():
    import octopus_no_such_module  # noqa: F401


def bug():
    return int("twelve")


def step(history, failure, policy=LADDER):
    """Decide about a failure and let the history have both, as every caller does."""
    failure = replace(failure, categorization=categorize(failure, history))
    decision = decide(failure, history, policy)
    history.observe(failure)
    history.observe(decision)
    return decision


def reasons(decision):
    return {rung.name: rung.reason for rung in decision.considered}


# -- the ladder -------------------------------------------------------------------------------------------------------


def test_a_task_out_of_memory_moves_to_the_next_executor(fail, world):
    decision = step(world().history, fail(allocate, limits=Limits(address_space=GB)))
    assert decision.action == "retry"
    assert placed(decision) == Placement(rung="other_executor", executor="large")
    assert decision.rule == "memory_exhausted.other_executor"
    assert decision.reason == (
        "ran out of memory on small-0 (asked for 999.5 TB under a limit of 1.0 GB); retried on executor 'large'"
    )
    assert reasons(decision) == {
        "same_node": "small-0 has no more memory at the next try either",
        "other_executor": "'large' comes next on the ladder",
        "other_node": "not needed",
    }


def test_the_decision_says_where_the_failed_try_ran(fail, world):
    failure = fail(allocate, try_id=2, block="0", manager="m", worker_id=3, pid=7)
    decision = decide(failure, world().history, LADDER)
    place = ("run_id", "task_id", "try_id", "app", "executor", "block", "manager", "host", "worker_id", "pid", "time")
    for name in place:
        assert getattr(decision, name) == getattr(failure, name)
    assert (decision.layer, decision.category, decision.policy) == ("runtime", "memory_exhausted", "default")


def test_without_a_ladder_memory_is_sought_on_another_node(fail, world):
    decision = step(world().history, fail(allocate), Policy())
    assert placed(decision) == Placement(rung="other_node", executor="small", avoid_hosts=("small-0",))
    assert reasons(decision)["other_executor"] == "the policy names no ladder of executors; `ladder=` would"


def test_a_node_with_no_more_memory_is_passed_over(fail, world):
    there = world(nodes=2)
    node = NodeState(time=0.0, memory_total=8 * GB)
    there.observe(Heartbeat(run_id="r", time=1.0, host="small-1", node=node))
    decision = step(there.history, fail(allocate, node=node), Policy())
    assert placed(decision) == Placement(rung="same_node", executor="small", prefer_hosts=("small-0",))
    assert reasons(decision)["same_node"] == "no other place can help, and the task has retries left"
    assert reasons(decision)["other_node"] == "small-1 has 8.0 GB, and 999.5 TB were asked for"
    vague = step(there.history, fail(MemoryError(), task_id="2", node=node), Policy())
    assert reasons(vague)["other_node"] == "small-1 has no more memory than small-0"


def test_an_executor_with_no_more_memory_is_passed_over_for_the_one_after_it(fail, world):
    there = world()
    pools = [Pool(label=name, memory_per_worker=size * GB) for name, size in (("small", 1), ("other", 1), ("large", 4))]
    there.observe(Run(run_id="r", time=0.0, state="started", retries=5, pools=tuple(pools)))
    policy = policy_from(None, ladder=["small", "other", "large"])
    assert placed(step(there.history, fail(MemoryError()), policy)) == Placement(
        rung="other_executor", executor="large"
    )


def test_memory_that_neighbours_used_up_is_waited_for_once(fail, world):
    there = world(nodes=1, began=NOW - 1_000)
    there.keep_busy()
    node = NodeState(time=0.0, memory_total=64 * GB, memory_available=GB)
    squeezed = {"node": node, "usage": Usage(time=0.0, rss=2 * GB)}
    first = step(there.history, fail(MemoryError(), **squeezed))
    assert placed(first) == Placement(rung="same_node", executor="small", prefer_hosts=("small-0",))
    assert first.delay == 1.0
    again = step(there.history, fail(MemoryError(), try_id=1, **squeezed))
    assert placed(again) == Placement(rung="other_executor", executor="large")


def test_the_ladder_is_climbed_and_not_descended(fail, world):
    there = world()
    decision = step(there.history, fail(allocate, executor="large", host="large-0"))
    assert reasons(decision)["other_executor"] == "executor 'large' is the last of the ladder"
    elsewhere = step(there.history, fail(allocate, task_id="2", executor="gpu", host="gpu-0"))
    assert reasons(elsewhere)["other_executor"] == "executor 'gpu' is not on the ladder"


def test_a_label_that_the_run_does_not_have_is_passed_over(fail, world):
    policy = policy_from(None, ladder=["small", "huge"])
    decision = step(world().history, fail(MemoryError()), policy)
    assert reasons(decision)["other_executor"] == "this run has no executor 'huge'"


def test_a_bad_executor_is_left(fail, world):
    from parsl.executors import ThreadPoolExecutor

    error = BadStateException(ThreadPoolExecutor(label="small"), RuntimeError("all blocks are gone"))
    decision = step(world().history, fail(error, host=None))
    assert placed(decision) == Placement(rung="other_executor", executor="large")
    assert step(world().history, fail(error, host=None), Policy()).action == "terminate"


def test_every_rung_is_accounted_for_in_every_decision(fail, world):
    for cause in (allocate, import_absent, bug, WorkerLost(0, "small-0"), DependencyError([(KeyError(), "task 1")], 2)):
        decision = step(world().history, fail(cause))
        assert decision.considered
        assert all(rung.reason for rung in decision.considered)
        taken = [rung.name for rung in decision.considered if rung.taken]
        assert taken == ([decision.placement.rung] if decision.placement else [])
        if decision.action == "retry":
            assert {rung.name for rung in decision.considered} == {"same_node", "other_node", "other_executor"}


# -- another node -----------------------------------------------------------------------------------------------------


def test_a_missing_module_is_sought_on_another_node(fail, world):
    decision = step(world().history, fail(import_absent))
    assert placed(decision) == Placement(rung="other_node", executor="small", avoid_hosts=("small-0",))
    assert decision.reason.endswith("retried on another node of executor 'small'")


def test_nodes_already_tried_are_avoided(fail, world):
    there = world()
    step(there.history, fail(import_absent))
    decision = step(there.history, fail(import_absent, try_id=1, host="small-1"))
    assert placed(decision) == Placement(rung="other_node", executor="small", avoid_hosts=("small-1", "small-0"))


def test_denied_and_silent_nodes_do_not_count_as_others(fail, world):
    there = world(nodes=3)
    later = 1_700_000_000.0 + 120
    there.observe(Heartbeat(run_id="r", time=later - 90, host="small-2", executor="small", period=10.0))
    there.observe(
        Decision(run_id="r", time=later, task_id="9", action="retry", deny_hosts={"small-1": later + 600}),
    )
    decision = step(there.history, fail(import_absent, time=later), Policy())
    assert placed(decision) == Placement(rung="same_node", executor="small", prefer_hosts=("small-0",))
    assert reasons(decision)["other_node"] == (
        "the other 2 known nodes of executor 'small' were tried, are denied or down"
    )


def test_an_app_that_succeeded_somewhere_is_not_given_up_for_a_module(fail, world):
    there = world(nodes=3)
    there.succeed("0", "small-2")
    step(there.history, fail(import_absent))
    step(there.history, fail(import_absent, try_id=1, host="small-1"))
    decision = step(there.history, fail(import_absent, task_id="2"))
    assert decision.action == "retry"


def test_a_pool_that_cannot_be_steered_gets_a_plain_retry(fail, world):
    decision = step(world(nodes=3, steerable=False).history, fail(import_absent), Policy())
    assert placed(decision) == Placement(rung="same_node", executor="small")
    assert reasons(decision)["other_node"] == "executor 'small' cannot be told to keep off a node"
    assert reasons(decision)["same_node"] == "no other place can help, and the task has retries left"


def test_nodes_that_may_still_come_are_waited_for_and_then_not(fail, world):
    there = world(nodes=1, maximum_nodes=4, began=NOW - 1_000)
    there.keep_busy()
    first = step(there.history, fail(import_absent), Policy())
    assert placed(first) == Placement(rung="other_node", executor="small", avoid_hosts=("small-0",))
    assert reasons(first)["other_node"] == "no other node of executor 'small' was seen yet, and up to 4 may come"
    assert first.delay == 0.5
    assert step(there.history, fail(import_absent, try_id=1), Policy()).delay == 1.0
    assert step(there.history, fail(import_absent, try_id=2), Policy()).placement.rung == "same_node"


def test_at_the_start_of_a_run_nobody_waits_for_nodes(fail, world):
    assert step(world(nodes=1, maximum_nodes=4).history, fail(import_absent), Policy()).delay == 0.0


def test_a_missing_module_on_the_only_node_is_tried_there_again(fail, world):
    decision = step(world(nodes=1).history, fail(import_absent), Policy())
    assert placed(decision) == Placement(rung="same_node", executor="small", prefer_hosts=("small-0",))
    assert reasons(decision)["same_node"] == "no other place can help, and the task has retries left"


# -- what is certain (the rest of it: test_stops.py) ------------------------------------------------------------------


def test_a_failed_dependency_ends_at_once(fail, world):
    decision = step(world().history, fail(DependencyError([(KeyError("x"), "task 3")], 4)))
    assert decision.reason == "task 3 failed (KeyError: 'x'); not retried: no retry can help"


# -- budgets ----------------------------------------------------------------------------------------------------------


def test_no_retries_means_none_whatever_the_charge(fail, world):
    there = world(retries=0)
    for cause in (allocate, WorkerLost(0, "small-0")):
        decision = step(there.history, fail(cause))
        assert (decision.action, decision.rule) == ("terminate", "run.retries")


def test_the_runs_retries_are_used_up_by_charges(fail, world):
    there = world(retries=1)
    assert step(there.history, fail(allocate)).action == "retry"
    decision = step(there.history, fail(import_absent, try_id=1, executor="large", host="large-0"))
    assert (decision.action, decision.rule) == ("terminate", "run.retries")


def forgetful(retries):
    """A history that forgets each task before its next try, as when very many fail in turn."""
    history = History(maximum_tasks=1)
    history.observe(Run(run_id="r", time=0.0, state="started", retries=retries))
    return history


def first_stop(history, failure, policy, *, up_to=1_000):
    """The number of the first try that ends the task, and the decision; two tasks fail in turn."""
    for number in range(up_to):
        step(history, replace(failure, task_id="other"), policy)
        decision = step(history, replace(failure, try_id=number), policy)
        if decision.action == "terminate":
            return number, decision
    return None


FREE = 2 * Policy().budgets["outside"]
"""What the budget pays for by category, and as much of what a task is a victim of."""

ALL = FREE + sum(
    UNKNOWN_RETRIES + 1 for entry in Policy().categories.values() if entry.action == "retry" and not entry.budget
)


@pytest.mark.parametrize(("retries", "limit"), [(2, 2 + FREE), (None, ALL)])
def test_a_task_that_the_history_forgot_still_ends(fail, retries, limit):
    tries, decision = first_stop(forgetful(retries), fail(WorkerLost(0, "small-0"), host=None), Policy())
    assert (tries, decision.rule) == (limit, "run.tries")
    assert decision.reason.endswith(f"not retried: it was tried {limit + 1} times, more often than the limits allow")


def test_a_task_whose_failures_a_plugin_charges_nothing_still_ends(fail, world):
    there = world(retries=2)
    policy = Policy(categories={Category.network_unreachable: CategoryPolicy(maximum_attempts=0)})
    for number in range(2 + FREE + 1):
        failure = fail(ConnectionError("refused"), try_id=number)
        decision = decide(failure, there.history, policy)
        assert decision.action == ("retry" if number < 2 + FREE else "terminate")
        there.observe(failure, replace(decision, charge=0.0))
    assert decision.rule == "run.tries"


def test_small_charges_leave_room_for_as_many_tries(fail, world):
    there = world(retries=40)
    policy = Policy(categories={Category.network_unreachable: CategoryPolicy(maximum_attempts=0, charge=0.25)})
    decisions = [step(there.history, fail(ConnectionError("refused"), try_id=n), policy) for n in range(161)]
    assert {decision.action for decision in decisions[:-1]} == {"retry"}
    assert (decisions[-1].action, decisions[-1].rule) == ("terminate", "run.retries")


def test_where_the_runs_retries_are_not_known_each_category_has_a_few(fail):
    history = History()
    decisions = [step(history, fail(bug, try_id=number, host=f"h{number}")) for number in range(UNKNOWN_RETRIES + 1)]
    assert [decision.action for decision in decisions] == ["retry"] * UNKNOWN_RETRIES + ["terminate"]
    assert decisions[-1].rule == "code_error.maximum_attempts"


def test_a_limit_of_failures_ends_the_retries_of_the_run(fail, world):
    there, policy = world(), Policy(maximum_failures=2)
    actions = [step(there.history, fail(bug, task_id=str(n)), policy).action for n in range(3)]
    assert actions == ["retry", "retry", "terminate"]


def test_a_second_copy_of_the_past_changes_no_decision(fail, world):
    once, twice = world(retries=3), world(retries=3)
    for number in range(2):
        failure = fail(ManagerLost(b"m", "small-0"), try_id=number)
        for there, copies in ((once, 1), (twice, 3)):
            decision = decide(failure, there.history, LADDER)
            for _ in range(copies):
                there.observe(failure, decision)
    last = fail(allocate, try_id=2)
    assert encode(decide(last, once.history, LADDER)) == encode(decide(last, twice.history, LADDER))


# -- delay, mode, purity ----------------------------------------------------------------------------------------------


def test_delays_grow_to_the_maximum_with_jitter_of_a_tenth():
    entry = CategoryPolicy(initial_interval=10.0, backoff_coefficient=2.0, maximum_interval=60.0)
    for attempts, expected in enumerate((10.0, 20.0, 40.0, 60.0, 60.0)):
        delays = {delay(entry, attempts, f"r/{task}/0/failure") for task in range(200)}
        assert all(expected * (1 - JITTER) <= value <= min(expected * (1 + JITTER), 60.0) for value in delays)
        assert len(delays) > 50
    assert delay(entry, 10_000, "r/1/0/failure") <= 60.0


def test_the_wait_stands_in_the_reason(fail, world):
    def refused():
        import socket

        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5)

    there = world(nodes=1, began=NOW - 1_000)
    there.keep_busy()
    decision = step(there.history, fail(refused))
    assert 1.8 <= decision.delay <= 2.2
    assert decision.reason.endswith(f"retried in the same place, small-0 after {decision.delay:.1f} s")


def test_what_a_service_asks_to_wait_is_waited_up_to_the_longest_wait(fail, world):
    def busy(after):
        error = RuntimeError("busy")
        error.response = requests.Response()
        error.response.status_code, error.response.headers["Retry-After"] = 429, after
        return fail(error)

    there = world(nodes=1, began=NOW - 1_000_000)
    there.keep_busy()
    assert step(there.history, busy("7")).delay == 7.0
    assert step(there.history, busy("5000")).delay == 300.0
    assert "asks for 7 s" in step(there.history, busy("7")).reason
    assert step(world(nodes=1).history, busy("7")).delay == 0.0, "no longer than the run can spare"


def test_passive_mode_decides_the_same_and_says_so(fail, world):
    active = decide(fail(allocate), world().history, LADDER)
    passive = decide(fail(allocate), world().history, policy_from(LADDER, mode="passive"))
    assert passive.mode == "passive"
    assert replace(passive, mode="active") == active


def test_the_same_input_gives_the_same_bytes(fail, world):
    def story():
        there = world()
        causes = [allocate, import_absent, bug, WorkerLost(0, "small-0"), ManagerLost(b"m", "small-1")] * 4
        for number, cause in enumerate(causes):
            yield encode(step(there.history, fail(cause, task_id=str(number % 7), try_id=number)))

    assert list(story()) == list(story())


def test_deciding_changes_nothing(fail, world):
    there = world()
    first = decide(fail(bug), there.history, LADDER)
    assert decide(fail(bug), there.history, LADDER) == first


def test_a_category_that_a_plugin_made_up_follows_the_policy_for_unknown(fail, world):
    made_up = Categorization(layer="environment", category="cosmic_ray", reason="a bit flipped")
    decision = decide(replace(fail(bug), categorization=made_up), world().history, LADDER)
    assert (decision.action, decision.category, decision.rule) == ("retry", "cosmic_ray", "unknown.other_node")


def test_a_failure_of_which_nothing_is_known_gets_a_decision():
    from octopus_plugins.events import ExceptionInfo, Failure

    decision = decide(Failure(run_id="", task_id="", time=0.0, exception=ExceptionInfo(type="")), History(), Policy())
    assert decision.action == "retry"
    assert msgspec.json.decode(encode(decision))["data"]["reason"]
