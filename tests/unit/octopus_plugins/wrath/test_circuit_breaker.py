"""What is said, and done, where nearly everything in a run fails for one cause."""

from __future__ import annotations

from dataclasses import replace as changed

import pytest
from msgspec.structs import replace
from parsl.dataflow.errors import DependencyError

from octopus_plugins.events import ANY, Decision, Pool, Run, Task, decode, encode
from octopus_plugins.wrath import BreakerPolicy, Category, CategoryPolicy, History, Policy, decide

from .causes import import_absent

NOW = 1_700_000_000.0
POLICY = Policy(breaker=BreakerPolicy(minimum_tasks=5, share=0.9))
HALT = changed(POLICY, on_systemic_failure="halt")
PAUSE = changed(POLICY, on_systemic_failure="pause")


def bug():
    return {}["key"]


def other_bug():
    raise NotImplementedError("later")


def no_module():
    import_absent()


def doomed(world, **fields):
    """A run in which each failed task is given up, as it has no retries; its tasks are heard of."""
    there = world(retries=0, **fields)
    there.observe(Task(run_id="r", task_id="0", time=NOW, state="pending", app="app"))
    return there


def give_up(there, fail, step, numbers, *, policy=POLICY, cause=bug, **fields):
    return [step(there.history, fail(cause, task_id=str(number), **fields), policy) for number in numbers]


def said(decisions):
    """What was said of the run, and what is done, by the place of the decision."""
    return {number: one.on_systemic for number, one in enumerate(decisions) if one.systemic}


# -- it is said once --------------------------------------------------------------------------------------------------


def test_where_everything_fails_for_one_cause_it_is_said_once_and_the_run_goes_on(fail, world, step):
    there = doomed(world)
    decisions = give_up(there, fail, step, range(60))
    assert said(decisions) == {4: "warn"}
    assert not any(decision.halts_run for decision in decisions)
    assert there.history.halted("r") is None
    assert {decision.rule for decision in decisions} == {"run.retries"}


def test_it_is_said_with_the_share_of_what_was_submitted(fail, world, step):
    there = doomed(world)
    for number in range(1, 200):
        there.observe(Task(run_id="r", task_id=f"w{number}", time=NOW, state="pending"))
    decision = give_up(there, fail, step, range(5))[-1]
    assert decision.systemic == "5 of 5 ended tasks, 2% of the 200 submitted, failed for one cause"
    assert decision.systemic not in decision.reason


def test_what_was_said_in_a_run_is_said_in_another_one_again(fail, world, step):
    there = doomed(world)
    give_up(there, fail, step, range(5))
    there.begin("another", nodes=3, retries=0)
    there.observe(Task(run_id="another", task_id="0", time=NOW, state="pending"))
    assert said(give_up(there, fail, step, range(5), run_id="another")) == {4: "warn"}


def test_what_a_service_said_it_says_once(fail, world, step):
    there = doomed(world)
    give_up(there, fail, step, range(4))
    failure = fail(bug, task_id="x")
    proposal = replace(decide(failure, there.history, POLICY), decider="service")
    assert proposal.systemic
    there.observe(failure, proposal)
    assert said(give_up(there, fail, step, range(5, 9))) == {}


def test_tasks_that_have_retries_left_count_for_nothing_yet(fail, world, step):
    there = world(retries=5)
    there.observe(Task(run_id="r", task_id="0", time=NOW, state="pending"))
    assert said(give_up(there, fail, step, range(20))) == {}


def test_a_run_in_which_a_tenth_ends_well_is_nothing_to_speak_of(fail, world, step):
    there = doomed(world)
    there.succeed("good", "small-1")
    assert said(give_up(there, fail, step, range(8))) == {}
    assert said(give_up(there, fail, step, range(8, 9))) == {0: "warn"}, "9 of 10"


def test_different_causes_are_no_one_cause(fail, world, step):
    there = doomed(world)
    mixed = [*give_up(there, fail, step, range(4), cause=other_bug), *give_up(there, fail, step, range(4, 8))]
    assert said(mixed) == {}


def test_failed_dependencies_are_consequences_and_count_for_nothing(fail, world, step):
    error = DependencyError([(KeyError("x"), "task 3")], 4)
    assert said(give_up(doomed(world), fail, step, range(9), cause=error)) == {}


def test_a_policy_may_not_want_to_know(fail, world, step):
    policy = Policy(breaker=BreakerPolicy(enabled=False, minimum_tasks=1), on_systemic_failure="halt")
    decisions = give_up(doomed(world), fail, step, range(9), policy=policy)
    assert said(decisions) == {}
    assert not any(decision.halts_run for decision in decisions)


def test_a_passive_policy_stops_nothing(fail, world, step):
    there = doomed(world)
    decisions = give_up(there, fail, step, range(9), policy=changed(HALT, mode="passive"))
    assert not any(decision.halts_run for decision in decisions), "nothing was given up, so nothing counts"
    assert there.history.halted("r") is None


def test_where_only_failures_are_heard_of_nothing_is_said_of_the_rest(fail, step):
    """Without a hub nobody tells what ends well: a million tasks may have."""
    history = History()
    history.observe(Run(run_id="r", time=NOW, state="started", retries=0))
    decisions = [step(history, fail(bug, task_id=str(number)), HALT) for number in range(20)]
    assert said(decisions) == {}
    assert history.halted("r") is None


def test_where_only_failures_are_heard_of_no_app_is_known_to_fail_everywhere(fail, step):
    history = History()
    pools = (Pool(label="small", steerable=True),)
    history.observe(Run(run_id="r", time=NOW, state="started", retries=9, pools=pools))
    rules = [
        step(history, fail(no_module, task_id="1", try_id=number, host=f"small-{number}"), Policy.published()).rule
        for number in range(3)
    ]
    assert "module_missing.confirm" not in rules


# -- what is done -----------------------------------------------------------------------------------------------------


def test_a_run_is_halted_where_the_user_wants_it(fail, world, step):
    there = doomed(world)
    decisions = give_up(there, fail, step, range(5), policy=HALT, cause=no_module)
    assert [decision.halts_run for decision in decisions] == [False] * 4 + [True]
    assert decisions[-1].reason.endswith(
        "; the run is stopped: 5 of 5 ended tasks, 100% of the 5 submitted, failed for one cause"
    )
    assert there.history.halted("r") == decisions[-1].reason


def test_after_that_every_failure_of_the_run_ends_its_task_with_that_reason(fail, world, step):
    there = doomed(world)
    give_up(there, fail, step, range(5), policy=HALT, cause=no_module)
    after = step(there.history, fail(MemoryError(), task_id="9"), HALT)
    assert (after.action, after.rule, after.halts_run) == ("terminate", "run.halted", False)
    assert there.history.halted("r") in after.reason
    assert step(there.history, fail(bug, task_id="9", run_id="another"), HALT).action == "retry"


def test_a_run_is_not_halted_for_an_app_that_ever_ended_well(fail, world, step):
    """A screening in which 96 % of the inputs raise by design."""
    there = doomed(world)
    there.succeed("good", "small-1")
    decisions = give_up(there, fail, step, range(60), policy=HALT)
    assert said(decisions) == {8: "warn"}
    assert there.history.halted("r") is None


def test_another_apps_success_does_not_save_a_run_whose_app_never_ended_well(fail, world, step):
    there = doomed(world)
    there.succeed("good", "small-1", app="other")
    assert give_up(there, fail, step, range(9), policy=HALT)[-1].halts_run


def test_an_app_that_nobody_names_may_be_the_one_that_ended_well(fail, world, step):
    there = doomed(world)
    there.succeed("good", "small-1", app="other")
    assert said(give_up(there, fail, step, range(9), policy=HALT, app=None)) == {8: "warn"}


def test_a_run_is_halted_for_what_lies_with_its_nodes_whatever_ended_well(fail, world, step):
    there = doomed(world)
    there.succeed("good", "small-1")
    assert give_up(there, fail, step, range(9), policy=HALT, cause=no_module)[-1].halts_run


def test_a_run_is_paused_where_the_user_wants_it(fail, world, step):
    there = doomed(world)
    decisions = give_up(there, fail, step, range(20), policy=PAUSE)
    assert said(decisions) == {4: "pause"}
    assert not any(decision.halts_run for decision in decisions)


def test_what_is_certain_at_the_first_failure_counts_too(fail, world, step):
    policy = changed(POLICY, categories={Category.code_error: CategoryPolicy(action="terminate")})
    there = world(retries=3)
    there.observe(Task(run_id="r", task_id="0", time=NOW, state="pending"))
    assert said(give_up(there, fail, step, range(5), policy=policy)) == {4: "warn"}


def test_a_decision_of_an_earlier_version_is_read_as_one_that_says_nothing_of_it(fail, world, step):
    decision = give_up(doomed(world), fail, step, range(5), policy=HALT, cause=no_module)[-1]
    assert decode(encode(decision)) == decision
    plain = give_up(doomed(world), fail, step, range(1))[0]
    text = encode(plain)
    assert not any(name in text for name in (b"systemic", b"deny_app")), "what is not said is not written"
    assert (decode(text).systemic, decode(text).on_systemic, decode(text).deny_app) == ("", "", "")


# -- people -----------------------------------------------------------------------------------------------------------


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
    assert step(there.history, replace(fail(bug), task_id="2"), POLICY).action == "retry"
