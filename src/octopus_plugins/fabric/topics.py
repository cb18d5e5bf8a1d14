"""The topics' Kafka names, and their creation."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import BrokerUnreachableError, TopicMissingError
from octopus_plugins.events import Topic
from octopus_plugins.fabric.credentials import kafka_options

log = logging.getLogger("octopus_plugins")


class QuietLogger:
    """Takes librdkafka's own log lines, which repeat every few seconds, and keeps them for debugging.

    What a person must know is said once, by the code that knows what it means.
    """

    def log(self, level: int, message: str, *args: Any) -> None:
        """Log a line of librdkafka at debug level, whatever level it claims."""
        log.debug("librdkafka: " + message, *args)


def topic_name(config: OctopusConfig, topic: Topic | str) -> str:
    """The Kafka name of a topic: ``{namespace}.{topic}``."""
    return f"{config.namespace}.{topic}"


def existing_topics(config: OctopusConfig) -> set[Topic]:
    """Which of our topics exist.

    Raises:
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        CredentialsError: The brokers cannot be spoken to with this configuration.
        ConfigError: No address is known.
    """
    return _existing(_admin(config), config, config.connect_timeout)


def ensure_topics(config: OctopusConfig) -> set[Topic]:
    """Create those of our topics that do not exist yet. Any number of processes may do so at once.

    Returns:
        The topics that this call created.

    Raises:
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        TopicMissingError: A topic does not exist and could not be created; says why.
        CredentialsError: The brokers cannot be spoken to with this configuration.
        ConfigError: No address is known.
    """
    admin = _admin(config)
    missing = set(Topic) - _existing(admin, config, config.connect_timeout)
    if not missing:
        return set()
    # -1 is the broker's own default; the embedded broker's is 3, which would only cost memory.
    partitions = 1 if config.embedded else -1
    wanted = [NewTopic(topic_name(config, topic), num_partitions=partitions) for topic in sorted(missing)]
    created = set()
    futures = admin.create_topics(wanted, request_timeout=config.connect_timeout)
    for topic in sorted(missing):
        name = topic_name(config, topic)
        try:
            futures[name].result(config.connect_timeout + 1)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            raise TopicMissingError(
                f"topic {name} does not exist at {config.servers} and could not be created: {reason.str()};"
                " ask whoever runs the broker to create it, or set `namespace` to one that you may create topics in"
            ) from error
        except TimeoutError as error:
            raise BrokerUnreachableError(unreachable(config, "it does not answer a request for topics")) from error
        created.add(topic)
    return created


def unreachable(config: OctopusConfig, reason: str) -> str:
    """One sentence that says that no broker answers, why, and what to do."""
    remedy = (
        "`octopus broker up` starts one" if config.profile == "local" else "check bootstrap_servers and the network"
    )
    return f"no Kafka broker answers at {config.servers} ({reason}); {remedy}"


def _admin(config: OctopusConfig) -> AdminClient:
    return AdminClient({**kafka_options(config), "socket.connection.setup.timeout.ms": 5000}, logger=QuietLogger())


def _existing(admin: AdminClient, config: OctopusConfig, timeout: float) -> set[Topic]:
    try:
        found = admin.list_topics(timeout=timeout).topics
    except KafkaException as error:
        raise BrokerUnreachableError(unreachable(config, error.args[0].str())) from error
    return {topic for topic in Topic if topic_name(config, topic) in found}
