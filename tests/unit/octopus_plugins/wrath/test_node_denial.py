"""Which nodes are denied: none of a run whose inputs are bad, each that is bad itself, and for that app only."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from octopus_plugins.events import Categorization, Decision, ExceptionInfo, Failure, Heartbeat, NodeState, Task
from octopus_plugins.wrath import DenyPolicy, Policy, decide, policy_from

from .simulation import Simulation

GB = 10**9
NOW = 1_700_000_000.0
SEEDS = 20


def runs(outcome, **fields):
    """The same run with different random numbers, 20 times."""
    return [Simulation(outcome, **({"tasks": 120} | fields), seed=seed).run() for seed in range(SEEDS)]


# -- a healthy run loses no node --------------------------------------------------------------------------------------


def by_input(share, *, varied=False, kinds=("ValueError",)):
    """A part of the inputs is bad, wherever they are computed."""

    def outcome(task, number, host, now, draw):
        own = random.Random(task)
        if own.random() >= share:
            return None
        return f"{own.choice(kinds)}: no pose{f' for {own.random()}' if varied else ''}"

    return outcome


def transient(chance):
    """Any try may fail, wherever it runs."""
    return lambda task, number, host, now, draw: "ValueError: try again" if draw.random() < chance else None


def by_number(fails, *, share=1.0):
    """The first tries of a task fail, wherever they run: a cache that is cold, a token that is old."""

    def outcome(task, number, host, now, draw):
        return "ValueError: not yet" if number < fails and random.Random(task).random() < share else None

    return outcome


SEVERAL = ("ValueError", "KeyError", "ModuleNotFoundError", "PermissionError", "MemoryError", "OSError")
HEALTHY = {
    "10 % of the inputs are bad": {"outcome": by_input(0.1)},
    "half of them": {"outcome": by_input(0.5)},
    "90 % of them": {"outcome": by_input(0.9)},
    "with a message each": {"outcome": by_input(0.5, varied=True)},
    "for a plugin that some inputs need": {"outcome": by_input(0.5, kinds=("ModuleNotFoundError",))},
    "for several reasons": {"outcome": by_input(0.5, varied=True, kinds=SEVERAL)},
    "two nodes": {"outcome": by_input(0.5), "nodes": 2},
    "eight nodes": {"outcome": by_input(0.9), "nodes": 8},
    "one retry": {"outcome": by_input(0.5), "retries": 1},
    "failures take as long as successes": {"outcome": by_input(0.5), "seconds": lambda task, fails: 0.1},
    "failures take longer": {"outcome": by_input(0.5), "seconds": lambda task, fails: 0.5 if fails else 0.1},
    "the bad inputs come first": {"outcome": lambda task, *_: "ValueError: x" if task < 40 else None, "retries": 1},
    "and last": {"outcome": lambda task, *_: "ValueError: x" if task >= 80 else None, "retries": 1},
    "nodes come late, after the bad inputs": {
        "outcome": lambda task, *_: "ValueError: x" if task < 40 else None,
        "joins": {"n1": 0.5, "n2": 1.0},
        "retries": 1,
    },
    "nodes come late": {"outcome": by_input(0.5), "joins": {"n1": 0.5, "n2": 1.0}},
    "one try of ten fails": {"outcome": transient(0.1), "retries": 5},
    "every first try fails": {"outcome": by_number(1), "retries": 5},
    "and the second": {"outcome": by_number(2), "retries": 5},
    "every first try fails, as long as a good one takes": {
        "outcome": by_number(1),
        "retries": 5,
        "seconds": lambda task, fails: 0.1,
    },
    "every first try fails, and nodes come late": {
        "outcome": by_number(1),
        "retries": 5,
        "joins": {"n1": 0.5, "n2": 1.0},
    },
    "half of the first tries fail, and nodes come late": {
        "outcome": by_number(1, share=0.5),
        "retries": 5,
        "joins": {"n1": 0.5, "n2": 1.0},
        "seconds": lambda task, fails: 0.1,
    },
    "two tries fail, and one node comes late": {
        "outcome": by_number(2),
        "retries": 5,
        "nodes": 2,
        "joins": {"n1": 0.5},
    },
    "a service is away for a while": {
        "outcome": lambda task, number, host, now, draw: "ConnectionError: x" if 0.5 < now < 0.7 else None,
        "retries": 5,
    },
    "two apps, one of which always fails": {
        "outcome": lambda task, *_: "ValueError: x" if task % 2 else None,
        "app": lambda task: "bad" if task % 2 else "good",
    },
}


@pytest.mark.parametrize("run", HEALTHY.values(), ids=HEALTHY)
def test_where_failures_lie_with_the_inputs_no_node_is_denied(run):
    assert [ended.denied for ended in runs(**run)] == [[]] * SEEDS


def test_where_every_second_try_fails_hardly_a_node_is_denied():
    assert sum(bool(ended.denied) for ended in runs(transient(0.5), retries=5)) <= 2


def test_in_a_run_without_retries_no_node_is_denied_however_bad():
    ended = runs(lambda task, number, host, now, draw: "ValueError: bad" if host == "n0" else None, retries=0)
    assert [one.denied for one in ended] == [[]] * SEEDS


# -- a bad node is denied ---------------------------------------------------------------------------------------------


def by_node(bad="n0", *, share=1.0, kind="ValueError", until=1e9):
    """One node is bad, until it is mended."""

    def outcome(task, number, host, now, draw):
        return f"{kind}: bad" if host == bad and now < until and draw.random() < share else None

    return outcome


BAD = {
    "a bug that shows there": {"outcome": by_node()},
    "a module missing there": {"outcome": by_node(kind="ModuleNotFoundError")},
    "no memory there": {"outcome": by_node(kind="MemoryError")},
    "failures take as long as successes": {"outcome": by_node(), "seconds": lambda task, fails: 0.1},
    "eight nodes": {"outcome": by_node(), "nodes": 8, "tasks": 200},
    "it breaks in the middle": {
        "outcome": lambda task, number, host, now, draw: "OSError: x" if host == "n0" and now > 1.0 else None,
        "tasks": 600,
    },
}


@pytest.mark.parametrize("run", BAD.values(), ids=BAD)
def test_a_bad_node_is_denied_in_each_run_to_the_app_and_no_other_one_is(run):
    for ended in runs(**({"tasks": 400, "window": 24} | run)):
        assert set(ended.denied) == {("app", "n0")}
        assert all(decision.deny_app == "app" for decision in ended.decisions if decision.deny_hosts)


def test_a_node_that_does_half_of_its_work_is_worth_having():
    ended = runs(by_node(share=0.5), tasks=200, retries=5)
    assert [one.denied for one in ended] == [[]] * SEEDS
    assert all(not one.failed for one in ended)


def test_no_task_is_lost_to_a_bad_node():
    for ended in runs(by_node(), retries=1):
        assert len(ended.done) == 120


def test_where_the_good_node_is_busy_with_retries_a_bad_one_costs_no_time():
    """Nothing is left to compare then: each task fails once on the bad node, which is idle after that."""
    for ended in runs(by_node(), nodes=2, retries=1):
        assert len(ended.done) == 120
        assert ended.placed["n0"] <= 120
        assert ended.seconds <= 1.05 * 120 / 4 * 0.1 + 0.25, "what the good node takes alone"


def test_beside_bad_inputs_a_bad_node_is_still_found():
    inputs, node = by_input(0.3), by_node()
    ended = runs(lambda *attempt: inputs(*attempt) or node(*attempt), tasks=300)
    assert [set(one.denied) for one in ended] == [{("app", "n0")}] * SEEDS


def test_where_one_app_of_two_is_bad_the_node_is_denied_to_that_one_alone():
    def outcome(task, number, host, now, draw):
        return "ModuleNotFoundError: No module named 'x'" if host == "n0" and task % 2 else None

    for ended in runs(outcome, tasks=600, window=24, app=lambda task: "needs_x" if task % 2 else "other"):
        assert set(ended.denied) == {("needs_x", "n0")}
        assert ended.placed["n0"] > 20, "the other app goes on there"


def test_where_two_apps_stand_out_the_node_is_denied_to_all():
    fields = {"tasks": 600, "window": 24, "app": lambda task: "ab"[task % 2], "seconds": lambda task, fails: 0.1}
    ended = runs(by_node(), **fields)
    assert all(("", "n0") in one.denied for one in ended)
    assert {host for one in ended for _, host in one.denied} == {"n0"}


def test_a_node_that_recovers_is_let_back_in_and_stays():
    for seed in range(SEEDS):
        simulation = Simulation(by_node(until=3.0), tasks=1_000, window=24, seed=seed)
        ended = simulation.run()
        assert ("app", "n0") in ended.denied
        assert not simulation.history.is_denied("n0", NOW + ended.seconds, "r", "app")
        assert ended.placed["n0"] > 100
        assert max(decision.time for decision in ended.decisions) <= NOW + 3.2, "and nothing is held against it"


def test_a_node_that_recovered_is_not_denied_again_for_a_bad_input():
    """What it failed before it was mended is no evidence any more."""
    inputs, node = by_input(0.1), by_node(until=3.0)
    for seed in range(5):
        ended = Simulation(lambda *attempt: inputs(*attempt) or node(*attempt), tasks=1_000, seed=seed).run()
        late = [decision for decision in ended.decisions if decision.time > NOW + 4.0 and decision.deny_hosts]
        assert not [host for decision in late for host, until in decision.deny_hosts.items() if until > decision.time]


@pytest.mark.parametrize(("floor", "most"), [(0.5, 2), (0.8, 1)])
def test_so_many_nodes_stay_as_the_policy_says(floor, most):
    outcome = lambda task, number, host, now, draw: "OSError: x" if host in ("n0", "n1") else None  # noqa: E731
    policy = policy_from({"deny": {"floor": floor, "duration": 600}})
    for ended in runs(outcome, nodes=6, tasks=200, policy=policy, seconds=lambda task, fails: 0.1):
        assert len({host for _, host in ended.denied}) == most
        assert len(ended.done) == 200


@pytest.mark.parametrize(
    "rules", [DenyPolicy(enabled=False), DenyPolicy(level=0.0), DenyPolicy(tasks=1_000), DenyPolicy(floor=1.0)], ids=str
)
def test_the_policy_says_whether_and_on_what_evidence(rules):
    for ended in runs(by_node(), policy=Policy(deny=rules))[:5]:
        assert ended.denied == []


# -- the decision -----------------------------------------------------------------------------------------------------


def failed(task, host, *, app="app", time=NOW, category="code_error", layer="application", **fields):
    return Failure(
        run_id="r",
        task_id=str(task),
        time=time,
        app=app,
        executor="small",
        host=host,
        exception=ExceptionInfo(type="ValueError", message="no"),
        categorization=Categorization(layer=layer, category=category, scope="task", reason="no"),
        **fields,
    )


def compared(there, *, app="app", host="small-0", other="small-1", tasks=8, policy=None):
    """So many tasks fail on a node and end well on another one; the decisions on the failures."""
    decisions = []
    for number in range(tasks):
        failure = failed(f"{app}{number}", host, app=app)
        decision = decide(failure, there.history, policy or Policy())
        there.observe(failure, decision)
        decisions.append(decision)
        there.succeed(f"{app}{number}", other, app=app)
        there.succeed(f"{app}-good{number}", other, app=app)
    return decisions


def denials(decisions):
    return [decision.deny_hosts for decision in decisions if decision.deny_hosts]


def test_the_denial_says_of_which_app_and_until_when(world):
    decisions = compared(world())
    assert denials(decisions) == [{"small-0": NOW + 60.0}]
    assert [decision.deny_app for decision in decisions if decision.deny_hosts] == ["app"]


def test_failures_of_what_ran_already_when_a_node_was_denied_add_nothing(world):
    there = world()
    assert len(denials(compared(there, tasks=30))) == 1
    assert there.history.denials.get("small-0", "r", "app").times == 1


def test_each_denial_is_longer_than_the_one_before_up_to_a_cap(world):
    there, time, seconds = world(), NOW, []
    compared(there)
    for number in range(7):
        known = there.history.denials.get("small-0", "r", "app")
        seconds.append(known.until - known.since)
        time = known.until + 1
        failure = failed(f"again{number}", "small-0", time=time)
        there.observe(failure, decide(failure, there.history, Policy()))
    assert seconds == [60.0, 120.0, 240.0, 480.0, 960.0, 1_800.0, 1_800.0]


def test_tasks_that_failed_elsewhere_too_are_no_evidence(world):
    there = world()
    for number in range(12):
        for host in ("small-0", "small-1"):
            failure = failed(number, host)
            failure = replace(failure, try_id=("small-0", "small-1").index(host))
            decision = decide(failure, there.history, Policy())
            assert decision.deny_hosts == {}
            there.observe(failure, decision)
        there.succeed(f"good{number}", "small-1")


def test_nodes_of_another_executor_are_not_compared_with(world):
    """What fails in the small pool for want of memory, and ends well in the large one, is no fault of a node."""
    there = world(nodes=2)
    for number in range(30):
        failure = failed(number, f"small-{number % 2}")
        decision = decide(failure, there.history, Policy())
        assert decision.deny_hosts == {}
        there.observe(failure, decision)
        for task in (str(number), f"good{number}"):
            large = {"run_id": "r", "task_id": task, "time": NOW, "app": "app", "executor": "large", "host": "large-0"}
            there.observe(Task(**large, state="running"), Task(**large, state="exec_done"))
    assert there.history.comparison("r", "large", "app") is None
    assert there.history.comparison("r", "small", "app").good == 0


def test_one_task_that_fails_again_and_again_on_a_node_counts_once(world):
    there = world()
    for number in range(5):
        failure = replace(failed("1", "small-0"), try_id=number)
        there.observe(failure, decide(failure, there.history, policy_from(None)))
    assert there.history.comparison("r", "small", "app").bad == 1


@pytest.mark.parametrize("category", ["preempted", "manager_lost", "serialization", "dependency_failed", "lost_task"])
def test_what_says_nothing_of_a_living_node_is_held_against_none(world, category):
    there = world()
    for number in range(12):
        failure = failed(number, "small-0", category=category, layer="resource_pool")
        decision = decide(failure, there.history, Policy())
        assert decision.deny_hosts == {}
        there.observe(failure, decision)
        there.succeed(str(number), "small-1")
        there.succeed(f"good{number}", "small-1")


def test_a_pool_that_cannot_be_steered_denies_no_node(world):
    assert denials(compared(world(steerable=False))) == []


def test_what_was_only_recorded_denies_no_node(world):
    there = world()
    decisions = compared(there, policy=policy_from(None, mode="passive"))
    assert denials(decisions)
    assert there.history.denied_hosts(NOW, "r") == {}
    assert there.history.denials.current_by_app(NOW, "r") == {}


def test_the_nodes_of_one_run_are_not_compared_with_those_of_another(world):
    there = world()
    compared(there)
    there.begin("another", nodes=3)
    failure = replace(failed("x", "small-0"), run_id="another")
    assert decide(failure, there.history, Policy()).deny_hosts == {}


def test_a_denial_that_the_comparison_no_longer_bears_out_is_taken_back(world):
    there = world()
    compared(there)
    decisions = []
    for number in range(60):
        failure = failed(f"late{number}", "small-1")
        decision = decide(failure, there.history, Policy())
        there.observe(failure, decision)
        decisions.append(decision)
    lifted = [decision for decision in decisions if decision.deny_hosts]
    assert [(one.deny_hosts, one.deny_app) for one in lifted] == [({"small-0": NOW}, "app")]
    assert there.history.denials.current_by_app(NOW, "r") == {}


def test_it_is_not_taken_back_for_one_failure_elsewhere(world):
    there = world()
    compared(there, tasks=7)  # just enough for the level
    failure = failed("late", "small-1")
    assert decide(failure, there.history, Policy()).deny_hosts == {}


def test_what_a_person_denied_is_not_taken_back(world):
    there = world()
    person = {"run_id": "r", "task_id": "*", "action": "deny", "decider": "person", "serial": "x"}
    for app in ("", "app"):
        there.observe(Decision(**person, time=NOW, deny_hosts={"small-0": NOW + 60}, deny_app=app))
    for number in range(30):
        failure = failed(number, "small-1")
        there.observe(failure, decide(failure, there.history, Policy()))
        there.succeed(f"good{number}", "small-0")
    assert there.history.denied_hosts(NOW, "r") == {"small-0": NOW + 60}
    assert there.history.is_denied("small-0", NOW, "r", "app")


# -- a node that says itself what is wrong ----------------------------------------------------------------------------


def full(host="small-0", *, task=1, left=1, **fields):
    """A disk that is full, with so many GB left of 1,000."""
    node = NodeState(time=NOW, disk_total=1_000 * GB, disk_free=left * GB)
    return failed(task, host, category="disk_full", layer="runtime", node=node, **fields)


def test_a_node_that_reports_a_full_disk_is_denied_to_all_for_seconds(world):
    decision = decide(full(), world().history, Policy())
    assert (decision.deny_hosts, decision.deny_app) == ({"small-0": NOW + 5.0}, "")


def test_it_is_denied_for_longer_each_time_up_to_the_duration(world):
    there, time, seconds = world(), NOW, []
    for number in range(6):
        decision = decide(full(task=number, time=time), there.history, Policy())
        there.observe(full(task=number, time=time), decision)
        seconds.append(round(decision.deny_hosts["small-0"] - time, 3))
        time += seconds[-1] + 1
    assert seconds == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


@pytest.mark.parametrize(
    ("failure", "rules"),
    [
        (full(left=11), DenyPolicy()),  # the quota is used up, not the disk
        (replace(full(), node=None), DenyPolicy()),
        (full(), DenyPolicy(cooldown=0.0)),
        (replace(full(), categorization=failed(1, "small-0").categorization), DenyPolicy()),
    ],
    ids=["not full", "not reported", "not wanted", "another failure"],
)
def test_without_the_nodes_own_report_none_is(world, failure, rules):
    assert decide(failure, world().history, Policy(deny=rules)).deny_hosts == {}


def test_where_the_others_are_full_as_well_none_is(world):
    """It is a file system that they share."""
    there = world()
    for number in range(3):
        there.observe(Heartbeat(run_id="r", time=NOW, host=f"small-{number}", executor="small", node=full().node))
    assert decide(full(), there.history, Policy()).deny_hosts == {}


def test_the_only_node_is_never_denied(world):
    assert decide(full(), world(nodes=1).history, Policy()).deny_hosts == {}


def test_the_floor_counts_living_nodes(world):
    there = world(nodes=4)
    for number in (2, 3):
        lost = Heartbeat(run_id="r", time=NOW + 0.1, host=f"small-{number}", component="manager", state="lost")
        there.observe(lost)
    first = decide(full(time=NOW + 1), there.history, Policy())
    assert first.deny_hosts == {"small-0": NOW + 6.0}
    there.observe(full(time=NOW + 1), first)
    assert decide(full("small-1", task=2, time=NOW + 1), there.history, Policy()).deny_hosts == {}


def test_the_floor_of_a_denial_to_all_counts_what_is_denied_to_single_apps(world):
    there = world(nodes=3)
    compared(there, host="small-1", other="small-2")
    assert there.history.is_denied("small-1", NOW, "r", "app")
    assert decide(full(), there.history, Policy()).deny_hosts == {}, "the app would have one node of three"


def test_a_denied_node_is_where_no_retry_stays(world):
    there = world(nodes=2)
    there.observe(Decision(run_id="r", time=NOW, task_id="9", action="retry", deny_hosts={"small-1": NOW + 3}))
    decision = decide(failed("1", "small-0"), there.history, Policy())
    assert [rung.reason for rung in decision.considered if rung.name == "other_node"] == [
        "the other 1 known nodes of executor 'small' were tried, are denied or down"
    ]
    assert decision.placement.rung == "same_node"


def test_a_node_that_is_denied_to_another_app_gets_retries(world):
    there = world(nodes=2)
    denial = Decision(run_id="r", time=NOW, task_id="9", action="retry", deny_hosts={"small-1": NOW + 3}, deny_app="b")
    there.observe(denial)
    assert decide(failed("1", "small-0"), there.history, Policy()).placement.rung == "other_node"
    assert decide(failed("1", "small-0", app="b"), there.history, Policy()).placement.rung == "same_node"


def test_standings_tell_denials_to_all_and_to_single_apps(world):
    there = world()
    compared(there)
    there.observe(full("small-1"), decide(full("small-1", app="other"), there.history, Policy()))
    stand = there.history.standing("r", "small", NOW)
    assert stand.denied_for == {"app": {"small-0": NOW + 60.0}}
    assert stand.denied == {}, "one of three stays for the app: the floor"
    there.observe(Task(run_id="r", task_id="z", time=NOW, state="pending"))
    assert there.history.standing("r", "small", NOW + 61).denied_for == {}
