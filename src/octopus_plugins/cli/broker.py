"""``octopus broker``: a broker on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from octopus_plugins.local import Running


@click.group(epilog="Example: octopus broker up")
def broker() -> None:
    """Run a broker on this machine.

    The embedded one is there in a second, for trying things out: what it holds is gone when it stops. Apache Kafka
    (--kafka) keeps what it holds on disk; it needs Java 17, and KAFKA_HOME or Maven.
    """


@broker.command(epilog="Example: octopus broker up --kafka --nodes 3 --secure")
@click.option("--port", type=click.IntRange(1, 65535), help="TCP port (of the first node); default: a free one.")
@click.option("--kafka", is_flag=True, help="Run Apache Kafka.")
@click.option("--nodes", type=click.IntRange(1, 9), metavar="N", help="With --kafka: how many nodes. [default: 1]")
@click.option("--secure", is_flag=True, help="With --kafka: TLS, a user with a password, and access control.")
def up(port: int | None, kafka: bool, nodes: int | None, secure: bool) -> None:
    """Start it, unless it runs already."""
    from octopus_plugins import local

    if not kafka and (nodes is not None or secure):
        raise click.UsageError("--nodes and --secure go with --kafka")
    running = local.up_kafka(nodes or 1, secure=secure, port=port) if kafka else local.up(port)
    verb = "started" if running.started else "runs already"
    click.echo(f"{_name(running)} {verb} at {_where(running)}.")
    if kafka:
        _say_how_to_reach(running)


@broker.command(epilog="Example: octopus broker down")
@click.option("--purge", is_flag=True, help="Also delete what Apache Kafka keeps: data, certificates, passwords.")
def down(purge: bool) -> None:
    """Stop it. What an embedded one holds is gone; Apache Kafka's data stays, unless --purge is given."""
    from octopus_plugins import local

    running = local.status()
    stopped = local.down(purge=purge)
    click.echo(f"{_name(running)} is stopped." if stopped and running else "No local broker was running.")
    if purge:
        click.echo("What Apache Kafka kept is deleted.")


@broker.command(epilog="Example: octopus broker status")
def status() -> None:
    """Say whether it runs (exit status 0) or not (1), and where."""
    from octopus_plugins import local

    running = local.status()
    if running is None:
        click.echo("No local broker is running; start one with `octopus broker up`.")
        raise click.exceptions.Exit(1)
    click.echo(f"{_name(running)} runs at {_where(running)}.")


def _name(running: Running) -> str:
    return running.name[0].upper() + running.name[1:]


def _where(running: Running) -> str:
    processes = f"process {running.pid}" if len(running.pids) == 1 else f"processes {' '.join(map(str, running.pids))}"
    return f"{running.address} ({processes}, log {running.log})"


def _say_how_to_reach(running: Running) -> None:
    click.echo("Every command and run of yours on this machine finds it, where no profile is set (profile 'local').")
    if running.settings is None:
        table = f'[kafka]\nbootstrap_servers = "{running.address}"'
    else:
        click.echo(
            f"As a configuration file: {running.settings} (OCTOPUS_CONFIG). It has the password; keep it to you."
        )
        lines = running.settings.read_text(encoding="utf-8").splitlines()
        table = "\n".join(line for line in lines if line and not line.startswith(("profile", "sasl_password")))
        table += "\n# sasl_password: as in that file, or OCTOPUS_SASL_PASSWORD"
    click.echo(f'For your own config.toml, with `profile = "kafka"`:\n\n{table}\n')
