"""Policy ``published``: WRATH's early termination as it was, for who wants it."""

from __future__ import annotations

import pytest
from parsl.app.errors import AppTimeout
from parsl.executors.high_throughput.errors import WorkerLost

from octopus_plugins.events import Placement
from octopus_plugins.wrath import Category, DenyPolicy, Policy, policy_from

from .causes import import_absent, placed

PUBLISHED = policy_from("published")
LADDER = policy_from("published", ladder=["small", "large"])


def bug():
    return int("twelve")


def test_it_is_asked_for_by_name():
    assert Policy.published() == PUBLISHED
    assert (PUBLISHED.name, PUBLISHED.on_systemic_failure) == ("published", "halt")
    assert PUBLISHED.deny == DenyPolicy(), "nodes are denied by comparison all the same"
    assert PUBLISHED.entry(Category.code_error).confirm == 2
    assert Policy().entry(Category.code_error).confirm == 0


# -- a task ---------------------------------------------------------------------------------------------------------


def test_a_bug_is_tried_on_another_node_and_then_given_up(fail, world, step):
    there = world()
    first = step(there.history, fail(bug), LADDER)
    assert placed(first) == Placement(rung="other_node", executor="small", avoid_hosts=("small-0",))
    second = step(there.history, fail(bug, try_id=1, host="small-1"), LADDER)
    assert (second.action, second.rule) == ("terminate", "code_error.confirm")
    assert second.reason == (
        "the task's code raised ValueError: invalid literal for int() with base 10: 'twelve'; "
        "not retried: the same failure on 2 nodes (small-0, small-1)"
    )


def test_a_bug_on_the_only_node_is_confirmed_there(fail, world, step):
    there = world(nodes=1)
    first = step(there.history, fail(bug), LADDER)
    assert placed(first) == Placement(rung="same_node", executor="small", prefer_hosts=("small-0",))
    assert step(there.history, fail(bug, try_id=1), LADDER).rule == "code_error.confirm"


def test_the_same_node_twice_confirms_nothing_while_others_can_be_had(fail, world, step):
    there = world(nodes=3)
    step(there.history, fail(bug), LADDER)
    assert step(there.history, fail(bug, try_id=1), LADDER).action == "retry"


def test_two_different_errors_confirm_nothing(fail, world, step):
    there = world()
    step(there.history, fail(bug), LADDER)
    assert step(there.history, fail(lambda: {}["key"], try_id=1, host="small-1"), LADDER).action == "retry"


@pytest.mark.parametrize(
    "cause",
    [lambda: undefined, lambda: (lambda a: a)(), lambda: compile("(", "f", "exec")],  # noqa: F821
    ids=["NameError", "call", "SyntaxError"],
)
def test_what_the_type_alone_proves_ends_at_once(fail, world, step, cause):
    decision = step(world().history, fail(cause), LADDER)
    assert (decision.action, decision.rule) == ("terminate", "code_error.resolvable")


def test_what_the_serializer_refuses_ends_at_once(fail, world, step):
    def pickle_a_lock():
        import pickle
        import threading

        pickle.dumps(threading.Lock())

    decision = step(world().history, fail(pickle_a_lock), LADDER)
    assert (decision.action, decision.rule) == ("terminate", "serialization.action")


def test_a_module_missing_on_all_nodes_ends_the_task(fail, world, step):
    there = world(nodes=3)
    decisions = [
        step(there.history, fail(import_absent, try_id=number, host=f"small-{number}"), LADDER) for number in range(3)
    ]
    assert [decision.action for decision in decisions] == ["retry", "retry", "terminate"]
    assert decisions[-1].rule == "module_missing.confirm"
    assert "all 3 known nodes (small-0, small-1, small-2)" in decisions[-1].reason


def test_a_module_missing_everywhere_ends_later_tasks_of_the_app_at_once(fail, world, step):
    there = world(nodes=2)
    step(there.history, fail(import_absent), LADDER)
    step(there.history, fail(import_absent, try_id=1, host="small-1"), LADDER)
    assert step(there.history, fail(import_absent, task_id="2"), LADDER).action == "terminate"
    assert step(there.history, fail(import_absent, task_id="3", app="other"), LADDER).action == "retry"


def test_an_app_that_succeeded_somewhere_is_not_given_up_for_a_module(fail, world, step):
    there = world(nodes=3)
    there.succeed("0", "small-2")
    step(there.history, fail(import_absent), LADDER)
    step(there.history, fail(import_absent, try_id=1, host="small-1"), LADDER)
    assert step(there.history, fail(import_absent, task_id="2"), LADDER).action == "retry"


def test_an_app_of_the_same_name_in_another_run_may_be_other_code(fail, world, step):
    """Yesterday's success says nothing of what was edited since: the import is missing on every node."""
    there = world(nodes=4)
    there.succeed("1", "small-3")
    today = world(nodes=4)
    today.history = there.history
    today.begin("today", nodes=4)
    decisions = [
        step(today.history, fail(import_absent, run_id="today", try_id=number, host=f"small-{number}"), PUBLISHED)
        for number in range(4)
    ]
    assert (decisions[-1].action, decisions[-1].rule) == ("terminate", "module_missing.confirm")


def test_a_walltime_is_tried_elsewhere_and_then_given_up(fail, world, step):
    there, timeout = world(), AppTimeout("App a exceeded walltime: 1 seconds")
    assert placed(step(there.history, fail(timeout), PUBLISHED)) == Placement(
        rung="other_node", executor="small", avoid_hosts=("small-0",)
    )
    assert step(there.history, fail(timeout, try_id=1, host="small-1"), PUBLISHED).rule == "walltime_exceeded.confirm"


def test_lost_workers_use_up_no_retries_up_to_a_cap(fail, world, step):
    there = world(retries=1)
    decisions = [step(there.history, fail(WorkerLost(0, "small-0"), try_id=number), LADDER) for number in range(5)]
    assert [decision.action for decision in decisions] == ["retry"] * 4 + ["terminate"]
    assert {decision.charge for decision in decisions} == {0.0}
    assert decisions[-1].rule == "worker_lost.maximum_attempts"


def test_a_task_that_ends_worker_after_worker_is_given_up(fail, world, step):
    there = world(nodes=6)
    decisions = [
        step(there.history, fail(WorkerLost(0, f"small-{n}"), try_id=n, host=f"small-{n}"), LADDER) for n in range(4)
    ]
    assert [decision.action for decision in decisions] == ["retry"] * 3 + ["terminate"]
    assert decisions[-1].rule == "worker_lost.confirm"


def test_without_a_run_a_failure_that_showed_twice_is_given_up(fail, step):
    from octopus_plugins.wrath import History

    history = History()
    decisions = [step(history, fail(bug, try_id=number, host=f"h{number}"), PUBLISHED) for number in range(2)]
    assert [decision.action for decision in decisions] == ["retry", "terminate"]


def test_a_policy_may_take_the_first_failure_for_proof(fail, world, step):
    policy = policy_from({"categories": {"code_error": {"confirm": 1}}})
    decision = step(world().history, fail(bug), policy)
    assert (decision.action, decision.rule) == ("terminate", "code_error.confirm")
    assert decision.reason.endswith("not retried: the policy takes its first failure for proof")


# -- what other tasks have shown --------------------------------------------------------------------------------------


def doom(there, fail, step, task_id, *, cause=bug):
    for number in range(2):
        step(there.history, fail(cause, task_id=task_id, try_id=number, host=f"small-{number}"), PUBLISHED)


def test_the_third_task_with_the_very_same_bug_is_not_retried(fail, world, step):
    there = world()
    doom(there, fail, step, "1")
    assert step(there.history, fail(bug, task_id="x"), PUBLISHED).action == "retry"
    doom(there, fail, step, "2")
    decision = step(there.history, fail(bug, task_id="3"), PUBLISHED)
    assert (decision.action, decision.rule) == ("terminate", "code_error.known")
    assert decision.reason.endswith(
        "not retried: 2 other tasks of app failed in the very same way, each on different nodes (small-0, small-1), "
        "and none of it ever ended well"
    )


def test_an_app_that_ever_ended_well_is_not_given_up_for_what_others_have_shown(fail, world, step):
    there = world()
    there.succeed("0", "small-2")
    doom(there, fail, step, "1")
    doom(there, fail, step, "2")
    assert step(there.history, fail(bug, task_id="3"), PUBLISHED).action == "retry"


def test_another_message_or_app_or_run_is_another_failure(fail, world, step):
    there = world()
    doom(there, fail, step, "1")
    doom(there, fail, step, "2")
    assert step(there.history, fail(bug, task_id="3", app="other"), PUBLISHED).action == "retry"
    assert step(there.history, fail(bug, task_id="3", run_id="another"), PUBLISHED).action == "retry"

    def another(text):
        return lambda: int(text)

    doom(there, fail, step, "4", cause=another("13x"))
    doom(there, fail, step, "5", cause=another("14x"))
    assert step(there.history, fail(another("15x"), task_id="6"), PUBLISHED).action == "retry"


def test_tasks_that_were_confirmed_on_one_node_only_prove_nothing_to_others(fail, world, step):
    there = world(nodes=1)
    for task in "12":
        for number in range(2):
            step(there.history, fail(bug, task_id=task, try_id=number), PUBLISHED)
    assert step(there.history, fail(bug, task_id="3"), PUBLISHED).action == "retry"


# -- a run ------------------------------------------------------------------------------------------------------------


def test_a_run_in_which_everything_fails_for_one_cause_is_halted(fail, world, step):
    there = world()
    decisions = [step(there.history, fail(lambda: absent, task_id=str(n)), PUBLISHED) for n in range(50)]  # noqa: F821
    assert [decision.halts_run for decision in decisions] == [False] * 49 + [True]
    assert there.history.halted("r") == decisions[-1].reason


def test_a_failure_that_no_rule_is_sure_of_is_not_known_from_other_tasks(fail, world, step):
    def unsure():
        raise RuntimeError("the queue gave up")

    there = world()
    doom(there, fail, step, "1", cause=unsure)
    doom(there, fail, step, "2", cause=unsure)
    assert step(there.history, fail(unsure, task_id="3"), PUBLISHED).action == "retry"
