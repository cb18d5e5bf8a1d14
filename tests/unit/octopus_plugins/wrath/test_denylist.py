"""Which nodes are denied to which app: by whom, until when, and how a node comes back."""

from __future__ import annotations

import pytest

from octopus_plugins.events import ANY, Decision
from octopus_plugins.wrath.history.denylist import Denials

NOW = 1_700_000_000.0


def denied(hosts, *, app="app", deny_app="", by="workflow", time=NOW, run_id="r", **fields):
    """A decision that denies nodes for so many seconds each."""
    person = {"task_id": ANY, "action": "deny", "serial": f"{time}"} if by == "person" else {}
    shared = {"run_id": run_id, "task_id": "1", "time": time, "action": "retry", "decider": by, "app": app}
    until = {host: time + seconds for host, seconds in hosts.items()}
    return Decision(**(shared | person | {"deny_hosts": until, "deny_app": deny_app} | fields))


def person(hosts, **fields):
    return denied(hosts, by="person", app=None, **fields)


def made(*decisions):
    denials = Denials()
    for decision in decisions:
        denials.observe(decision)
    return denials


# -- for one app ------------------------------------------------------------------------------------------------------


def test_a_node_that_is_denied_to_one_app_gets_the_others():
    denials = made(denied({"n0": 60}, deny_app="app"))
    assert denials.is_denied("n0", NOW, "r", "app")
    assert not denials.is_denied("n0", NOW, "r", "other")
    assert not denials.is_denied("n0", NOW, "r")
    assert denials.current(NOW, "r") == {}
    assert denials.current_by_app(NOW, "r") == {"app": {"n0": NOW + 60}}
    assert denials.probation(NOW + 61, "r") == (), "a node on probation gets one task of any app at a time"


def test_a_node_that_is_denied_to_every_app_is_to_each():
    denials = made(denied({"n0": 60}))
    assert denials.is_denied("n0", NOW, "r", "app")
    assert denials.is_denied("n0", NOW, "r", "other")
    assert denials.is_denied("n0", NOW, "r")
    assert denials.current_by_app(NOW, "r") == {}
    assert denials.probation(NOW + 61, "r") == ("n0",)


def test_of_a_denial_to_the_app_and_one_to_all_the_longer_holds_for_the_app():
    denials = made(denied({"n0": 60}, deny_app="app"), denied({"n0": 30}))
    assert denials.is_denied("n0", NOW + 45, "r", "app")
    assert not denials.is_denied("n0", NOW + 45, "r", "other")
    assert denials.closed("app", "r", NOW + 45) == {"n0"}
    assert denials.closed("other", "r", NOW + 45) == set()
    assert denials.closed("", "r", NOW + 45) == {"n0"}, "to any app at all"


def test_tasks_without_an_app_are_one_app():
    denials = made(denied({"n0": 60}, app=None))
    assert denials.is_denied("n0", NOW, "r", "")
    denials.succeed("r", "n0", NOW + 1, "")
    assert denials.is_denied("n0", NOW + 1, "r", ""), "one success is one"
    denials.succeed("r", "n0", NOW + 2, "")
    assert not denials.is_denied("n0", NOW + 2, "r", "")


# -- coming back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deny_app", ["", "app"])
def test_two_tries_in_a_row_that_end_well_lift_a_denial(deny_app):
    denials = made(denied({"n0": 60}, deny_app=deny_app))
    assert not denials.succeed("r", "n0", NOW + 1, "app")
    denials.fail("r", "n0", "app")
    assert not denials.succeed("r", "n0", NOW + 2, "app")
    assert denials.is_denied("n0", NOW + 2, "r", "app")
    assert denials.succeed("r", "n0", NOW + 3, "app")
    assert not denials.is_denied("n0", NOW + 3, "r", "app")
    assert denials.probation(NOW + 3, "r") == ()


def test_tries_that_ran_before_the_denial_lift_none():
    denials = made(denied({"n0": 60}, deny_app="app"))
    for number in range(9):
        denials.succeed("r", "n0", NOW + number, "app", started=NOW - 1)
    assert denials.is_denied("n0", NOW + 9, "r", "app")


def test_what_another_app_does_well_lifts_no_denial():
    denials = made(denied({"n0": 60}, deny_app="app"), denied({"n1": 60}))
    for host in ("n0", "n1"):
        for number in range(9):
            denials.succeed("r", host, NOW + number, "other")
        assert denials.is_denied(host, NOW + 9, "r", "app")


def test_after_the_end_of_a_denial_a_success_of_any_app_ends_the_probation():
    denials = made(denied({"n0": 60}))
    denials.succeed("r", "n0", NOW + 61, "other")
    assert denials.probation(NOW + 61, "r") == ()


def test_each_denial_in_a_row_counts_and_a_long_good_time_is_forgiven():
    denials = made(*(denied({"n0": 10}, deny_app="app", time=NOW + 20 * n) for n in range(3)))
    assert denials.get("n0", "r", "app").times == 3
    denials.succeed("r", "n0", NOW + 51, "app")
    denials.observe(denied({"n0": 10}, deny_app="app", time=NOW + 62))
    assert denials.get("n0", "r", "app").times == 1


def test_a_denial_that_was_not_borne_out_is_taken_back_alone():
    denials = made(denied({"n0": 60}, deny_app="a"), denied({"n0": 60}, deny_app="b"))
    denials.observe(denied({"n0": 0}, deny_app="a", time=NOW + 1))
    assert not denials.is_denied("n0", NOW + 1, "r", "a")
    assert denials.is_denied("n0", NOW + 1, "r", "b")


# -- people -----------------------------------------------------------------------------------------------------------


def test_nobody_lifts_what_a_person_denied_but_a_person():
    denials = made(person({"n0": 60}), person({"n1": 60}, run_id=ANY))
    for host in ("n0", "n1"):
        for number in range(5):
            denials.succeed("r", host, NOW + number, "app")
        denials.observe(denied({host: 0}, time=NOW + 6))
        assert denials.is_denied(host, NOW + 7, "r")
    denials.observe(person({"n0": 0, "n1": 0}, action="allow", time=NOW + 8))
    assert denials.current(NOW + 8, "r") == {}
    assert denials.current(NOW + 8, "another") == {"n1": NOW + 60}


def test_what_is_taken_back_for_one_app_leaves_a_persons_denial():
    denials = made(denied({"n0": 90}, deny_app="app"), person({"n0": 60}, run_id=ANY))
    denials.observe(denied({"n0": 0}, deny_app="app", time=NOW + 1))
    assert denials.is_denied("n0", NOW + 1, "r", "app")


@pytest.mark.parametrize("seconds", [30, 90])
def test_a_persons_denial_takes_the_place_of_a_longer_one_and_is_not_lengthened(seconds):
    denials = made(denied({"n0": 60}), person({"n0": seconds}), denied({"n0": 120}, time=NOW + 1))
    assert denials.get("n0", "r").by == "person"
    assert denials.current(NOW + 2, "r") == {"n0": NOW + seconds}


def test_a_node_that_a_person_denied_comes_back_with_a_task_of_any_app():
    denials = made(person({"n0": 60}))
    assert denials.probation(NOW + 61, "r") == ("n0",)
    denials.succeed("r", "n0", NOW + 62, "app")
    assert denials.probation(NOW + 62, "r") == ()


def test_a_person_may_deny_and_allow_a_node_for_one_app():
    denials = made(person({"n0": 60}, deny_app="app"))
    assert denials.is_denied("n0", NOW, "r", "app")
    assert not denials.is_denied("n0", NOW, "r", "other")
    denials.observe(person({"n0": 0}, deny_app="app", action="allow", time=NOW + 1))
    assert not denials.is_denied("n0", NOW + 1, "r", "app")


def test_to_allow_a_node_allows_every_app():
    denials = made(denied({"n0": 60}, deny_app="a"), denied({"n0": 60}, deny_app="b"), denied({"n0": 60}))
    denials.observe(person({"n0": 0}, action="allow", time=NOW + 1))
    assert not any(denials.is_denied("n0", NOW + 1, "r", app) for app in ("", "a", "b"))
    assert denials.probation(NOW + 100, "r") == ()
