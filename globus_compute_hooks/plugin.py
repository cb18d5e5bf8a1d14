"""What the Globus Compute package adds to octopus-plugins: the commands ``octopus endpoint``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def octopus_commands(group: click.Group) -> None:
    """Add the commands."""
    from globus_compute_hooks.endpoint.command import endpoint

    group.add_command(endpoint)
