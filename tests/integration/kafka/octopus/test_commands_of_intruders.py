"""No command gets Alice, with her own credentials, anything of Bob's: all commands there are, in three ways."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from octopus_plugins.cli import cli
from octopus_plugins.events import Task, Topic
from octopus_plugins.fabric import Emitter
from octopus_plugins.fabric.kafka.topics import kafka_topics

from ...standin.globus import StandinGlobus
from ...standin.service import StandinService
from ...story import LONG, RUN
from .conftest import NOTES
from .holdings import Holdings
from .intruders import Intruder
from .users import User

ATTEMPTS: dict[str, list[tuple[list[str], str]]] = {
    "decide allow": [(["--host", "small-0"], "create")],
    "decide deny": [(["--host", "small-0", "--for", "1h"], "create"), (["--host", "x", "--run", "last"], "read")],
    "decide terminate": [
        (["--run", RUN], "read"),
        (["--run", RUN, "--task", "1"], "read"),
        (["--run", RUN, "--task", "1", "--unseen"], "create"),
    ],
    "doctor": [],  # below: it says all on its standard output
    "decisions": [(["--json", "--action", "retry"], "read")],
    "explain": [([RUN, "1"], "read"), (["last", "1", "--json"], "read")],
    "failures": [(["--json"], "read"), (["--run", "last", "--since", "1h"], "read")],
    "runs": [([], "read")],
    "spool replay": [],  # below: needs something in the spool
    "tail": [([], "read"), (["heartbeats", "--since", "1d", "--limit", "1", "--json"], "read")],
    "tasks": [(["--run", RUN], "read")],
    "topics delete": [(["failures", "--yes"], "delete"), ([NOTES, "--yes"], "delete")],
    "topics describe": [([], "describe"), ([NOTES, "--json"], "describe")],
    "topics ensure": [([], "create")],
    "topics list": [([], "list"), (["--json"], "list")],
    "wrath record": [(["--run", RUN, "-o", "stolen.jsonl"], "read")],
    "wrath replay": [(["--run", "last", "--json"], "read")],
    "wrath serve": [],  # below: it goes on trying until it is ended
}
"""What each command is tried with, and which refusal it meets."""

WITHOUT_NAMESPACE = {
    "broker down": "of this machine's own broker",
    "broker status": "of this machine's own broker",
    "broker up": "of this machine's own broker",
    "demo": "runs on a broker of this machine's own",
    "endpoint disable": "writes a file of the own endpoint",
    "endpoint enable": "writes a file of the own endpoint",
    "endpoint status": "reads files of the own endpoints",
    "login": "of the own login alone; see test_the_login_and_who_it_is_stay_ones_own",
    "logout": "of the own login alone, and of what is on this machine",
    "spool list": "reads the own spool directory alone",
    "whoami": "of the own login alone; see test_the_login_and_who_it_is_stay_ones_own",
    "wrath check": "reads a file",
}
"""Commands that take nothing from a topic and bring nothing to one."""

STORY = Task(run_id="intruder", task_id="1", time=1.0, state="running")

OF_BOB = (NOTES, "simulate", "plot", "small-0", LONG[:40])


def commands(group: click.Group, context: click.Context, path: str = "") -> Iterator[str]:
    """The name of every command that the parser knows."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, click.Context(command, parent=context), f"{path}{name} ")
        else:
            yield f"{path}{name}"


def leaks(said: str, *arguments: str) -> list[str]:
    """What of Bob's was told, beyond what was asked with."""
    return [each for each in OF_BOB if each in said and each not in arguments]


def test_every_command_is_tried_or_known_to_touch_no_namespace() -> None:
    known = set(commands(cli, click.Context(cli)))
    assert known == ATTEMPTS.keys() | WITHOUT_NAMESPACE.keys()
    assert not ATTEMPTS.keys() & WITHOUT_NAMESPACE.keys()


@pytest.mark.parametrize("command", [name for name, tries in ATTEMPTS.items() if tries])
def test_a_command_is_refused_with_the_reason_and_the_remedy(
    intruder: Intruder, command: str, untouched: Holdings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, attempt in ATTEMPTS[command]:
        result = intruder.user.octopus(*command.split(), *arguments)
        assert result.exit_code == 1, (arguments, result.output)
        assert re.search(intruder.expected(attempt), result.stderr), (arguments, result.output)
        assert "Traceback" not in result.output
        assert leaks(result.output, *arguments) == [], arguments
        assert list(tmp_path.iterdir()) == []
    assert untouched.records


def test_the_doctor_neither_writes_nor_reads_a_probe(intruder: Intruder, untouched: Holdings) -> None:
    result = intruder.user.octopus("doctor", "--json")
    assert result.exit_code == 1, result.output
    found = {step["step"]: step for step in map(json.loads, result.stdout.splitlines())}
    assert [name for name, step in found.items() if step["state"] == "failed"] == [
        "topics" if intruder.way == "password" else "key"
    ]
    assert {found[name]["state"] for name in ("produce", "consume")} == {"not_tried"}
    assert leaks(result.output) == []
    assert untouched.records


def test_the_decider_service_decides_nothing_also_in_a_group_of_his_and_says_why(
    intruder: Intruder, untouched: Holdings
) -> None:
    process = intruder.user.start("wrath", "serve", "--since", "1d", "--group", "deciders")
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        if intruder.way != "setting":  # that one ends by itself
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    said = first + err
    assert re.search(intruder.expected("read"), said), said
    assert process.returncode == (1 if intruder.way == "setting" else 0), said
    assert out == ""
    assert leaks(said) == []
    assert untouched.groups


def test_what_lies_in_the_own_spool_for_somebody_else_stays_there(intruder: Intruder, untouched: Holdings) -> None:
    emitter = Emitter(intruder.user.config())
    emitter.emit(STORY)
    emitter.close(0.1)
    said = intruder.user.octopus("spool", "replay", "--timeout", "30")
    assert said.exit_code == 1
    assert re.search(intruder.expected("create"), said.stderr), said.output
    assert "0 records were delivered before" in said.stderr
    listed = intruder.user.octopus("spool", "list")
    assert re.search(" 1 ", listed.stdout), listed.output
    assert untouched.records


def test_listings_of_ones_own_show_nothing_of_others(alice: User, bob: User, untouched: Holdings) -> None:
    listed = [json.loads(line) for line in alice.octopus("topics", "list", "--json").stdout.splitlines()]
    assert [each["kafka_name"] for each in listed] == [f"{alice.namespace}.{topic}" for topic in Topic]
    assert all(each["exists"] for each in listed)
    assert {name.partition(".")[0] for name in kafka_topics(alice.config())} == {alice.namespace}
    for command in (["runs"], ["failures"], ["topics", "describe", "failures"]):
        said = alice.octopus(*command)
        assert leaks(said.output) == [], command
        assert bob.namespace not in said.output, command
    assert untouched.records


def test_the_login_and_who_it_is_stay_ones_own(alice: User, bob: User, untouched: Holdings) -> None:
    posing = alice.changed(OCTOPUS_NAMESPACE=bob.namespace)
    who = json.loads(posing.octopus("whoami", "--json").stdout)
    assert (who["username"], who["namespace"]) == (alice.person.username, alice.namespace)
    again = posing.start("login")
    out, err = again.communicate(timeout=120)
    assert f"Logged in as {alice.person.username}, namespace {alice.namespace}." in out
    assert f"but {bob.namespace} is asked for; unset OCTOPUS_NAMESPACE" in err
    assert again.returncode == 1
    assert untouched.records


def test_what_is_anothers_is_never_named_to_the_web_service_with_ones_own_login(
    intruder: Intruder, alice: User, bob: User, service: StandinService, globus: StandinGlobus
) -> None:
    before = len(service.requests)
    for command in (
        ["topics", "delete", "failures", "--yes"],
        ["topics", "ensure"],
        ["decide", "allow", "--host", "x"],
    ):
        assert intruder.user.octopus(*command).exit_code == 1
    mine = {f"Bearer {token}" for token, each in globus.tokens.items() if each.person == alice.person}
    named = [each for each in service.requests[before:] if f"/{bob.namespace}/" in each.path]
    assert all(each.headers["authorization"] in mine for each in named)
    # With a forged key file it is his, by his name and her login, which is no login of his.
    assert {(each.method, each.headers["subject"]) for each in named} == (
        {("POST", bob.person.subject)} if intruder.way == "forged key file" else set()
    )
