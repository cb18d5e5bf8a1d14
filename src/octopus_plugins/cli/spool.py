"""``octopus spool``: records on disk that have not been delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import with_config

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig


@click.group(epilog="Example: octopus spool replay")
def spool() -> None:
    """See and deliver what processes left on disk.

    A process whose broker is away leaves its records there when it ends.
    """


@spool.command("list", epilog="Example: octopus spool list")
@with_config
def list_(config: OctopusConfig) -> None:
    """List what lies undelivered, by the process that left it."""
    from octopus_plugins.fabric.produce.spool_replay import orphans

    found = orphans(config)
    if not found:
        click.echo(f"Nothing undelivered in {config.spool_dir} for {config.namespace} (profile {config.profile}).")
        return
    rows = screen.table("Since", "Host", "Process", "Records", "Size", "Where")
    for orphan in found:
        size = f"{orphan.bytes / 1000:,.1f} kB"
        since = screen.local_time(orphan.created)
        rows.add_row(since, orphan.host, str(orphan.pid), f"{orphan.count():,}", size, orphan.directory.name)
    out = screen.console()
    out.print(rows)
    out.print(f"\nThey lie in {config.spool_dir}; deliver them with `octopus spool replay`.", soft_wrap=True)


@spool.command(epilog="Example: octopus spool replay --timeout 60")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Try no longer.")
@with_config
def replay(config: OctopusConfig, timeout: float | None) -> None:
    """Deliver what lies undelivered, in order (exit status 1 if something remains)."""
    from octopus_plugins.fabric.produce.spool_replay import replay as deliver

    report = deliver(config, timeout=timeout)
    click.echo(f"Delivered {report.delivered:,} records of {report.sessions} processes to {config.namespace}.")
    if report.rejected:
        screen.say(f"{report.rejected} records were refused for good; see {config.spool_dir / 'rejected.jsonl'}.")
    if report.damaged:
        screen.say(f"{report.damaged} damaged places in the spool were skipped.")
    if report.remaining:
        screen.say(f"The records of {report.remaining} processes remain; try again.")
        raise click.exceptions.Exit(1)
