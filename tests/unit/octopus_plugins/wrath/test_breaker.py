from __future__ import annotations

import pytest
from msgspec.structs import replace

from octopus_plugins.events import ANY, Decision, Pool, Run
from octopus_plugins.wrath import BreakerPolicy, History, Policy

NOW = 1_700_000_000.0
POLICY = Policy(breaker=BreakerPolicy(minimum_tasks=5, share=0.9))


def undefined():
    return octopus_no_such_name  # noqa: F821


def other_bug():
    raise NotImplementedError("later")


def other_bug_once():
    return {}["key"]


def give_up(there, fail, step, numbers, *, policy=POLICY, cause=undefined):
    return [step(there.history, fail(cause, task_id=str(number)), policy) for number in numbers]


def test_a_run_in_which_everything_fails_for_one_cause_is_stopped(fail, world, step):
    there = world()
    decisions = give_up(there, fail, step, range(5))
    assert [decision.halts_run for decision in decisions] == [False] * 4 + [True]
    assert decisions[-1].reason.endswith(
        "; the run is stopped: 5 of the run's 5 ended tasks were given up for this one cause"
    )
    assert there.history.halted("r") == decisions[-1].reason


def test_after_that_every_failure_of_the_run_ends_its_task_with_that_reason(fail, world, step):
    there = world()
    give_up(there, fail, step, range(5))
    after = step(there.history, fail(MemoryError(), task_id="9"), POLICY)
    assert (after.action, after.rule, after.halts_run) == ("terminate", "run.halted", False)
    assert there.history.halted("r") in after.reason
    assert step(there.history, fail(other_bug_once, task_id="9", run_id="another"), POLICY).action == "retry"


def test_a_run_that_gets_on_is_not_stopped(fail, world, step):
    there = world()
    there.succeed("good", "small-1")
    assert not any(decision.halts_run for decision in give_up(there, fail, step, range(8)))
    assert give_up(there, fail, step, range(8, 9))[-1].halts_run  # 9 of 10


def test_different_causes_are_no_one_cause(fail, world, step):
    there = world()
    mixed = [*give_up(there, fail, step, range(5, 10), cause=other_bug)[:4], *give_up(there, fail, step, range(4))]
    assert [decision.halts_run for decision in mixed] == [False] * 8


def test_failed_dependencies_are_consequences_and_count_for_nothing(fail, world, step):
    from parsl.dataflow.errors import DependencyError

    there = world()
    error = DependencyError([(KeyError("x"), "task 3")], 4)
    decisions = [step(there.history, fail(error, task_id=str(number)), POLICY) for number in range(9)]
    assert not any(decision.halts_run for decision in decisions)


def test_a_policy_may_let_a_run_go_on(fail, world, step):
    policy = Policy(breaker=BreakerPolicy(enabled=False, minimum_tasks=1))
    assert not any(decision.halts_run for decision in give_up(world(), fail, step, range(9), policy=policy))


def test_a_passive_policy_says_it_and_stops_nothing(fail, world, step):
    there, policy = world(), replace_mode(POLICY)
    # Nothing was given up, so nothing counts.
    assert not any(decision.halts_run for decision in give_up(there, fail, step, range(9), policy=policy))
    assert there.history.halted("r") is None


def replace_mode(policy):
    from dataclasses import replace as changed

    return changed(policy, mode="passive")


@pytest.mark.parametrize("run_id", ["r", ANY])
@pytest.mark.parametrize("halts", [True, False])
def test_a_person_stops_a_run(fail, world, step, run_id, halts):
    there = world()
    stop = Decision(
        run_id=run_id,
        task_id=ANY,
        time=NOW,
        action="terminate",
        decider="person",
        serial="1",
        reason="wrong input (ada)",
        halts_run=halts,
    )
    there.observe(stop)
    decision = step(there.history, fail(MemoryError()), POLICY)
    assert (decision.action, decision.rule) == ("terminate", "run.halted")
    assert decision.reason.endswith("not retried: the run was stopped (wrong input (ada))")


def test_a_person_who_ends_one_task_stops_no_run(fail, world, step):
    there = world()
    there.observe(Decision(run_id="r", task_id="1", time=NOW, action="terminate", decider="person", serial="1"))
    assert there.history.halted("r") is None
    assert step(there.history, replace(fail(other_bug_once), task_id="2"), POLICY).action == "retry"


def test_where_only_failures_are_heard_of_nothing_is_said_of_the_rest(fail, step):
    """Without a hub nobody tells what ends well: a million tasks may have."""
    history = History()
    history.observe(Run(run_id="r", time=NOW, state="started", retries=5))
    decisions = [step(history, fail(undefined, task_id=str(number)), POLICY) for number in range(20)]
    assert not any(decision.halts_run for decision in decisions)
    assert history.halted("r") is None


def test_where_only_failures_are_heard_of_no_app_is_known_to_fail_everywhere(fail, step):
    history = History()
    pools = (Pool(label="small", steerable=True),)
    history.observe(Run(run_id="r", time=NOW, state="started", retries=9, pools=pools))
    actions = [
        step(history, fail(import_absent, task_id="1", try_id=number, host=f"small-{number}"), POLICY).rule
        for number in range(3)
    ]
    assert "module_missing.confirm" not in actions


def import_absent():
    import octopus_no_such_module  # noqa: F401
