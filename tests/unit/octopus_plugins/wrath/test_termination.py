"""When a task is not retried although it has retries left: what is certain, and what is costly and hopeless."""

from __future__ import annotations

import sys
import traceback

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from parsl.dataflow.errors import DependencyError
from parsl.executors.errors import BadStateException
from parsl.executors.high_throughput.errors import WorkerLost
from parsl.serialize import serialize
from parsl.serialize.errors import SerializationError

from octopus_plugins.events import (
    ANY,
    Categorization,
    Decision,
    ExceptionInfo,
    Failure,
    Heartbeat,
    NodeState,
    Pool,
    Run,
    Task,
)
from octopus_plugins.wrath import Category, CategoryPolicy, History, Policy, TerminationPolicy, decide, policy_from
from octopus_plugins.wrath.policy.policy import MODES

GB = 10**9
NOW = 1_700_000_000.0
LADDER = policy_from(None, ladder=["small", "large"])


def bug():
    return int("twelve")


def told(cause):
    """An exception with its traceback as text, as a failure has it."""
    try:
        cause()
    except Exception as error:  # noqa: BLE001
        return {"cause": error, "traceback": "".join(traceback.format_exception(error))}
    raise AssertionError(f"{cause} raised nothing")


# -- what is certain --------------------------------------------------------------------------------------------------


def test_a_halted_run_ends_every_task(fail, world, step):
    there = world()
    there.observe(Decision(run_id="r", task_id=ANY, time=NOW, action="terminate", decider="person", serial="1"))
    assert step(there.history, fail(bug), Policy()).rule == "run.halted"


def test_a_failed_dependency_ends_the_task(fail, world, step):
    error = DependencyError([(KeyError("x"), "task 3")], 4)
    assert step(world().history, fail(error), Policy()).rule == "dependency_failed.action"


def test_a_category_that_a_person_wants_ended_is(fail, world, step):
    policy = Policy(categories={Category.code_error: CategoryPolicy(action="terminate")})
    assert step(world().history, fail(bug), policy).rule == "code_error.action"


def test_what_the_serializer_refused_twice_is_certain(fail, world, step):
    there, refused = world(), told(lambda: serialize(number for number in ()))
    assert "/parsl/serialize/" in refused["traceback"]
    first = step(there.history, fail(**refused), Policy())
    assert (first.action, first.category) == ("retry", "serialization")
    second = step(there.history, fail(**refused, try_id=1, host="small-1"), Policy())
    assert (second.action, second.rule) == ("terminate", "serialization.refused")
    assert second.reason.endswith("not retried: the serializer itself refused it 2 times")


def test_a_function_that_cannot_be_submitted_twice_is_certain(fail, world, step):
    there = world()
    rules = [step(there.history, fail(SerializationError("app"), try_id=n, host=None), Policy()).rule for n in range(2)]
    assert rules[1] == "serialization.refused"


def pickle_a_lock():
    raise TypeError("cannot pickle '_thread.lock' object")


def test_what_a_task_itself_could_not_pickle_is_retried(fail, world, step):
    """It may talk to a service whose answer differs at the next try: only our own serializer's word is certain."""
    there, raised = world(retries=3), told(pickle_a_lock)
    decisions = [step(there.history, fail(**raised, try_id=n, host=f"small-{n % 3}"), Policy()) for n in range(4)]
    assert [decision.action for decision in decisions] == ["retry"] * 3 + ["terminate"]
    assert decisions[-1].rule == "run.retries"


def test_two_different_things_that_the_serializer_refused_once_each_are_retried(fail, world, step):
    there = world()
    causes = [told(lambda: serialize(number for number in ())), told(lambda: serialize(sys._getframe()))]
    actions = [step(there.history, fail(**cause, try_id=n), Policy()).action for n, cause in enumerate(causes)]
    assert actions == ["retry", "retry"]


@pytest.mark.parametrize(
    "cause",
    [lambda: undefined, lambda: (lambda a: a)(), lambda: compile("(", "f", "exec"), NotImplementedError("later")],  # noqa: F821
    ids=["NameError", "call", "SyntaxError", "NotImplementedError"],
)
def test_what_the_type_alone_seems_to_prove_is_retried_as_often_as_the_run_says(fail, world, step, cause):
    there = world(retries=2)
    decisions = [step(there.history, fail(cause, try_id=n, host=f"small-{n}"), Policy()) for n in range(3)]
    assert [decision.action for decision in decisions] == ["retry", "retry", "terminate"]
    assert decisions[-1].rule == "run.retries"


def test_what_the_type_alone_proves_ends_at_once_where_nobody_named_retries(fail, world, step):
    assert step(world(retries=None).history, fail(lambda: undefined), Policy()).rule == "code_error.resolvable"  # noqa: F821


# -- more memory than there is ----------------------------------------------------------------------------------------


def known_nodes(there, *, small=8, large=64, nodes=2):
    """Every node of both executors is known with its memory, GB."""
    pools = [Pool(label=name, steerable=True, maximum_nodes=nodes) for name in ("small", "large")]
    there.observe(Run(run_id="r", time=NOW, state="configured", retries=5, pools=tuple(pools)))
    for label, memory in (("small", small), ("large", large)):
        for number in range(nodes):
            node = NodeState(time=NOW, memory_total=memory * GB)
            host = f"{label}-{number}"
            there.observe(Heartbeat(run_id="r", time=NOW, host=host, executor=label, node=node))


def allocate(size):
    """The failure of NumPy to allocate so many GB."""
    return MemoryError(f"Unable to allocate {size} GB for an array")


def test_a_request_larger_than_every_node_on_the_way_ends_the_task(fail, world, step):
    there = world(nodes=0)
    known_nodes(there)
    decision = step(there.history, fail(lambda: np.ones((10**12, 125))), LADDER)
    assert (decision.action, decision.rule) == ("terminate", "memory_exhausted.too_large")
    assert decision.reason.endswith(
        "not retried: 999.5 TB were asked for, and no executor that it may get to has more than 64.0 GB"
    )
    at_the_end = step(there.history, fail(allocate(100), task_id="2", executor="large", host="large-0"), LADDER)
    assert at_the_end.rule == "memory_exhausted.too_large"
    alone = step(there.history, fail(allocate(32), task_id="3"), Policy())
    assert (alone.rule, "more than 8.0 GB" in alone.reason) == ("memory_exhausted.too_large", True)


def test_a_request_that_a_node_on_the_way_has_room_for_is_retried(fail, world, step):
    there = world(nodes=0)
    known_nodes(there)
    assert step(there.history, fail(allocate(32)), LADDER).placement.executor == "large"
    assert step(there.history, fail(allocate(4), task_id="2"), Policy()).action == "retry"


def test_what_a_pool_sets_aside_for_a_worker_is_not_all_that_it_may_find(fail, world, step):
    there = world(nodes=0, memory_per_worker=GB, maximum_nodes=1)
    node = NodeState(time=NOW, memory_total=64 * GB)
    there.observe(Heartbeat(run_id="r", time=NOW, host="small-0", executor="small", node=node))
    assert step(there.history, fail(allocate(8)), Policy()).action == "retry"
    assert step(there.history, fail(allocate(65), task_id="2"), Policy()).rule == "memory_exhausted.too_large"


@pytest.mark.parametrize("maximum", [None, 3, 0])
def test_while_nodes_may_come_that_nobody_has_seen_nothing_is_too_large(fail, world, step, maximum):
    there = world(nodes=0, maximum_nodes=maximum)
    for number in range(2 if maximum else 0):
        node = NodeState(time=NOW, memory_total=8 * GB)
        there.observe(Heartbeat(run_id="r", time=NOW, host=f"small-{number}", executor="small", node=node))
    assert step(there.history, fail(allocate(100)), Policy()).action == "retry"


def test_a_node_that_does_not_say_how_much_it_has_may_have_enough(fail, world, step):
    there = world(nodes=0)
    known_nodes(there)
    there.history.host("small-1").node = None
    assert step(there.history, fail(allocate(100)), Policy()).action == "retry"


def test_of_more_nodes_than_are_looked_at_one_may_have_enough(fail, world, step):
    there = world(nodes=0)
    known_nodes(there, nodes=100)
    assert step(there.history, fail(allocate(100)), LADDER).action == "retry"


# -- costly and hopeless ----------------------------------------------------------------------------------------------


def tried(fail, number, *, cause=bug, seconds=900.0, apart=1_000.0, **fields):
    """A try that took so long, on a node of its own, so long after the one before."""
    time = NOW + number * apart
    place = {"try_id": number, "host": f"small-{number}", "time": time, "started": time - seconds, "ended": time}
    return fail(cause, **(place | fields))


def heard(world, **fields):
    """A run whose tasks are heard of: what recovers would be known."""
    there = world(**fields)
    there.observe(Task(run_id="r", task_id="1", time=NOW - 5_000, state="pending"))
    return there


def test_a_long_try_that_failed_alike_on_two_nodes_is_not_tried_again(fail, world, step):
    there = heard(world)
    assert step(there.history, tried(fail, 0), Policy()).action == "retry"
    second = step(there.history, tried(fail, 1), Policy())
    assert (second.action, second.rule) == ("terminate", "termination.hopeless")
    assert second.reason.endswith(
        "not retried: a try costs 900 s, it failed in the same way on 2 nodes (small-0, small-1), no task has "
        "recovered from it, and the chance of a retry is about 4%"
    )


COUNTER_CASES = {
    "a cheap try": {"seconds": 599.0},
    "the same node": {"host": "small-0"},
    "too soon after the first": {"apart": 59.0},
    "nobody knows when it began": {"started": None, "launched": NOW - 10_000.0},
    "another failure": {"cause": lambda: {}["key"]},
}


@pytest.mark.parametrize("fields", COUNTER_CASES.values(), ids=COUNTER_CASES)
def test_where_one_condition_is_missing_it_is_tried_again(fail, world, step, fields):
    there = heard(world, retries=1)
    shared = {name: value for name, value in fields.items() if name != "cause"}
    step(there.history, tried(fail, 0, **shared), Policy())
    assert step(there.history, tried(fail, 1, **fields), Policy()).rule == "run.retries", "not for its cost"
    there = heard(world, retries=5)
    step(there.history, tried(fail, 0, **shared), Policy())
    assert step(there.history, tried(fail, 1, **fields), Policy()).action == "retry"


def test_what_may_well_recover_is_tried_again_until_it_did_not_for_long(fail, world, step):
    there, cause = heard(world, retries=50, nodes=40), MemoryError()
    policy = Policy(termination=TerminationPolicy(recovery=0.15))  # 0.3 by default: 4 x 0.3 / (4 + 4) is just that
    decisions = [step(there.history, tried(fail, number, cause=cause), policy) for number in range(6)]
    assert [decision.action for decision in decisions] == ["retry"] * 5 + ["terminate"]


def test_a_failure_that_any_task_recovered_from_is_not_hopeless(fail, world, step):
    there = heard(world)
    step(there.history, tried(fail, 0, task_id="lucky"), Policy())
    there.succeed("lucky", "small-2")
    assert there.history.defect(tried(fail, 0)).recovered == 1
    for number in range(4):
        assert step(there.history, tried(fail, number), Policy()).action == "retry"


def test_the_recovery_of_another_failure_says_nothing(fail, world, step):
    there = heard(world)
    step(there.history, tried(fail, 0, task_id="lucky", cause=lambda: {}["key"]), Policy())
    there.succeed("lucky", "small-2")
    step(there.history, tried(fail, 0), Policy())
    assert step(there.history, tried(fail, 1), Policy()).rule == "termination.hopeless"


def test_where_nobody_tells_what_recovers_nothing_is_hopeless(fail, world, step):
    history = History()
    history.observe(Run(run_id="r", time=NOW, state="started", retries=5))
    for number in range(4):
        assert step(history, tried(fail, number), Policy()).action == "retry"
    there = heard(world)
    for number in range(4):
        assert step(there.history, tried(fail, number, app=None), Policy()).action == "retry"


def test_cheap_tries_are_never_ended(fail, world, step):
    there = heard(world, retries=30, nodes=40)
    decisions = [step(there.history, tried(fail, number, seconds=1.0), Policy()) for number in range(31)]
    assert [decision.action for decision in decisions] == ["retry"] * 30 + ["terminate"]


@pytest.mark.parametrize(
    "rules",
    [
        {"enabled": False},
        {"cost": 901.0},
        {"nodes": 3},
        {"pause": 1_001.0},
        {"recovery": 0.01},
    ],
    ids=str,
)
def test_the_policy_names_each_threshold(fail, world, step, rules):
    there, policy = heard(world), Policy(termination=TerminationPolicy(**rules))
    step(there.history, tried(fail, 0), policy)
    assert step(there.history, tried(fail, 1), policy).action == "retry"


# -- the rule ---------------------------------------------------------------------------------------------------------

CERTAIN = {Category.dependency_failed, Category.join_failed, Category.halted}
OUTSIDE = {category for category, entry in Policy().categories.items() if entry.budget}
CHARGED = sorted(set(Category) - CERTAIN - OUTSIDE)

messages = st.sampled_from(["no", "no such pose", "cannot pickle a lock", "x = 3"])
failures = st.tuples(st.sampled_from(CHARGED), messages, st.booleans(), st.floats(0, 500))


def made(category, message, resolvable, seconds, number, time):
    return Failure(
        run_id="r",
        task_id="1",
        try_id=number,
        app="app",
        executor="small",
        host="small-0",
        time=time,
        started=time - seconds,
        ended=time,
        exception=ExceptionInfo(type="ValueError", message=message, mro=("ValueError", "Exception")),
        categorization=Categorization(
            layer=category.layer.value,
            category=category.value,
            scope=category.scope,
            resolvable="no" if resolvable else "maybe",
            reason="it failed",
        ),
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 6), st.lists(failures, min_size=1, max_size=7), st.integers(0, 1_000), st.sampled_from([1, 3]))
def test_a_cheap_task_gets_every_retry_that_its_run_names(retries, sequence, apart, nodes):
    """Whatever it fails for, in whatever order and time, on one node: N + 1 tries in a run of N retries."""
    history = History()
    pool = Pool(label="small", steerable=True, maximum_nodes=nodes)
    history.observe(Run(run_id="r", time=NOW, state="started", retries=retries, pools=(pool,)))
    for host in range(nodes):
        history.observe(Heartbeat(run_id="r", time=NOW, host=f"small-{host}", executor="small"))
    history.observe(Task(run_id="r", task_id="1", time=NOW, state="launched"))
    charged = 0.0
    for number in range(retries + 1):
        category, message, resolvable, seconds = sequence[number % len(sequence)]
        failure = made(category, message, resolvable, seconds, number, NOW + number * apart)
        decision = decide(failure, history, Policy())
        charged += decision.charge
        assert decision.action == ("retry" if number < retries else "terminate"), decision.reason
        assert charged == number + 1, "Parsl, which counts the charges, agrees"
        history.observe(failure)
        history.observe(decision)
    assert decision.rule == "run.retries"


@pytest.mark.parametrize("category", sorted(OUTSIDE - {Category.executor_bad_state}))
def test_what_the_task_did_not_cause_comes_on_top(category):
    history, policy = History(), policy_from({"budgets": {"outside": 3}})
    history.observe(Run(run_id="r", time=NOW, state="started", retries=2))
    actions = []
    for number in range(6):
        failure = made(category, "no", False, 1.0, number, NOW + number)
        decision = decide(failure, history, policy)
        history.observe(failure)
        history.observe(decision)
        actions.append(decision.action)
    assert actions == ["retry"] * 5 + ["terminate"]


def test_an_executor_that_has_given_up_and_no_other_one_end_a_task(fail, world, step):
    """It would fail again at once, without a worker's ever seeing it: Parsl's executors do not come back."""
    from parsl.executors import ThreadPoolExecutor

    error = BadStateException(ThreadPoolExecutor(label="small"), RuntimeError("all blocks are gone"))
    assert step(world().history, fail(error, host=None), Policy()).rule == "executor_bad_state.rungs"
    assert step(world().history, fail(error, host=None), LADDER).action == "retry"


def test_passive_says_the_same_of_each(fail, world):
    there = world(retries=1)
    for failure in (fail(bug), fail(WorkerLost(0, "small-0")), fail(allocate(8))):
        active, passive = (decide(failure, there.history, policy_from(None, mode=mode)) for mode in MODES)
        assert replace(passive, mode="active") == active
