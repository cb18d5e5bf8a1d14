"""What the Parsl package adds to octopus-plugins: the command ``octopus demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def octopus_commands(group: click.Group) -> None:
    """Add the demo."""
    from parsl_monitor.demo.command import demo

    group.add_command(demo)
