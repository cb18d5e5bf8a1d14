"""``octopus broker``: the embedded broker."""

from __future__ import annotations

import click


@click.group(epilog="Example: octopus broker up")
def broker() -> None:
    """Run an embedded broker, for trying things out.

    It runs on this machine only, and what it holds is gone when it stops.
    """


@broker.command(epilog="Example: octopus broker up --port 9092")
@click.option("--port", type=click.IntRange(1, 65535), help="TCP port; default: a free one.")
def up(port: int | None) -> None:
    """Start it, unless it runs already."""
    from octopus_plugins import local

    running = local.up(port)
    verb = "started" if running.started else "runs already"
    click.echo(f"The embedded broker {verb} at {running.address} (process {running.pid}, log {running.log}).")


@broker.command(epilog="Example: octopus broker down")
def down() -> None:
    """Stop it; what it holds is gone."""
    from octopus_plugins import local

    click.echo("The embedded broker is stopped." if local.down() else "No embedded broker was running.")


@broker.command(epilog="Example: octopus broker status")
def status() -> None:
    """Say whether it runs (exit status 0) or not (1), and where."""
    from octopus_plugins import local

    running = local.status()
    if running is None:
        click.echo("No embedded broker is running; start one with `octopus broker up`.")
        raise click.exceptions.Exit(1)
    click.echo(f"The embedded broker runs at {running.address} (process {running.pid}, log {running.log}).")
