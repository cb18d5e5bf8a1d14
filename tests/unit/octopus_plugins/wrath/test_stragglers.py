from __future__ import annotations

import pytest

from octopus_plugins.events import Heartbeat, Task
from octopus_plugins.wrath import History, Overdue, Policy, StragglerPolicy, overdue
from octopus_plugins.wrath.history.run_times import REMEMBERED, RunTimes

NOW = 1_700_000_000.0
DEFAULT = Policy()


def ran(history, task_id, seconds, *, app="app", host="h"):
    place = {"run_id": "r", "task_id": task_id, "app": app, "executor": "small"}
    history.observe(Task(**place, time=NOW, state="running", host=host))
    history.observe(Task(**place, time=NOW + seconds, state="running_ended", host=host))
    history.observe(Task(**place, time=NOW + seconds, state="exec_done"))


@pytest.fixture
def history():
    known = History()
    known.observe(Heartbeat(run_id="r", time=NOW, host="h", period=2.0, executor="small"))
    for number, seconds in enumerate((1.0, 2.0, 1.5)):
        ran(known, str(number), seconds)
    return known


def ask(history, *, after=20.0, policy=DEFAULT, **other):
    asked = {"run_id": "r", "app": "app", "host": "h", "started": NOW, "time": NOW + after}
    return overdue(history, policy, **(asked | other))


def test_a_try_far_beyond_its_apps_time_on_a_silent_node_is_overdue(history):
    assert ask(history) == Overdue(ran=20.0, usual=2.0, silent=20.0)


def test_a_node_that_is_heard_has_time(history):
    history.observe(Heartbeat(run_id="r", time=NOW + 17, host="h", period=2.0, executor="small"))
    assert ask(history) is None
    assert ask(history, after=23.0) == Overdue(ran=23.0, usual=2.0, silent=6.0)


def test_a_try_within_its_apps_time_has_time_on_a_silent_node(history):
    ran(history, "9", 7.0)
    assert ask(history) is None
    assert ask(history, after=21.0) == Overdue(ran=21.0, usual=7.0, silent=21.0)


@pytest.mark.parametrize(
    "other",
    [{"app": None}, {"app": "other"}, {"host": None}, {"host": "other"}, {"started": None}],
    ids=lambda other: "-".join(f"{key}={value}" for key, value in other.items()),
)
def test_what_is_not_known_is_not_overdue(history, other):
    assert ask(history, **other) is None


@pytest.mark.parametrize(
    ("rules", "first"),
    [({"minimum": 30.0}, 30.0), ({"silence": 40.0}, 40.0), ({"factor": 25.0}, 50.0), ({"silence": 1.0}, 6.0)],
)
def test_the_policy_says_how_far_and_how_silent(history, rules, first):
    policy = Policy(stragglers=StragglerPolicy(**rules))
    assert ask(history, after=first - 0.1, policy=policy) is None
    assert ask(history, after=first, policy=policy) is not None


def test_a_policy_may_wait_for_the_framework(history):
    assert ask(history, policy=Policy(stragglers=StragglerPolicy(enabled=False))) is None


def test_three_run_times_must_be_known():
    history = History()
    history.observe(Heartbeat(run_id="r", time=NOW, host="h", period=2.0, executor="small"))
    for number in range(3):
        assert ask(history) is None
        ran(history, str(number), 1.0)
    assert ask(history) is not None


def test_only_what_ended_well_is_a_run_time():
    history = History()
    place = {"run_id": "r", "task_id": "1", "app": "app", "executor": "small", "host": "h"}
    history.observe(Task(**place, time=NOW, state="running"))
    history.observe(Task(**place, time=NOW + 1, state="running_ended"))
    history.observe(Task(**place, time=NOW + 1, state="failed"))
    assert history.run_times("app") is None


def test_a_bounded_number_of_run_times_is_remembered_the_latest_ones():
    times = RunTimes()
    for number in range(10 * REMEMBERED):
        times.add(float(number))
    assert (len(times), times.longest) == (REMEMBERED, 10.0 * REMEMBERED - 1)
