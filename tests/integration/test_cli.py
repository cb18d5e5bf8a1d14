"""The ``octopus`` command against a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from octopus_plugins import OctopusConfig
from octopus_plugins.cli import cli
from octopus_plugins.events import Decision, Task, encode
from octopus_plugins.fabric import Emitter, topic_name

from .story import LONG, RUN, failure, new_run, old_run

COMMAND = [sys.executable, "-m", "octopus_plugins.cli"]


@pytest.fixture
def environment(config: OctopusConfig, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of the test's broker, for this process and for those that it starts."""
    settings = {
        "OCTOPUS_BOOTSTRAP_SERVERS": config.servers,
        "OCTOPUS_NAMESPACE": config.namespace,
        "OCTOPUS_SPOOL_DIR": str(config.spool_dir),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **settings}


@pytest.fixture
def told(environment: dict[str, str], emitter: Emitter) -> Iterator[dict[str, str]]:
    """A broker that holds two runs."""
    now = time.time()
    emitter.emit(*old_run(now), *new_run(now))
    assert emitter.flush(10)
    yield environment


def octopus(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("told")
def test_failures_are_a_table_that_fits_100_columns() -> None:
    result = octopus("failures", "--run-id", "last")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["When", "Task", "Try", "App", "Where", "Category", "Why"]
    assert "small-0" in result.stdout
    assert "memory exhausted on" in result.stdout
    assert lines[-1] == f"run {RUN}"
    assert max(len(line) for line in lines) <= 100
    assert "\x1b" not in result.stdout


@pytest.mark.usefixtures("told")
def test_a_table_of_several_runs_says_which() -> None:
    lines = octopus("failures").stdout.splitlines()
    assert lines[0].split()[:2] == ["When", "Run"]
    assert any("old" in line for line in lines)
    assert any(RUN[:8] in line for line in lines)


@pytest.mark.usefixtures("told")
def test_json_is_one_complete_object_a_line() -> None:
    found = records(octopus("failures", "--json"))
    assert [one["categorization"]["category"] for one in found] == ["code_error", "memory_exhausted", "code_error"]
    assert found[1]["type"] == "octopus.failure/v1"
    assert found[1]["id"] == f"{RUN}/1/0/failure"
    assert found[1]["try_id"] == 0
    assert found[1]["signal"] is None


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["failures", "--run", "last"], 2),
        (["failures", "--layer", "runtime", "--layer", "application", "--since", "1h"], 2),
        (["failures", "--category", "memory_exhausted", "--host", "small-0", "--app", "simulate"], 1),
        (["failures", "--until", "1h", "--limit", "5"], 1),
        (["decisions", "--action", "terminate"], 1),
        (["decisions", "--executor", "small"], 2),
        (["tasks", "--task", "1", "--state", "exec_done"], 1),
        (["tasks"], 6),
        (["runs", "--since", "1h"], 2),
    ],
)
def test_filters_are_those_of_the_streams(arguments: list[str], number: int) -> None:
    assert len(records(octopus(*arguments, "--json"))) == number


@pytest.mark.usefixtures("told")
def test_decisions_say_what_and_why() -> None:
    shown = " ".join(octopus("decisions").stdout.split())
    assert "terminate" in shown
    assert "people read the end of it too" in shown


@pytest.mark.usefixtures("told")
def test_tasks_are_shown_with_their_last_state() -> None:
    lines = octopus("tasks", "--run-id", RUN).stdout.splitlines()
    assert len([line for line in lines if "exec_done" in line or "failed" in line]) == 2
    assert not any("pending" in line for line in lines)


@pytest.mark.usefixtures("told")
def test_runs_are_shown_with_their_whole_id() -> None:
    lines = octopus("runs").stdout.splitlines()
    (line,) = [line for line in lines if RUN in line]
    assert line.split()[-2:] == ["1", "1"]
    assert lines[0].split()[-2:] == ["Done", "Failed"]


@pytest.mark.usefixtures("environment")
def test_nothing_found_says_what_was_looked_for_where_and_what_to_try(config: OctopusConfig) -> None:
    result = octopus("failures", "--category", "disk_full")
    assert result.exit_code == 0
    assert result.stdout == ""
    for part in (f"{config.namespace}.failures", config.servers, "profile local", "category=disk_full", "octopus runs"):
        assert part in result.stderr


@pytest.mark.usefixtures("told")
def test_explain_tells_the_story_of_a_task_in_order() -> None:
    result = octopus("explain", "last", "1")
    assert result.exit_code == 0
    told = " ".join(result.stdout.split())
    in_order = [
        "Task 1 (simulate) ended well after 2 tries, in 8.0 s; before that, it failed: memory exhausted on small-0.",
        f"run {RUN}, submitted",
        "Try 0 on small-0 (small), block 0, worker 3, pid 4711",
        "0.0 s submitted",
        "1.0 s began",
        "2.0 s ✗ failed: memory_exhausted (runtime)",
        "MemoryError: Unable to allocate 1.2 GB at app.py:7 in f",
        "because of OSError: no memory",
        "evidence: rss 900.0 MB",
        "by rule memory_exhausted.type, confidence 0.95; affects the task; a retry can help",
        "2.1 s → decided: retry on other executor large after 2.0 s",
        "· same node: it has no more memory than before",
        "✓ other executor large: its workers have 4 GB each",
        "small-0 gets no new tasks for",
        "rule memory_exhausted.other_executor; charged 1 of 5 retries",
        "Try 1 on large-0 (large)",
        "4.5 s began 2.5 s after the failure, 2.0 s of it as decided",
        "8.0 s ✓ done",
    ]
    places = [told.find(part) for part in in_order]
    assert -1 not in places, in_order[places.index(-1)]
    assert places == sorted(places)
    assert max(len(line) for line in result.stdout.splitlines()) <= 100


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("command", [["explain", RUN, "1"], ["failures", "--run", RUN], ["tasks", "--run", RUN]])
def test_a_run_is_known_by_the_first_eight_characters_of_its_id(command: list[str]) -> None:
    short = [RUN[:8] if word == RUN else word for word in command]
    assert octopus(*short).stdout == octopus(*command).stdout != ""


def test_explain_tells_nothing_of_another_task_that_came_under_this_one_s_key(
    told: dict[str, str], config: OctopusConfig
) -> None:
    before = octopus("explain", RUN, "1").stdout
    producer = Producer({"bootstrap.servers": config.servers})
    other: dict[str, Any] = {"run_id": "other", "task_id": "1", "time": time.time(), "try_id": 7}
    key = f"{RUN}/1".encode()
    foreign = (Task(**other, state="failed"), Decision(**other, action="terminate", reason="not of this task"))
    for event in (*foreign, Task(**{**other, "run_id": RUN, "task_id": "2"}, state="failed")):
        producer.produce(topic_name(config, event.TOPIC), encode(event), key)
    assert producer.flush(10) == 0
    assert octopus("explain", RUN, "1").stdout == before


@pytest.mark.usefixtures("told")
def test_explain_cuts_nothing_short() -> None:
    assert LONG.strip() in " ".join(octopus("explain", RUN, "2").stdout.split())
    assert "Traceback (most recent call last)" in octopus("explain", RUN, "2", "--traceback").stdout


@pytest.mark.usefixtures("told")
def test_explain_of_a_task_that_does_not_exist_has_status_1() -> None:
    result = octopus("explain", "last", "77")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "task_id=77" in result.stderr


@pytest.mark.usefixtures("told")
def test_explain_gives_json_in_order() -> None:
    found = records(octopus("explain", RUN, "1", "--json"))
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)
    assert len(found) == 6


@pytest.mark.usefixtures("environment")
def test_topics_can_be_listed_and_created(config: OctopusConfig) -> None:
    missing = octopus("topics", "list")
    assert missing.exit_code == 1
    assert "octopus topics ensure" in missing.stderr
    assert f"{config.namespace}.decisions" in octopus("topics", "ensure").stdout
    assert octopus("topics", "ensure").stdout == f"All topics of {config.namespace} exist.\n"
    assert octopus("topics", "list").exit_code == 0


@pytest.mark.usefixtures("environment")
def test_topics_are_described_and_deleted_by_kafka_itself_where_it_is_not_octopus(config: OctopusConfig) -> None:
    octopus("topics", "ensure")
    (described,) = records(octopus("topics", "describe", f"{config.namespace}.failures", "--json"))
    assert described == {
        "name": "failures",
        "kafka_name": f"{config.namespace}.failures",
        "partitions": 1,
        "replicas": 1,
        "in_sync": 1,
    }
    assert len(octopus("topics", "describe").stdout.splitlines()) == 5
    assert octopus("topics", "delete", "failures", "--yes").stdout == f"Deleted {config.namespace}.failures.\n"
    listed = [json.loads(line) for line in octopus("topics", "list", "--json").stdout.splitlines()]
    assert {one["topic"]: one["exists"] for one in listed} == {
        "task-metrics": True,
        "heartbeats": True,
        "failures": False,
        "decisions": True,
    }
    assert "there is no topic" in octopus("topics", "describe", "failures").stderr
    assert octopus("topics", "delete", "fail ures", "--yes").exit_code == 2


@pytest.mark.usefixtures("environment")
def test_what_a_task_said_can_neither_steer_the_terminal_nor_break_the_output(emitter: Emitter) -> None:
    hostile = "\x1b[2J[/red][bold]\x9b31m:boom:\r"
    emitter.emit(failure(hostile, "1", time.time(), hostile, hostile, host=hostile, app=hostile))
    assert emitter.flush(10)
    for arguments in (["failures"], ["tail", "failures", "--limit", "1"], ["explain", hostile, "1"]):
        result = octopus(*arguments)
        assert result.exit_code == 0
        assert not set("\x1b\x9b\r") & set(result.stdout)
        assert "[/red][bold]" in "".join(result.stdout.split())
        assert ":boom:" in "".join(result.stdout.split())
    assert records(octopus("failures", "--json"))[0]["host"] == hostile


def test_an_unreachable_broker_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOPUS_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("OCTOPUS_CONNECT_TIMEOUT", "0.5")
    for arguments in (["failures"], ["tail"], ["explain", "r", "1"], ["topics", "list"]):
        result = octopus(*arguments)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("octopus: no Kafka broker answers at 127.0.0.1:1")


def test_what_a_dead_process_left_is_listed_and_replayed(environment: dict[str, str], config: OctopusConfig) -> None:
    script = f"""
import os, signal
from octopus_plugins import OctopusConfig, Run
from octopus_plugins.fabric import Emitter
emitter = Emitter(OctopusConfig.load(bootstrap_servers="127.0.0.1:1"))
emitter.emit(Run(run_id={RUN!r}, time=1.0, state="started"), Run(run_id={RUN!r}, time=2.0, state="ended"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == -signal.SIGKILL
    listed = octopus("spool", "list")
    assert listed.exit_code == 0
    assert listed.stdout.splitlines()[1].split()[-4] == "2"
    replayed = octopus("spool", "replay", "--timeout", "20")
    assert replayed.stdout == f"Delivered 2 records of 1 processes to {config.namespace}.\n"
    assert replayed.exit_code == 0
    assert [one["state"] for one in records(octopus("runs", "--json"))] == ["started", "ended"]
    assert "Nothing undelivered" in octopus("spool", "list").stdout


def test_the_embedded_broker_comes_up_and_goes_down() -> None:
    try:
        up = octopus("broker", "up")
        assert up.exit_code == 0
        assert "started at 127.0.0.1:" in up.output
        assert "runs already" in octopus("broker", "up").output
        assert octopus("broker", "status").exit_code == 0
        assert octopus("topics", "list").exit_code == 0
    finally:
        down = octopus("broker", "down")
    assert down.output == "The embedded broker is stopped.\n"
    assert octopus("broker", "status").exit_code == 1


def test_tail_shows_what_is_there_and_ends_quietly_on_ctrl_c(
    told: dict[str, str], tmp_path: Path, wait_for: Callable[..., None], emitter: Emitter
) -> None:
    shown = tmp_path / "shown"
    with shown.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "tail", "--since", "1h"], stdout=output, stderr=subprocess.PIPE, text=True, env=told
        )
        try:
            wait_for(lambda: "task 1 try 1 simulate exec_done" in shown.read_text())
            wait_for(lambda: "retry on other executor large" in shown.read_text())
            emitter.emit(failure(RUN, "9", time.time(), "disk_full", "runtime", host="small-1"))
            wait_for(lambda: "task 9 small-1: disk_full (runtime)" in shown.read_text())
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 0
    assert said.startswith("Watching task-metrics, failures, decisions of ")
    assert said.count("\n") == 1
    assert "resource" not in shown.read_text()
    assert "heartbeat" not in shown.read_text()


@pytest.mark.usefixtures("told")
def test_tail_can_be_limited_and_narrowed() -> None:
    found = records(octopus("tail", "heartbeats", "--since", "1h", "--limit", "1", "--json"))
    assert [one["type"] for one in found] == ["octopus.heartbeat/v1"]
    found = records(octopus("tail", "task-metrics", "--samples", "--since", "1h", "--limit", "10", "--json"))
    assert "octopus.resource/v1" in {one["type"] for one in found}
    found = records(octopus("tail", "failures", "--run-id", "last", "--since", "1w", "--limit", "2", "--json"))
    assert {one["run_id"] for one in found} == {RUN}


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(environment: dict[str, str], emitter: Emitter) -> None:
    emitter.emit(*(failure("r", str(number), 1.0, "disk_full", "runtime") for number in range(2000)))
    assert emitter.flush(10)
    for arguments in (["failures", "--json"], ["failures"]):
        process = subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        assert process.wait(60) == 0
        assert said == ""


def test_the_command_has_its_statuses_as_a_process_too(told: dict[str, str]) -> None:
    for arguments, status in ((["runs"], 0), (["explain", "last", "77"], 1), (["failures", "--since", "x"], 2)):
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=told, check=False)
        assert done.returncode == status
        assert "Traceback" not in done.stderr
