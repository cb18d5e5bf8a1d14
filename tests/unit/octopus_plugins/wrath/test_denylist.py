from __future__ import annotations

import pytest
from msgspec.structs import replace
from parsl.executors.high_throughput.errors import WorkerLost

from octopus_plugins.events import Decision, Heartbeat
from octopus_plugins.wrath import Category, CategoryPolicy, DenyPolicy, Policy

NOW = 1_700_000_000.0
POLICY = Policy()


def no_disk():
    raise OSError(28, "No space left on device")


def import_absent():
    import octopus_no_such_module  # noqa: F401


def bug():
    return int("twelve")


def denial(decision):
    """Until when the nodes are denied, counted from the failure."""
    return {host: round(until - decision.time, 3) for host, until in decision.deny_hosts.items()}


def test_a_node_that_fails_fast_is_denied_at_its_first_failure_and_for_longer_each_time(fail, world, step):
    there, time, seconds = world(nodes=4), NOW, []
    for number in range(6):
        decision = step(there.history, fail(no_disk, task_id=str(number), time=time), POLICY)
        seconds.append(denial(decision)["small-0"])
        time += seconds[-1] + 0.1
    assert seconds == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


def test_the_cooldown_of_a_node_grows_to_the_duration(fail, world, step):
    there, time, policy = world(nodes=4), NOW, Policy(deny=DenyPolicy(duration=10.0))
    for number in range(6):
        decision = step(there.history, fail(no_disk, task_id=str(number), time=time), policy)
        time += 60.0
    assert denial(decision) == {"small-0": 10.0}


def test_failures_of_what_ran_already_when_a_node_was_denied_add_nothing(fail, world, step):
    there = world(nodes=4)
    found = [denial(step(there.history, fail(no_disk, task_id=str(n), time=NOW + n / 10), POLICY)) for n in range(6)]
    assert found == [{"small-0": 2.0}, {}, {}, {}, {}, {}]


def test_a_node_that_was_well_for_as_long_as_it_was_denied_is_forgiven(fail, world, step):
    there = world(nodes=4)
    step(there.history, fail(no_disk, task_id="1"), POLICY)
    step(there.history, fail(no_disk, task_id="2", time=NOW + 3), POLICY)
    there.succeed("7", "small-0", time=NOW + 8)
    step(there.history, fail(no_disk, task_id="3", time=NOW + 20), POLICY)
    assert denial(step(there.history, fail(no_disk, task_id="4", time=NOW + 21), POLICY)) == {"small-0": 2.0}


def test_one_failure_after_successes_leaves_a_node_in_use_and_the_second_does_not(fail, world, step):
    there = world(nodes=4)
    there.succeed("7", "small-0")
    assert denial(step(there.history, fail(no_disk, task_id="1"), POLICY)) == {}
    assert denial(step(there.history, fail(no_disk, task_id="2"), POLICY)) == {"small-0": 2.0}


def test_a_node_without_what_the_app_needs_is_denied_for_longer_each_time_up_to_a_cap(fail, world, step):
    there, time, seconds = world(nodes=4), NOW, []
    there.succeed("7", "small-1")
    for number in range(5):
        decision = step(there.history, fail(import_absent, task_id=str(number), time=time), POLICY)
        seconds.append(denial(decision)["small-0"])
        time += seconds[-1] + 1
    assert seconds == [900.0, 1800.0, 3600.0, 7200.0, 7200.0]


def test_proof_lengthens_a_cooldown(fail, world, step):
    there = world(nodes=4)
    assert denial(step(there.history, fail(import_absent, task_id="1"), POLICY)) == {"small-0": 2.0}
    there.succeed("7", "small-1")
    assert denial(step(there.history, fail(import_absent, task_id="2"), POLICY)) == {"small-0": 900.0}


def test_two_apps_that_fail_on_a_node_are_proof_against_it(fail, world, step):
    there = world(nodes=4)
    step(there.history, fail(import_absent, task_id="1", app="a"), POLICY)
    decision = step(there.history, fail(import_absent, task_id="2", app="b"), POLICY)
    assert denial(decision) == {"small-0": 900.0}
    assert len(there.history.host("small-0").faulty_apps) == 2


def test_what_several_nodes_fail_at_once_is_held_against_none_and_lifts_what_was(fail, world, step):
    there = world(nodes=6)
    there.succeed("7", "small-5")
    found = [
        denial(step(there.history, fail(no_disk, task_id=str(n), host=f"small-{n}", time=NOW + n / 10), POLICY))
        for n in range(4)
    ]
    assert found == [{"small-0": 2.0}, {"small-1": 2.0}, {"small-0": 0.0, "small-1": 0.0}, {}]
    assert there.history.denied_hosts(NOW + 0.3, "r") == {}


def test_what_a_person_denied_is_not_lifted(fail, world, step):
    there = world(nodes=2)
    person = Decision(
        run_id="r", task_id="*", time=NOW, action="deny", decider="person", serial="x", deny_hosts={"small-0": NOW + 60}
    )
    there.observe(person)
    step(there.history, fail(import_absent, task_id="1"), POLICY)
    step(there.history, fail(import_absent, task_id="2", host="small-1"), POLICY)
    assert there.history.denied_hosts(NOW, "r") == {"small-0": NOW + 60}


def test_two_quick_losses_of_workers_in_a_row_deny_a_node_and_slow_ones_do_not(fail, world, step):
    def lost(number, seconds):
        return fail(WorkerLost(0, "small-0"), task_id=str(number), started=NOW - seconds, ended=NOW, app=f"app{number}")

    quick, slow = world(nodes=4), world(nodes=4)
    assert [denial(step(quick.history, lost(n, 0.01), POLICY)) for n in range(2)] == [{}, {"small-0": 2.0}]
    assert [denial(step(slow.history, lost(n, 60.0), POLICY)) for n in range(4)] == [{}, {}, {}, {}]


def test_bugs_that_fail_fast_deny_no_node(fail, world, step):
    there = world(nodes=4)
    for number in range(6):
        failure = fail(bug, task_id=str(number), started=NOW - 0.001, ended=NOW)
        assert denial(step(there.history, failure, POLICY)) == {}


def no_mount():
    return open("/no/such/mount/offset").read()  # noqa: PTH123


def test_inputs_that_are_missing_on_one_node_only_deny_it_at_the_third(fail, world, step):
    there = world(nodes=4)
    failures = [fail(no_mount, task_id=str(n), started=NOW - 0.001, ended=NOW) for n in range(3)]
    assert [denial(step(there.history, failure, POLICY)) for failure in failures] == [{}, {}, {"small-0": 2.0}]


def test_inputs_that_are_missing_everywhere_deny_no_node(fail, world, step):
    there = world(nodes=4)
    for number in range(8):
        failure = fail(no_mount, task_id=str(number), host=f"small-{number % 4}", started=NOW - 0.001, ended=NOW)
        assert denial(step(there.history, failure, POLICY)) == {}


def test_the_floor_counts_living_nodes(fail, world, step):
    there = world(nodes=4)
    for number in (2, 3):
        lost = Heartbeat(run_id="r", time=NOW + 0.1, host=f"small-{number}", component="manager", state="lost")
        there.observe(lost)
    assert denial(step(there.history, fail(no_disk, task_id="1", time=NOW + 1), POLICY)) == {"small-0": 2.0}
    assert denial(step(there.history, fail(no_disk, task_id="2", host="small-1", time=NOW + 1), POLICY)) == {}


def test_a_retry_waits_for_a_denied_node_rather_than_being_given_up(fail, world, step):
    there = world(nodes=2)
    there.observe(Decision(run_id="r", time=NOW, task_id="9", action="retry", deny_hosts={"small-1": NOW + 3}))
    decision = step(there.history, fail(import_absent), POLICY)
    assert (decision.action, decision.delay) == ("retry", 3.0)
    assert decision.considered[0].reason == "small-1 gets tasks again in 3.0 s"


@pytest.mark.parametrize("rules", [DenyPolicy(enabled=False), DenyPolicy(cooldown=0.0)])
def test_nodes_are_denied_on_suspicion_only_where_the_policy_says_so(fail, world, step, rules):
    there = world(nodes=4)
    assert denial(step(there.history, fail(no_disk), Policy(deny=rules))) == {}


def test_a_doomed_app_costs_the_nodes_nothing_once_it_is_known(fail, world, step):
    there = world(nodes=4)
    policy = Policy(categories={Category.module_missing: CategoryPolicy(maximum_attempts=9)})
    for number in range(4):
        step(there.history, fail(import_absent, try_id=number, host=f"small-{number}"), policy)
    assert there.history.denied_hosts(NOW, "r") == {}
    assert step(there.history, replace(fail(import_absent), task_id="2"), policy).deny_hosts == {}
