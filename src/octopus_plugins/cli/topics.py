"""``octopus topics``: the topics of the namespace."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import asked, with_config
from octopus_plugins.text import printable

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.fabric.kafka.catalog import TopicDescription

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for machines.")


@click.group(epilog="Example: octopus topics list")
def topics() -> None:
    """See, create and delete the topics of your namespace.

    On the Octopus service this is done by its web service, on any other Kafka by Kafka itself.
    """


@topics.command("list", epilog="Example: octopus topics list --profile kafka")
@_json_option
@with_config
def list_(config: OctopusConfig, as_json: bool) -> None:
    """List the topics, with their Kafka names and whether they exist (exit status 1 if one of ours is missing)."""
    from octopus_plugins.events import Topic
    from octopus_plugins.fabric.kafka.catalog import topics_of_namespace
    from octopus_plugins.fabric.kafka.topics import topic_name

    existing = topics_of_namespace(config)
    ours = [str(topic) for topic in Topic]
    listed = {name: name in existing for name in [*ours, *(each for each in existing if each not in ours)]}
    if as_json:
        for name, exists in listed.items():
            click.echo(json.dumps({"topic": name, "kafka_name": topic_name(config, name), "exists": exists}))
    else:
        rows = screen.table("Topic", "Kafka name", "State")
        for name, exists in listed.items():
            shown = (printable(each) for each in (name, topic_name(config, name)))
            rows.add_row(*shown, "exists" if exists else "missing")
        screen.console().print(rows)
    if not all(listed.values()):
        screen.say("Create what is missing with `octopus topics ensure`.")
        raise click.exceptions.Exit(1)


@topics.command(epilog="Example: octopus topics ensure")
@with_config
def ensure(config: OctopusConfig) -> None:
    """Create the topics that do not exist yet. Several processes may do so at once."""
    from octopus_plugins.fabric.kafka.topics import create_on_service, ensure_topics, missing_on_service, topic_name

    created = create_on_service(config, missing_on_service) if config.profile == "octopus" else ensure_topics(config)
    names = ", ".join(sorted(topic_name(config, topic) for topic in created))
    click.echo(f"Created {names}." if created else f"All topics of {config.namespace} exist.")


@topics.command(epilog="Example: octopus topics describe failures")
@click.argument("names", nargs=-1, metavar="[TOPIC]...")
@_json_option
@with_config
def describe(config: OctopusConfig, names: tuple[str, ...], as_json: bool) -> None:
    """Tell how Kafka keeps the TOPICs (default: all four): partitions, copies, how many of those are up to date."""
    from octopus_plugins.events import Topic
    from octopus_plugins.fabric.kafka.catalog import describe_topic

    found = [describe_topic(config, _own_name(config, name)) for name in names or [str(topic) for topic in Topic]]
    if as_json:
        for each in found:
            click.echo(json.dumps(dataclasses.asdict(each)))
        return
    _show(found)


def _show(found: list[TopicDescription]) -> None:
    rows = screen.table("Topic", "Kafka name", "Partitions", "Copies", "Up to date")
    for each in found:
        rows.add_row(each.name, each.kafka_name, str(each.partitions), str(each.replicas), str(each.in_sync))
    screen.console().print(rows)


@topics.command(epilog="Example: octopus topics delete heartbeats")
@click.argument("name", metavar="TOPIC")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
def delete(config: OctopusConfig, name: str, yes: bool) -> None:
    """Delete a TOPIC of your namespace, with all that is in it."""
    from octopus_plugins.fabric.kafka.catalog import delete_topic
    from octopus_plugins.fabric.kafka.topics import topic_name

    own = _own_name(config, name)
    full = printable(topic_name(config, own))
    if not yes:
        click.confirm(f"Delete {full} and all that is in it?", abort=True, err=True)
    delete_topic(config, own)
    click.echo(f"Deleted {full}.")


def _own_name(config: OctopusConfig, name: str) -> str:
    """The name without the namespace; also where it was given with it.

    Raises:
        click.UsageError: There are no such names.
    """
    from octopus_plugins.fabric.kafka.catalog import check_topic
    from octopus_plugins.fabric.kafka.topics import namespace

    own = name.removeprefix(f"{namespace(config)}.")
    asked(check_topic, config=config, name=own)
    return own
