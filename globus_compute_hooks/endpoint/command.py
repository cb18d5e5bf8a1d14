"""The commands ``octopus endpoint``."""

from __future__ import annotations

import json

import click

from globus_compute_hooks.endpoint import install


@click.group(epilog="Example: octopus endpoint enable my-endpoint")
def endpoint() -> None:
    """Let the endpoints of Globus Compute on this machine use OctopusEngine.

    They look their engines up by name, and ours is not among them: `enable` adds a marked block to the endpoint's own
    user_environment.yaml, and `disable` takes it out again, to the byte.
    """


@endpoint.command(epilog="Example: octopus endpoint enable my-endpoint")
@click.argument("name")
def enable(name: str) -> None:
    """Have user endpoints find `type: OctopusEngine`, from their next start on."""
    changed = install.enable(name)
    standing = install.standings(name)[0]
    click.echo(f"Endpoint {name!r} {'is enabled' if changed else 'was enabled already'} ({standing.directory}).")
    if not standing.engine:
        template = standing.directory / install.TEMPLATES[0]
        click.echo(f"Now say `type: OctopusEngine` in the `engine:` block of {template}.")


@endpoint.command(epilog="Example: octopus endpoint disable my-endpoint")
@click.argument("name")
def disable(name: str) -> None:
    """Take out what `enable` put in, and nothing else."""
    changed = install.disable(name)
    standing = install.standings(name)[0]
    click.echo(f"Endpoint {name!r} {'is disabled' if changed else 'was not enabled'} ({standing.directory}).")
    if standing.engine:
        click.echo("Its template still says `type: OctopusEngine`, which its user endpoints now cannot find.")


@endpoint.command(epilog="Example: octopus endpoint status my-endpoint")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for machines.")
def status(name: str | None, as_json: bool) -> None:
    """Say which endpoints use Octopus, and what keeps it from working (exit status 1)."""
    found = install.standings(name)
    for standing in found:
        told = {
            "name": standing.name,
            "directory": str(standing.directory),
            "enabled": standing.enabled,
            "engine": standing.engine,
            "problem": standing.problem,
        }
        click.echo(json.dumps(told) if as_json else _line(standing))
    if not found:
        click.echo(f"There is no endpoint in {install.endpoints_home()}.", err=True)
    if any(standing.problem for standing in found) or (name and not found[0].enabled):
        raise click.exceptions.Exit(1)


def _line(standing: install.Standing) -> str:
    says = "enabled" if standing.enabled else "not enabled"
    engine = "OctopusEngine" if standing.engine else "another engine"
    return f"{standing.name}: {says}, {engine}" + (f"; {standing.problem}" if standing.problem else "")
