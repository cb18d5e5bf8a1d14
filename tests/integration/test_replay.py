"""`octopus wrath replay` and `octopus wrath record`, over topics and files."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from octopus_plugins.cli import cli
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import (
    ANY,
    Categorization,
    Decision,
    Event,
    ExceptionInfo,
    Failure,
    Heartbeat,
    Pool,
    Run,
    Task,
)
from octopus_plugins.fabric import Emitter
from octopus_plugins.streams.run_file import read_file, read_run, write_file
from octopus_plugins.wrath import History, Policy, decide
from octopus_plugins.wrath.policy.data import policy_to_data
from octopus_plugins.wrath.replay.replay import in_order

RUN = "9d0c7f5e-7d0c-4c39-bb8b-1f2f6f0a5f11"
MINE = Policy(name="mine", ladder=("small", "large"))


def recorded(now: float, run_id: str = RUN) -> list[Event]:
    """A run as its own process tells it: two tasks lose their worker, one of them for good."""
    history, events = History(), []

    def tell(*told: Event) -> None:
        for event in told:
            numbered = msgspec.structs.replace(event, order=len(events) + 1)
            history.observe(numbered)
            events.append(numbered)

    pools = tuple(Pool(label=label, steerable=True) for label in ("small", "large"))
    tell(Run(run_id=run_id, time=now, state="started", name="replayed"))
    tell(Run(run_id=run_id, time=now, state="configured", retries=3, pools=pools, policy=policy_to_data(MINE)))
    tell(Heartbeat(run_id=run_id, time=now, host="small-0", executor="small"))
    tell(Heartbeat(run_id=run_id, time=now, host="small-1", executor="small"))
    for task_id, tries in (("lost", 2), ("rescued", 1)):
        at: dict[str, Any] = {"run_id": run_id, "task_id": task_id, "app": "f", "executor": "small"}
        for attempt in range(tries):
            now += 1
            tell(Task(**at, time=now, try_id=attempt, state="launched"))
            failure = Failure(
                **at, time=now + 0.5, try_id=attempt, host=f"small-{attempt}",
                exception=ExceptionInfo(type="parsl.executors.high_throughput.errors.WorkerLost", message="lost"),
                categorization=Categorization(
                    layer="runtime", category="worker_lost", scope="worker", resolvable="yes", confidence=0.7,
                    rule="worker_lost.type", reason=f"the worker was ended on small-{attempt}",
                ),
            )  # fmt: skip
            tell(failure, decide(failure, history, MINE))
        ended = "failed" if task_id == "lost" else "exec_done"
        tell(Task(**at, time=now + 0.9, try_id=tries, state=ended))
    tell(Run(run_id=run_id, time=now + 1, state="ended"))
    return events


@pytest.fixture
def stern(tmp_path: Path) -> Path:
    """A policy that gives up every lost worker."""
    file = tmp_path / "stern.toml"
    file.write_text('[categories.worker_lost]\naction = "terminate"\n')
    return file


@pytest.fixture
def told(config: OctopusConfig, emitter: Emitter, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """A broker that holds the run, and another one."""
    for name, value in (
        ("OCTOPUS_PROFILE", "local"),
        ("OCTOPUS_BOOTSTRAP_SERVERS", config.servers),
        ("OCTOPUS_NAMESPACE", config.namespace),
    ):
        monkeypatch.setenv(name, value)
    events = recorded(time.time() - 60)
    emitter.emit(*recorded(time.time() - 3600, "another"), *events)
    assert emitter.flush(10)
    return events


def octopus(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("told")
def test_the_run_s_own_policy_gives_its_decisions_again_and_status_0() -> None:
    result = octopus("wrath", "replay", "--run", "last")
    assert (result.exit_code, result.stdout) == (0, "3 failures replayed; 3 decided the same, 0 differently.\n")
    assert "Policy 'mine', as the run recorded it; ladder small → large." in result.stderr


@pytest.mark.usefixtures("told")
def test_another_policy_is_shown_side_by_side_with_what_it_saves_and_costs(stern: Path) -> None:
    result = octopus("wrath", "replay", "--run", RUN, "--policy", stern)
    assert result.exit_code == 0
    assert "with the run's own ladder; ladder small → large." in result.stderr
    assert result.stdout.splitlines()[0].split() == [
        "Task", "Try", "Where", "Category", "In", "the", "run", "By", "stern",
    ]  # fmt: skip
    text = " ".join(result.stdout.split())
    assert "≠ lost 0 small-0 worker_lost retry on" in text
    assert "3 failures replayed; 0 decided the same, 3 with another effect." in text
    assert "3 retries saved, 0 added, 0 in another place" in text
    assert "3 would not have been made: 2 of them of tasks that failed all the same." in text
    assert "1 task that ended well in the run would have been given up." in text
    assert max(len(line) for line in result.stdout.splitlines()) <= 100


@pytest.mark.usefixtures("told")
def test_the_published_policy_is_known_by_its_name() -> None:
    result = octopus("wrath", "replay", "--run", RUN, "--policy", "published")
    assert result.exit_code == 0
    assert result.stderr.startswith("Policy 'published'")
    assert "the run's own ladder" in result.stderr


@pytest.mark.usefixtures("told")
def test_json_has_both_decisions_what_differs_and_the_summary(stern: Path) -> None:
    found = lines(octopus("wrath", "replay", "--run", RUN, "--policy", stern, "--json"))
    assert [one["decision"]["action"] for one in found[:-1]] == ["terminate"] * 3
    assert [one["recorded"]["action"] for one in found[:-1]] == ["retry"] * 3
    assert all("action" in one["differs"] for one in found[:-1])
    assert found[-1]["summary"]["retries_saved"] == 3
    assert len(lines(octopus("wrath", "replay", "--run", RUN, "--json"))) == 1
    assert len(lines(octopus("wrath", "replay", "--run", RUN, "--all", "--json"))) == 4


def test_a_recording_is_replayed_as_the_topics_are(told: list[Event], tmp_path: Path) -> None:
    for name in ("run.jsonl", "run.jsonl.gz"):
        file = tmp_path / name
        kept = octopus("wrath", "record", "--run", "last", "-o", file)
        assert kept.output == f"Wrote {len(told)} events of run {RUN} to {file}.\n"
        assert in_order(read_file(file)) == in_order(told)
        assert octopus("wrath", "replay", "--file", file).exit_code == 0
    first = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[0])
    assert (first["specversion"], first["type"]) == ("1.0", "octopus.run/v1")


def test_a_decision_that_does_not_come_out_again_is_status_1(told: list[Event], tmp_path: Path) -> None:
    def falsify(event: Event) -> Event:
        changed = isinstance(event, Decision) and event.task_id == "rescued"
        return msgspec.structs.replace(event, charge=7.0) if changed else event

    write_file(tmp_path / "run.jsonl", map(falsify, told))
    result = octopus("wrath", "replay", "--file", tmp_path / "run.jsonl")
    assert result.exit_code == 1
    assert "2 decided the same, 1 differently." in result.stdout
    assert "charge 7.0 → " in " ".join(result.stdout.split())


def test_what_is_missing_from_the_record_is_said(told: list[Event], tmp_path: Path) -> None:
    write_file(tmp_path / "run.jsonl", [event for event in told if not isinstance(event, Heartbeat)])
    assert "2 events that the run told are not in the record" in octopus(
        "wrath", "replay", "--file", tmp_path / "run.jsonl"
    ).stderr.replace("\n", " ")


def test_a_run_without_a_policy_is_replayed_with_the_built_in_one(told: list[Event], tmp_path: Path) -> None:
    bare = [msgspec.structs.replace(event, policy={}) if isinstance(event, Run) else event for event in told]
    write_file(tmp_path / "run.jsonl", bare)
    result = octopus("wrath", "replay", "--file", tmp_path / "run.jsonl", "--ladder", "small, large")
    assert result.exit_code == 0
    assert "The run recorded no policy: the built-in one is tried; ladder small → large." in result.stderr


def test_decisions_on_all_runs_belong_to_a_run_while_it_goes_on(
    told: list[Event], config: OctopusConfig, emitter: Emitter
) -> None:
    begin, end = told[0].time, told[-1].time
    common: dict[str, Any] = {"run_id": ANY, "task_id": ANY, "decider": "person"}
    emitter.emit(
        Decision(**common, time=begin - 9, action="deny", serial="over", deny_hosts={"n1": begin - 1}),
        Decision(**common, time=begin - 9, action="deny", serial="in force", deny_hosts={"n1": begin + 99}),
        Decision(**common, time=begin + 1, action="allow", serial="during", deny_hosts={"n1": 0.0}),
        Decision(**common, time=end + 9, action="deny", serial="later", deny_hosts={"n1": end + 99}),
    )
    assert emitter.flush(10)
    found = read_run(config, RUN)
    assert {event.serial for event in found if isinstance(event, Decision)} == {"", "in force", "during"}
    assert len(found) == len(told) + 2


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (["--run", "none-such"], "no events of run none-such in the topics of", 1),
        ([], "say which run", 2),
        (["--run", "last", "--policy", "/nowhere.toml"], "/nowhere.toml: the policy cannot be read", 2),
        (["--file", "/nowhere.jsonl"], "/nowhere.jsonl: the recording cannot be read", 1),
    ],
)
@pytest.mark.usefixtures("told")
def test_what_cannot_be_replayed_is_an_error_that_says_why(arguments: Sequence[str], said: str, status: int) -> None:
    result = octopus("wrath", "replay", *arguments)
    assert result.exit_code == status
    assert said in result.stderr


def test_a_file_that_is_no_recording_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    write_file(file, recorded(1_700_000_000.0)[:1])
    with file.open("a") as stream:
        stream.write("{}\n")
    result = octopus("wrath", "replay", "--file", file)
    assert result.exit_code == 1
    assert f"{file}, line 2: not a CloudEvents JSON object" in result.stderr


def test_a_file_with_several_runs_asks_which(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    write_file(file, [*recorded(1_700_000_000.0, "one"), *recorded(1_700_000_000.0, "two")])
    assert "has 2 runs; choose one with --run: one, two" in octopus("wrath", "replay", "--file", file).stderr
    assert octopus("wrath", "replay", "--file", file, "--run", "two").exit_code == 0
    assert "has no run 'three'" in octopus("wrath", "replay", "--file", file, "--run", "three").stderr
