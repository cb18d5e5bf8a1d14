"""``octopus decide``: what a person decides."""

from __future__ import annotations

import getpass
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from octopus_plugins import OctopusConfig, decisions
from octopus_plugins.cli import cli
from octopus_plugins.events import ANY, Decision, Run, Task
from octopus_plugins.fabric import Emitter
from octopus_plugins.services import DecisionInbox


@pytest.fixture(autouse=True)
def environment(config: OctopusConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOPUS_BOOTSTRAP_SERVERS", config.servers)
    monkeypatch.setenv("OCTOPUS_NAMESPACE", config.namespace)
    monkeypatch.setenv("OCTOPUS_SPOOL_DIR", str(config.spool_dir))


def octopus(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def published(config: OctopusConfig, *arguments: str) -> tuple[Decision, str]:
    result = octopus("decide", *arguments)
    assert result.exit_code == 0, result.output
    (found,) = decisions(config=config)
    return found, result.stdout


RUN = "0123abcd-0000-4000-8000-000000000000"


@pytest.fixture
def begun(emitter: Emitter) -> None:
    """Two runs and a task of each."""
    for run, task in (("r1", "12"), (RUN, "7")):
        emitter.emit(Run(run_id=run, time=1.0, state="started"))
        emitter.emit(Task(run_id=run, task_id=task, time=2.0, framework="parsl", state="launched"))
    assert emitter.flush(10)


@pytest.mark.usefixtures("begun")
def test_a_run_is_terminated(config: OctopusConfig) -> None:
    found, said = published(config, "terminate", "--run", "r1", "--reason", "wrong input.")
    assert (found.run_id, found.task_id, found.action, found.halts_run) == ("r1", ANY, "terminate", True)
    assert (found.decider, found.category) == ("person", "halted")
    assert found.reason.startswith(f"the run was given up by {getpass.getuser()}@")
    assert found.reason.endswith(": wrong input")
    assert f"{config.namespace}.decisions" in said
    assert "within a second" in said


@pytest.mark.usefixtures("begun")
def test_a_single_task_is_terminated(config: OctopusConfig) -> None:
    found, said = published(config, "terminate", "--run", "r1", "--task", "12")
    assert (found.task_id, found.halts_run) == ("12", False)
    assert "Task 12 of run r1" in said


def test_the_newest_run_can_be_meant(config: OctopusConfig, emitter: Emitter) -> None:
    emitter.emit(*(Run(run_id=f"r{number}", time=float(number), state="started") for number in (1, 3, 2)))
    assert emitter.flush(10)
    found, _ = published(config, "terminate", "--run", "last")
    assert found.run_id == "r3"


def test_a_node_is_denied_for_a_while_in_all_runs(config: OctopusConfig) -> None:
    found, said = published(config, "deny", "--host", "n17", "--for", "30m", "--reason", "broken GPU")
    assert (found.run_id, found.task_id, found.action) == (ANY, ANY, "deny")
    assert abs(found.deny_hosts["n17"] - time.time() - 1800) < 60
    assert "n17 gets no new tasks in all runs until" in said
    assert "octopus decide allow --host n17" in said


@pytest.mark.usefixtures("begun")
def test_a_node_is_allowed_again_in_one_run(config: OctopusConfig) -> None:
    found, said = published(config, "allow", "--host", "n17", "--run", "r1")
    assert (found.run_id, found.action, list(found.deny_hosts)) == ("r1", "allow", ["n17"])
    assert "n17 gets tasks again in run r1" in said


@pytest.mark.usefixtures("begun")
def test_decisions_of_people_are_listed_with_the_others(config: OctopusConfig) -> None:
    published(config, "deny", "--host", "n17")
    octopus("decide", "terminate", "--run", "r1")
    listed = octopus("decisions")
    assert listed.exit_code == 0
    shown = " ".join(listed.stdout.split())
    assert "all – person – deny n17" in shown
    assert f"n17 was denied for 1 h 0 min by {getpass.getuser()}@" in shown
    assert "the run was given up by" in shown
    assert len(octopus("decisions", "--action", "deny", "--json").stdout.splitlines()) == 1
    assert max(len(line) for line in listed.stdout.splitlines()) <= 100


def test_the_same_decision_can_be_made_again(config: OctopusConfig) -> None:
    for _ in range(2):
        assert octopus("decide", "deny", "--host", "n17").exit_code == 0
    assert len(list(decisions(config=config))) == 2


@pytest.mark.usefixtures("begun")
def test_as_json_it_says_what_was_published() -> None:
    result = octopus("decide", "terminate", "--run", "r1", "--json")
    assert result.exit_code == 0
    said: dict[str, Any] = json.loads(result.stdout)
    assert (said["type"], said["action"], said["decider"]) == ("octopus.decision/v1", "terminate", "person")


@pytest.mark.usefixtures("begun")
def test_a_run_is_known_by_the_beginning_of_its_id(config: OctopusConfig) -> None:
    found, said = published(config, "terminate", "--run", RUN[:8], "--task", "7")
    assert (found.run_id, found.task_id) == (RUN, "7")
    assert f"Task 7 of run {RUN}" in said


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["terminate", "--run", "r2"], "there is no run 'r2'"),
        (["terminate", "--run", RUN.replace("0123", "3210")], "there is no run '3210abcd-"),
        (["terminate", "--run", RUN[:7]], f"there is no run '{RUN[:7]}'"),
        (["terminate", "--run", "r1", "--task", "13"], "run r1 has no task '13'"),
        (["terminate", "--run", "over"], "run over ended at"),
        (["terminate", "--run", "r1", "--task", "done"], "task done of run r1 has ended (exec_done)"),
        (["deny", "--host", "n1", "--run", "r2"], "there is no run 'r2'"),
        (["allow", "--host", "n1", "--run", "over"], "run over ended at"),
    ],
)
def test_what_does_not_exist_or_has_ended_is_not_decided_about(
    config: OctopusConfig, emitter: Emitter, arguments: list[str], said: str
) -> None:
    emitter.emit(Run(run_id="over", time=1.0, state="started"), Run(run_id="over", time=2.0, state="ended"))
    emitter.emit(Task(run_id="r1", task_id="done", time=3.0, framework="parsl", state="exec_done"))
    assert emitter.flush(10)
    result = octopus("decide", *arguments)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert list(decisions(config=config)) == []


def test_what_is_not_in_the_topics_can_be_decided_about_on_demand(config: OctopusConfig) -> None:
    found, _ = published(config, "terminate", "--run", "r9", "--task", "1", "--unseen")
    assert (found.run_id, found.task_id) == ("r9", "1")


@pytest.mark.parametrize(
    "arguments",
    [
        ["terminate"],
        ["terminate", "--run", "last"],
        ["deny"],
        ["deny", "--host", "n1", "--for", "a while"],
        ["deny", "--host", "n1", "--for", "2d"],
        ["deny", "--host", "n1", "--for", "0s"],
        ["allow"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error_and_publishes_nothing(
    config: OctopusConfig, arguments: list[str]
) -> None:
    result = octopus("decide", *arguments)
    assert result.exit_code == 2, result.output
    assert list(decisions(config=config)) == []


def test_it_fails_when_the_broker_does_not_take_it(monkeypatch: pytest.MonkeyPatch, config: OctopusConfig) -> None:
    monkeypatch.setenv("OCTOPUS_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("OCTOPUS_CONNECT_TIMEOUT", "1")
    result = octopus("decide", "terminate", "--run", "r1")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("octopus: no Kafka broker answers at 127.0.0.1:1")
    assert list(decisions(config=config)) == [], "and nothing is sent later"
    assert not config.spool_dir.exists()


def test_a_run_hears_of_it_within_a_second(config: OctopusConfig, wait_for: Callable[..., None]) -> None:
    heard: list[tuple[float, Decision]] = []
    inbox = DecisionInbox(config, "r1", lambda one: heard.append((time.time(), one)))
    inbox.start()
    try:
        for number in range(8):
            assert octopus("decide", "deny", "--host", f"n{number}").exit_code == 0
            wait_for(lambda: len(heard) > number)  # noqa: B023
    finally:
        inbox.close()
    assert [list(one.deny_hosts) for _, one in heard] == [[f"n{number}"] for number in range(8)]
    # From before it was published; the first may find the inbox still connecting, another a machine that stalls.
    assert statistics.median(at - one.time for at, one in heard[1:]) < 1.0
