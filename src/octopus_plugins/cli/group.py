"""The root of the ``octopus`` command: finds commands when they are needed, and turns errors into one line."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import IO, Any

import click

from octopus_plugins.errors import OctopusError, PluginError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

_BUILT_IN = {
    "broker": "broker",
    "decide": "decide",
    "decisions": "questions",
    "doctor": "doctor",
    "explain": "explain",
    "failures": "questions",
    "login": "login",
    "logout": "login",
    "runs": "questions",
    "spool": "spool",
    "tail": "tail",
    "tasks": "questions",
    "topics": "topics",
    "whoami": "login",
    "wrath": "wrath",
}
"""Our own commands, each with the module that has it."""


class OctopusGroup(click.Group):
    """A group that imports its commands, and asks plugins for theirs, only when they are needed."""

    plugins_asked = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._add_plugin_commands()
        return sorted({*_BUILT_IN, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _BUILT_IN:
            return self._built_in(cmd_name)
        self._add_plugin_commands()
        if cmd_name not in self.commands:
            # What click suggests in place of a misspelt name, it takes from here.
            self.commands.update({name: self._built_in(name) for name in _BUILT_IN})
        return self.commands.get(cmd_name)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        if (name or cmd.name) in _BUILT_IN:
            raise PluginError(f"octopus has a command {name or cmd.name!r} of its own", remedy="choose another name")
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except OctopusError as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise OneLineError(str(error)) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read our output has seen enough. What is still buffered must not fail at exit.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        return result

    @staticmethod
    def _built_in(name: str) -> click.Command:
        module = importlib.import_module(f"octopus_plugins.cli.{_BUILT_IN[name]}")
        command: click.Command = getattr(module, name)
        return command

    def _add_plugin_commands(self) -> None:
        if not self.plugins_asked:
            self.plugins_asked = True
            from octopus_plugins.plugins import load_plugins

            load_plugins().commands(self)


class OneLineError(click.ClickException):
    """An error that is shown as one line, ``octopus: what was wrong, where, and what to do``."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"octopus: {self.message}", file=file, err=True)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        import octopus_plugins

        click.echo(f"octopus-plugins {octopus_plugins.__version__}")
        ctx.exit()


@click.group(
    cls=OctopusGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: octopus failures --run-id last",
)
@click.option("--profile", metavar="NAME", help="Settings to use: local, kafka or octopus.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and what the libraries log.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def cli(ctx: click.Context, profile: str | None, debug: bool) -> None:
    """Ask what failed in your Parsl and Globus Compute runs, where, why, and what was decided."""
    ctx.with_resource(_own_messages(debug))


def main() -> None:
    """Run the ``octopus`` command."""
    cli(prog_name="octopus")


@contextlib.contextmanager
def _own_messages(debug: bool) -> Iterator[None]:
    """Show what the package logs and warns of as lines of the command's own."""
    logger, handler = logging.getLogger("octopus_plugins"), _StderrHandler()
    before = logger.level, logger.propagate
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: click.echo(f"octopus: {message}", err=True)
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.DEBUG if debug else logging.WARNING)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before[0])
            logger.propagate = before[1]


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # Looked up at each line: sys.stderr may be replaced after the handler was made.
        from octopus_plugins.text import one_line

        click.echo(f"octopus: {one_line(record.getMessage())}", err=True)
