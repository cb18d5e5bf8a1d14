"""``octopus topics``: the topics of the namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import with_config

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig


@click.group(epilog="Example: octopus topics list")
def topics() -> None:
    """See and create the topics that events go to."""


@topics.command("list", epilog="Example: octopus topics list --profile kafka")
@with_config
def list_(config: OctopusConfig) -> None:
    """List the topics, with their Kafka names and whether they exist (exit status 1 if one is missing)."""
    from octopus_plugins.events import Topic
    from octopus_plugins.fabric.topics import existing_topics, topic_name

    existing = existing_topics(config)
    rows = screen.table("Topic", "Kafka name", "State")
    for topic in Topic:
        rows.add_row(str(topic), topic_name(config, topic), "exists" if topic in existing else "missing")
    screen.console().print(rows)
    if len(existing) < len(Topic):
        screen.say("Create what is missing with `octopus topics ensure`.")
        raise click.exceptions.Exit(1)


@topics.command(epilog="Example: octopus topics ensure")
@with_config
def ensure(config: OctopusConfig) -> None:
    """Create the topics that do not exist yet."""
    from octopus_plugins.fabric.topics import ensure_topics, topic_name

    created = ensure_topics(config)
    names = ", ".join(sorted(topic_name(config, topic) for topic in created))
    click.echo(f"Created {names}." if created else f"All topics of {config.namespace} exist.")
