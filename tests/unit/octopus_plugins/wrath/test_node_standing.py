from __future__ import annotations

from octopus_plugins.events import ANY, Decision, Heartbeat, Run
from octopus_plugins.wrath import Policy, Standing

NOW = 1_700_000_000.0


def no_disk():
    raise OSError(28, "No space left on device")


def person(action, host, until=NOW + 60, *, run_id="r", time=NOW):
    return Decision(
        run_id=run_id,
        task_id=ANY,
        time=time,
        action=action,
        decider="person",
        serial=f"{action}{time}",
        deny_hosts={host: until},
    )


def deny(host, seconds=2.0, *, time=NOW):
    """A decision of the workflow on a task that denies a node."""
    return Decision(
        run_id="r", task_id="1", time=time, action="retry", app="app", category="x", deny_hosts={host: time + seconds}
    )


def test_nothing_known_is_nothing_said(world):
    assert world(nodes=3).history.standing("r", "small", NOW) == Standing()


def test_a_denied_node_comes_back_on_probation_until_a_task_ends_well_on_it(world):
    there = world(nodes=3)
    there.observe(deny("small-0"))
    stand = there.history.standing("r", "small", NOW + 1)
    assert (stand.denied, stand.probation) == ({"small-0": NOW + 2}, ())
    stand = there.history.standing("r", "small", NOW + 2)
    assert (stand.denied, stand.probation) == ({}, ("small-0",))
    there.succeed("7", "small-0", time=NOW + 1.5)  # one success while it is denied is not enough
    assert there.history.standing("r", "small", NOW + 3).probation == ("small-0",)
    there.succeed("8", "small-0", time=NOW + 4)
    assert there.history.standing("r", "small", NOW + 4).probation == ()


def test_scores_fall_with_failures_that_are_the_nodes_and_recover_with_time(fail, world, step):
    there = world(nodes=3)
    there.succeed("7", "small-1")
    step(there.history, fail(no_disk), Policy())
    step(there.history, fail(lambda: int("x"), task_id="2", host="small-1"), Policy())
    scores = there.history.standing("r", "small", NOW).scores
    assert scores == {"small-0": 0.5, "small-1": 1.0}
    later = there.history.standing("r", "small", NOW + 6_000).scores
    assert 0.99 < later["small-0"] < 1.0


def test_a_persons_denial_holds_in_its_run_or_in_all(world):
    there = world(nodes=3)
    there.observe(person("deny", "small-0"), person("deny", "small-1", run_id=ANY))
    assert there.history.denied_hosts(NOW, "r") == {"small-0": NOW + 60, "small-1": NOW + 60}
    assert there.history.denied_hosts(NOW, "another") == {"small-1": NOW + 60}


def test_a_person_lets_a_node_off_with_no_probation(world):
    there = world(nodes=3)
    there.observe(person("deny", "small-0"), person("allow", "small-0", time=NOW + 1))
    assert there.history.standing("r", "small", NOW + 1) == Standing()


def test_a_node_denied_to_all_can_be_allowed_for_one_run(world):
    there = world(nodes=3)
    there.observe(person("deny", "small-0", run_id=ANY), person("allow", "small-0", time=NOW + 1))
    assert there.history.denied_hosts(NOW + 1, "r") == {}
    assert there.history.denied_hosts(NOW + 1, "another") == {"small-0": NOW + 60}
    there.observe(person("deny", "small-0", run_id=ANY, time=NOW + 2, until=NOW + 90))
    assert there.history.denied_hosts(NOW + 2, "r") == {"small-0": NOW + 90}


def test_allowing_a_node_for_all_runs_lifts_what_each_denied(world):
    there = world(nodes=3)
    there.observe(deny("small-0", 60.0))
    assert there.history.standing("r", "small", NOW + 1).denied == {"small-0": NOW + 60}
    there.observe(person("allow", "small-0", run_id=ANY, time=NOW + 1))
    assert there.history.standing("r", "small", NOW + 1).denied == {}


def test_the_denials_of_a_run_end_with_it(world):
    there = world(nodes=3)
    there.observe(deny("small-0"))
    assert there.history.denied_hosts(NOW, "r") == {"small-0": NOW + 2}
    there.observe(Run(run_id="r", time=NOW, state="ended"))
    assert there.history.denied_hosts(NOW, "r") == {}


def test_what_was_only_recorded_changes_no_standing(world):
    there = world(nodes=3)
    there.observe(
        Decision(run_id="r", task_id=ANY, time=NOW, action="deny", mode="passive", deny_hosts={"small-0": NOW + 9})
    )
    assert there.history.standing("r", "small", NOW).denied == {}


def test_the_host_of_a_decider_is_no_node(world):
    there = world(nodes=1)
    there.observe(Heartbeat(run_id=ANY, time=NOW, host="login-1", component="decider", executor="small"))
    assert there.history.host("login-1") is None
    assert there.history.errors == 0
