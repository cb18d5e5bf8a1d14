"""All topics of the namespace: what there is, how it is kept, and how it is deleted.

On Octopus the web service says what there is and deletes; how Kafka keeps a topic is asked of Kafka everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from confluent_kafka import KafkaError

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import ConfigError, FabricError, TopicMissingError
from octopus_plugins.fabric.kafka.auth_errors import unreachable
from octopus_plugins.fabric.kafka.topics import kafka_topics, request_admin, topic_name

_KAFKA_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """How Kafka keeps a topic.

    Attributes:
        name: Its name without the namespace.
        kafka_name: Its name in Kafka.
        partitions: Number of partitions.
        replicas: Copies of the partition that has the fewest.
        in_sync: Of those, up to date, of the partition that has the fewest.
    """

    name: str
    kafka_name: str
    partitions: int
    replicas: int
    in_sync: int


def check_topic(config: OctopusConfig, name: str) -> None:
    """Refuse what cannot be the name of a topic in the namespace.

    Raises:
        ConfigError: It cannot be one.
    """
    if config.profile == "octopus":
        from octopus_plugins.fabric.octopus.service import check_name

        check_name(name)
    elif not _KAFKA_NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of a topic: 1–200 letters, digits, '.', '-' or '_'")


def topics_of_namespace(config: OctopusConfig) -> list[str]:
    """The names of all topics of the namespace, without it: by the web service on Octopus, else by Kafka.

    Raises:
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        CredentialsError: The brokers cannot be spoken to with this configuration, or nobody is logged in.
        ServiceError: The web service refused, or did not answer.
        ConfigError: No address is known.
    """
    if config.profile == "octopus":
        from octopus_plugins.fabric.octopus.keys import open_service

        return open_service(config).list_topics()
    prefix = topic_name(config, "")
    found = kafka_topics(config)
    return sorted(name.removeprefix(prefix) for name in found if name.startswith(prefix))


def delete_topic(config: OctopusConfig, name: str) -> None:
    """Delete a topic of the namespace, with all that is in it.

    Args:
        config: Whose.
        name: Its name without the namespace.

    Raises:
        TopicMissingError: It does not exist.
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        CredentialsError: The brokers cannot be spoken to with this configuration, or nobody is logged in.
        ServiceError: The web service refused, or did not answer.
        ConfigError: No address is known, or there are no such names.
        FabricError: Kafka refused.
    """
    check_topic(config, name)
    if config.profile == "octopus":
        from octopus_plugins.fabric.octopus.keys import open_service

        service = open_service(config)
        if name not in service.list_topics():
            raise _no_such_topic(config, name)
        service.delete_topic(name)
        return
    full = topic_name(config, name)
    known = full in kafka_topics(config)  # also tells sooner whether there is a broker, and whether it lets us in
    answers = request_admin(
        config, f"topic {full}", lambda admin, seconds: admin.delete_topics([full], request_timeout=seconds)
    )
    error = answers[full]
    missing = error is not None and error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION}
    if error is None or (missing and known):  # a request that came late had deleted it
        return
    if missing:
        raise _no_such_topic(config, name)
    if error.retriable() or error.code() == KafkaError._TRANSPORT:
        raise unreachable(config, error.str())
    raise FabricError(f"{config.address} did not delete {full}: {error.str()}", remedy="ask whoever runs it")


def describe_topic(config: OctopusConfig, name: str) -> TopicDescription:
    """Ask Kafka how it keeps a topic of the namespace.

    Args:
        config: Whose.
        name: Its name without the namespace.

    Raises:
        TopicMissingError: It does not exist.
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        CredentialsError: The brokers cannot be spoken to with this configuration, or nobody is logged in.
        ConfigError: No address is known.
    """
    full = topic_name(config, name)
    found = kafka_topics(config).get(full)
    partitions = list(found.partitions.values()) if found is not None else []
    if not partitions:
        raise _no_such_topic(config, name)
    return TopicDescription(
        name,
        full,
        len(partitions),
        min(len(each.replicas) for each in partitions),
        min(len(each.isrs) for each in partitions),
    )


def _no_such_topic(config: OctopusConfig, name: str) -> TopicMissingError:
    return TopicMissingError(
        f"there is no topic {topic_name(config, name)}", remedy="`octopus topics list` shows what there is"
    )
