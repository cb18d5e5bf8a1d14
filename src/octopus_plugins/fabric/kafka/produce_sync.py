"""One event at once: for commands, which tell a person whether it has arrived."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka import Producer as KafkaProducer

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import FabricError
from octopus_plugins.events import Event, encode
from octopus_plugins.fabric.kafka.auth_errors import Refusals, unreachable
from octopus_plugins.fabric.kafka.client_options import kafka_options
from octopus_plugins.fabric.kafka.topics import QuietLogger, ensure_topics, topic_name


def send_now(config: OctopusConfig, event: Event) -> None:
    """Send an event and wait until the broker has taken it. What it does not take is not sent later.

    Args:
        config: Which brokers, and how long to wait (``connect_timeout``).
        event: What to say.

    Raises:
        BrokerUnreachableError: No broker took it within the time.
        FabricError: The broker refused it.
        TopicMissingError: Its topic does not exist and could not be created.
        CredentialsError: The brokers cannot be spoken to with this configuration.
        ConfigError: No address is known.
        SchemaError: It cannot be written as JSON.
    """
    value = encode(event, max_bytes=config.max_event_bytes)
    ensure_topics(config)
    failed: list[Any] = []
    refusals = Refusals(config)
    options = {
        **kafka_options(config),
        "acks": "all",
        "linger.ms": 0,
        "message.timeout.ms": max(int(config.connect_timeout * 1000), 1),
        "error_cb": refusals,
        "log_level": 3,
    }
    producer = KafkaProducer(options, logger=QuietLogger())
    name = topic_name(config, event.TOPIC)
    try:
        producer.produce(
            name, value, event.key.encode(), on_delivery=lambda error, _: failed.append(error) if error else None
        )
    except KafkaException as error:
        raise FabricError(f"{config.address} cannot be given a record for {name}: {error.args[0].str()}") from error
    remaining = producer.flush(config.connect_timeout + 1)
    if refusals.told is not None and (remaining or failed):
        raise refusals.told
    if remaining:
        producer.purge()
        raise unreachable(config, "it did not take the record in time")
    if failed and failed[0].retriable():
        raise unreachable(config, failed[0].str())
    if failed:
        raise FabricError(f"{config.address} did not take the record for {name}: {failed[0].str()}")
