from __future__ import annotations

import pytest
from msgspec.structs import replace
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from octopus_plugins.errors import PolicyError
from octopus_plugins.events import Categorization, Run
from octopus_plugins.wrath import Category, CategoryPolicy, History, Policy, decide, policy_from

NOW = 1_700_000_000.0


def lose(there, fail, step, numbers, policy, *, manager=True):
    error = ManagerLost(b"m", "small-0") if manager else WorkerLost(0, "small-0")
    return [step(there.history, fail(error, try_id=number), policy) for number in numbers]


def test_lost_nodes_are_paid_from_a_budget_of_their_own(fail, world, step):
    there, policy = world(retries=1), policy_from({"budgets": {"outside": 3}})
    decisions = lose(there, fail, step, range(5), policy)
    assert [(decision.action, decision.charge) for decision in decisions] == [
        ("retry", 0.0),
        ("retry", 0.0),
        ("retry", 0.0),
        ("retry", 1.0),  # the budget is used up: the run's own retries pay
        ("terminate", 1.0),
    ]
    assert decisions[-1].rule == "run.retries"
    assert decisions[-1].reason.endswith(
        "the 3 failures that budget 'outside' pays for are used up, and so are the run's 1 retries per task"
    )


def test_categories_share_a_budget(fail, world, step):
    there, policy = world(retries=1), policy_from({"budgets": {"outside": 2}})
    lose(there, fail, step, range(1), policy)
    pools = Categorization(layer="resource_pool", category="block_failed", scope="pool", reason="the block is gone")
    decided(there, replace(fail(KeyError("x"), try_id=1), categorization=pools), policy)
    assert lose(there, fail, step, range(2, 3), policy)[0].charge == 1.0


def test_a_lost_worker_is_paid_from_the_runs_retries(fail, world, step):
    """What ends its worker ends it again: stock Parsl charges it, and so do we."""
    there = world(retries=2)
    decisions = lose(there, fail, step, range(3), Policy(), manager=False)
    assert [(one.action, one.charge) for one in decisions] == [("retry", 1.0), ("retry", 1.0), ("terminate", 1.0)]


def victim(fail, number, category="worker_lost"):
    made = Categorization(
        layer="resource_pool", category=category, scope="worker", reason="it went down", evidence={"victim": True}
    )
    return replace(fail(WorkerLost(0, "small-0"), try_id=number), categorization=made)


def decided(there, failure, policy):
    decision = decide(failure, there.history, policy)
    there.observe(failure, decision)
    return decision


def test_a_victim_of_its_neighbours_is_charged_nothing_within_the_budget(fail, world):
    there, policy = world(retries=1), policy_from({"budgets": {"outside": 3}})
    decisions = [decided(there, victim(fail, number), policy) for number in range(5)]
    assert [(one.action, one.charge) for one in decisions] == [("retry", 0.0)] * 3 + [
        ("retry", 1.0),
        ("terminate", 1.0),
    ]


def test_where_the_run_has_no_retries_a_victim_has_none(fail, world):
    decision = decide(victim(fail, 0), world(retries=0).history, Policy())
    assert (decision.action, decision.rule) == ("terminate", "run.retries")


def test_victims_and_lost_nodes_have_a_budget_each(fail, world):
    """A task that the history forgot is bounded by both, and not cut short by one."""
    there, policy = world(retries=1), policy_from({"budgets": {"outside": 2}})
    for number in range(2):
        assert decided(there, victim(fail, number), policy).charge == 0.0
    for number in range(2, 4):
        failure = fail(ManagerLost(b"m", "small-0"), try_id=number)
        assert decided(there, failure, policy).charge == 0.0
    assert decided(there, fail(KeyError("x"), try_id=4), policy).action == "retry"
    assert decided(there, fail(KeyError("x"), try_id=5), policy).action == "terminate"


def test_the_tasks_own_failures_use_up_no_budget_of_another(fail, world, step):
    there, policy = world(retries=5), policy_from({"budgets": {"outside": 1}})
    assert step(there.history, fail(ConnectionError("refused")), policy).charge == 1.0
    assert lose(there, fail, step, range(1, 2), policy)[0].charge == 0.0


def test_what_is_not_charged_ends_even_where_the_runs_retries_are_not_known(fail, step):
    history, policy = History(), policy_from({"budgets": {"outside": 2}})
    history.observe(Run(run_id="r", time=NOW, state="started"))
    decisions = [step(history, fail(ManagerLost(b"m", "h"), host="h", try_id=number), policy) for number in range(3)]
    assert [decision.action for decision in decisions] == ["retry", "retry", "terminate"]
    assert decisions[-1].rule == "budgets.outside"


def test_every_default_category_is_bounded(fail, step):
    for category in Category:
        history = History()
        made = {"layer": category.layer.value, "category": category.value, "scope": category.scope}
        for number in range(200):
            failure = fail(KeyError("x"), try_id=number, host=f"h{number}")
            failure = replace(failure, categorization=Categorization(**made, resolvable="yes", reason="so it is"))
            decision = decide(failure, history, Policy())
            if decision.action == "terminate":
                break
            history.observe(failure)
            history.observe(decision)
        assert decision.action == "terminate", category


def test_a_budget_that_is_not_there_is_refused():
    with pytest.raises(PolicyError, match=r"categories\.unknown\.budget = 'nights': must be empty or a name in \[budg"):
        policy_from({"categories": {"unknown": {"budget": "nights"}}})
    policy = policy_from({"budgets": {"nights": 2}, "categories": {"unknown": {"budget": "nights"}}})
    assert (policy.budgets, policy.entry(Category.unknown).budget) == ({"outside": 10, "nights": 2}, "nights")


def test_a_category_of_a_persons_own_can_leave_the_budget(fail, world, step):
    there = world(retries=1)
    policy = Policy(categories={Category.manager_lost: CategoryPolicy(charge=0.5)})
    assert lose(there, fail, step, range(1), policy)[0].charge == 0.5


def test_a_budget_that_no_category_draws_on_is_refused_by_name():
    with pytest.raises(PolicyError, match=r"budgets\.outsid: no category draws on it; those in use are outside"):
        policy_from({"budgets": {"outsid": 20}})
    assert policy_from({"budgets": {"mine": 2}, "categories": {"app_exit": {"budget": "mine"}}}).budgets["mine"] == 2
