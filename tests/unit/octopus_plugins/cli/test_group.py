"""The root of the command: help, exit statuses, errors, commands of plugins."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from octopus_plugins import hookimpl
from octopus_plugins.cli import cli
from octopus_plugins.errors import FabricError
from octopus_plugins.plugins import load_plugins


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def octopus(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    """The paths of all built-in commands."""
    found: list[tuple[str, ...]] = [path]
    context = click.Context(group)
    for name in group.list_commands(context) if path else _built_in():
        command = group.get_command(context, name)
        assert command is not None
        found += commands(command, *path, name) if isinstance(command, click.Group) else [(*path, name)]
    return found


def _built_in() -> list[str]:
    from octopus_plugins.cli.group import _BUILT_IN

    return sorted(_BUILT_IN)


@pytest.mark.parametrize("path", commands(cli), ids=lambda path: " ".join(path) or "octopus")
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    result = octopus(*path, "--help")
    assert result.exit_code == 0
    example = result.output.partition("Example: octopus ")[2]
    assert example.split()[: len(path)] == list(path)
    assert all(len(line) <= 100 for line in result.output.splitlines())


def test_the_version_is_told() -> None:
    result = octopus("--version")
    assert result.exit_code == 0
    assert result.output.startswith("octopus-plugins ")


def test_no_command_shows_the_help_and_is_wrong_usage() -> None:
    result = octopus()
    assert result.exit_code == 2
    assert "Commands:" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["falures"], "No such command 'falures'."),
        (["failures", "--since", "soon"], "since='soon' is no time"),
        (["failures", "--category", "memory"], "did you mean 'memory_exhausted'?"),
        (["failures", "--limit", "0"], "--limit"),
        (["tasks", "--state", "gone"], "state='gone' is unknown"),
        (["tail", "fails"], "'fails' is not one of"),
        (["tail", "--since", "soon"], "since='soon' is no time"),
        (["explain", "last"], "Missing argument 'TASK'"),
        (["wrath", "check"], "Missing argument 'POLICY'"),
    ],
)
def test_wrong_usage_has_status_2_and_says_what_was_wrong(arguments: list[str], message: str) -> None:
    result = octopus(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "kafak", "failures"], "profile 'kafak' is unknown; choose one of local, kafka, octopus"),
        (["failures", "--profile", "kafak"], "profile 'kafak' is unknown; choose one of local, kafka, octopus"),
        (["failures"], "no local broker is running; start one with `octopus broker up`"),
        (["--profile", "kafka", "topics", "list"], "profile 'kafka' needs bootstrap_servers"),
        (["wrath", "check", "/no/such/policy.toml"], "/no/such/policy.toml"),
    ],
)
def test_an_error_is_one_line_on_standard_error_with_status_1(arguments: list[str], message: str) -> None:
    result = octopus(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("octopus: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_debug_shows_the_traceback_too() -> None:
    result = octopus("--debug", "failures")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("octopus: no local broker")


def test_a_policy_is_checked(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('ladder = ["small", "large"]\n')
    result = octopus("wrath", "check", str(policy))
    assert result.exit_code == 0
    assert "is valid: policy 'policy', mode active, ladder small → large" in result.output
    policy.write_text('ladders = ["small"]\n')
    result = octopus("wrath", "check", str(policy))
    assert result.exit_code == 1
    assert "ladders" in result.stderr
    assert "did you mean 'ladder'?" in result.stderr


def test_an_empty_spool_is_no_failure() -> None:
    for arguments in (["spool", "list"], ["spool", "replay"]):
        assert octopus(*arguments).exit_code == 0


def test_no_broker_is_the_answer_no() -> None:
    result = octopus("broker", "status")
    assert result.exit_code == 1
    assert "octopus broker up" in result.output
    assert octopus("broker", "down").exit_code == 0


class Site:
    """A plugin with commands."""

    @hookimpl
    def octopus_commands(self, group: click.Group) -> None:
        @group.command()
        def seats() -> None:
            """Count free seats."""
            click.echo("7 seats")

        @group.command()
        def broken() -> None:
            """Fail."""
            raise FabricError("the licence server does not answer")

        @group.command()
        def interrupted() -> None:
            """Be interrupted."""
            raise KeyboardInterrupt

        @group.command()
        def logs() -> None:
            """Log and warn."""
            logging.getLogger("octopus_plugins").warning("a %s warning", "logged")
            warnings.warn("a Python warning", stacklevel=1)

        @group.command("failures")
        def another() -> None:
            """Take a built-in name."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plugins = load_plugins()
    monkeypatch.setattr(cli, "commands", {})
    monkeypatch.setattr(cli, "plugins_asked", False)
    plugins.register(Site(), "site")
    monkeypatch.setattr(plugins, "_reported", set())
    yield
    plugins.unregister("site")


@pytest.mark.usefixtures("site")
def test_plugins_add_commands() -> None:
    assert "Count free seats." in octopus("--help").output
    assert octopus("seats").output == "7 seats\n"


@pytest.mark.usefixtures("site")
def test_a_plugin_cannot_take_the_name_of_a_built_in_command() -> None:
    result = octopus("--help")
    assert "List failed tries" in result.output
    assert "Take a built-in name" not in result.output


@pytest.mark.usefixtures("site")
def test_an_error_of_a_plugins_command_is_one_line_too() -> None:
    result = octopus("broken")
    assert (result.exit_code, result.stderr) == (1, "octopus: the licence server does not answer\n")


@pytest.mark.usefixtures("site")
def test_an_interrupt_is_quiet() -> None:
    result = octopus("interrupted")
    assert (result.exit_code, result.output) == (130, "")


@pytest.mark.usefixtures("site")
def test_what_is_logged_or_warned_of_is_shown_as_lines_of_the_command() -> None:
    logger = logging.getLogger("octopus_plugins")
    before = list(logger.handlers), logger.level, logger.propagate
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = octopus("logs")
    assert result.stderr == "octopus: a logged warning\noctopus: a Python warning\n"
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_the_command_starts_without_what_it_does_not_need() -> None:
    script = """
import json, sys
from octopus_plugins.cli import cli
try:
    cli(["failures", "--help"])
except SystemExit:
    pass
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"confluent_kafka", "pydantic", "msgspec", "parsl", "pandas", "pluggy"}
