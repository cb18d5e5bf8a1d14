"""The topics' Kafka names, and their creation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import BrokerUnreachableError, TopicMissingError
from octopus_plugins.events import Topic
from octopus_plugins.fabric.credentials import kafka_options
from octopus_plugins.fabric.refusals import Refusals, unreachable

log = logging.getLogger("octopus_plugins")

_ASK_SECONDS = 1.0


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
    return _existing(config)


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
    missing = set(Topic) - _existing(config)
    if not missing:
        return set()
    # -1 is the broker's own default; the embedded broker's is 3, which would only cost memory.
    partitions = 1 if config.embedded else -1
    wanted = [NewTopic(topic_name(config, topic), num_partitions=partitions) for topic in sorted(missing)]
    created = set()
    admin = make_admin(config, Refusals(config))
    futures = admin.create_topics(wanted, request_timeout=config.connect_timeout)
    for topic in sorted(missing):
        name = topic_name(config, topic)
        try:
            futures[name].result(config.connect_timeout + 1)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            if reason.code() in {KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}:
                raise BrokerUnreachableError(unreachable(config, reason.str())) from error
            raise TopicMissingError(
                f"topic {name} does not exist at {config.servers} and could not be created: {reason.str()};"
                " ask whoever runs the broker to create it, or set `namespace` to one that you may create topics in"
            ) from error
        except TimeoutError as error:
            raise BrokerUnreachableError(unreachable(config, "it does not answer a request for topics")) from error
        created.add(topic)
    return created


def ask_admin(config: OctopusConfig, question: Callable[[AdminClient, float], Any]) -> Any:
    """Put a question to whichever broker answers; says soon why they refuse us, where they do.

    Args:
        config: Which brokers.
        question: Called with a client and the seconds that it may wait; several times.

    Raises:
        BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
        CredentialsError: The brokers refused us, or cannot be spoken to with this configuration.
        ConfigError: No address is known.
    """
    refusals = Refusals(config)
    admin = make_admin(config, refusals)
    deadline = time.monotonic() + config.connect_timeout
    while True:
        try:
            return question(admin, min(_ASK_SECONDS, config.connect_timeout))
        except KafkaException as error:
            admin.poll(0)  # tells the refusals
            if refusals.told or time.monotonic() >= deadline:
                raise refusals.error(error.args[0].str()) from error


def make_admin(config: OctopusConfig, refusals: Refusals) -> AdminClient:
    """A client for administration."""
    options = {**kafka_options(config), "socket.connection.setup.timeout.ms": 5000, "error_cb": refusals}
    return AdminClient(options, logger=QuietLogger())


def _existing(config: OctopusConfig) -> set[Topic]:
    found = ask_admin(config, lambda admin, seconds: admin.list_topics(timeout=seconds)).topics
    return {topic for topic in Topic if topic_name(config, topic) in found}
