"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from octopus_plugins.errors import ConfigError

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig

P = ParamSpec("P")
R = TypeVar("R")
Command = TypeVar("Command", bound=Callable[..., Any])


def with_config(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--profile`` and pass it the settings as ``config``."""

    @click.option("--profile", metavar="NAME", help="Settings to use: local, kafka or octopus.")
    @functools.wraps(command)
    def wrapper(*args: Any, profile: str | None, **options: Any) -> R:
        root = click.get_current_context().find_root()
        return command(*args, config=load_config(profile or root.params.get("profile")), **options)

    return wrapper


def load_config(profile: str | None) -> OctopusConfig:
    """The settings of a profile.

    Raises:
        ConfigError: They are wrong.
    """
    from octopus_plugins.config import OctopusConfig

    return OctopusConfig.load(profile=profile)


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for machines.")

limit_option = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N events.")

_FILTERS = {
    "run": click.option(
        "--run-id",
        "--run",
        "run_id",
        multiple=True,
        metavar="ID",
        help="Of this run; 'last' is the newest. Eight characters do.",
    ),
    "task": click.option("--task-id", "--task", "task_id", multiple=True, metavar="ID", help="Of this task."),
    "since": click.option("--since", metavar="TIME", help="Not before: 90s, 30m, 1h, 2d, 1w ago, or ISO text."),
    "until": click.option("--until", metavar="TIME", help="Not after; as --since."),
    "category": click.option("--category", multiple=True, metavar="NAME", help="Such as memory_exhausted."),
    "layer": click.option(
        "--layer", multiple=True, metavar="NAME", help="application, framework, runtime or environment."
    ),
    "host": click.option("--host", multiple=True, metavar="NAME", help="On this node."),
    "app": click.option("--app", multiple=True, metavar="NAME", help="Of this app."),
    "executor": click.option("--executor", multiple=True, metavar="LABEL", help="On this executor."),
    "state": click.option("--state", multiple=True, metavar="STATE", help="With a change to this state."),
    "action": click.option("--action", multiple=True, metavar="ACTION", help="retry, terminate, deny or allow."),
}


def filters(*names: str) -> Callable[[Command], Command]:
    """Give a command the named filters; all but the times can be given several times."""

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            command = _FILTERS[name](command)
        return command

    return decorate


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The filters that were given; click passes an empty tuple for the others."""
    return {name: value for name, value in options.items() if value not in ((), None)}


def asked(question: Callable[..., R], **options: Any) -> R:
    """Put a question.

    Raises:
        click.UsageError: A filter is wrong: that is the user's mistake and not a failure.
    """
    try:
        return question(**options)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
