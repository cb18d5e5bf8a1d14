"""``octopus wrath``: the retry policies."""

from __future__ import annotations

import click

from octopus_plugins.cli.replay import record, replay
from octopus_plugins.cli.serve import serve


@click.group(epilog="Example: octopus wrath check policy.toml")
def wrath() -> None:
    """Work with retry policies."""


@wrath.command(epilog="Example: octopus wrath check policy.toml")
@click.argument("policy", type=click.Path())
def check(policy: str) -> None:
    """Check a retry POLICY, a TOML file, or published; exit status 1 if it is wrong."""
    from octopus_plugins.wrath import policy_from

    loaded = policy_from(policy)
    ladder = " → ".join(loaded.ladder) or "none"
    click.echo(f"{policy} is valid: policy {loaded.name!r}, mode {loaded.mode}, ladder {ladder}.")


wrath.add_command(record)
wrath.add_command(replay)
wrath.add_command(serve)
