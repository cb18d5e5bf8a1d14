"""Membership in a consumer group: which partitions of a topic are this process's share."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import OctopusError
from octopus_plugins.events import Topic
from octopus_plugins.fabric.kafka.auth_errors import Refusals
from octopus_plugins.fabric.kafka.reader import LOOK_SECONDS, reading_options
from octopus_plugins.fabric.kafka.topics import QuietLogger, namespace, topic_name

log = logging.getLogger("octopus_plugins")


class Membership:
    """One member of a consumer group. It reads nothing and commits nothing: the group only shares out the work.

    Attributes:
        share: The partitions that are this member's; None while the group has not admitted it. While the group shares
            out anew it is the last one: nobody else has been given those yet.
    """

    def __init__(self, config: OctopusConfig, topic: Topic, group: str) -> None:
        """Ask to be admitted; does not wait for it.

        Args:
            config: Which brokers.
            topic: The topic whose partitions are shared out.
            group: Name of the group.

        Raises:
            ConfigError: No address is known.
            CredentialsError: The brokers cannot be spoken to with this configuration.
        """
        self.share: frozenset[int] | None = None
        self._config, self._topic, self._group = config, topic, group
        self._open()

    def _open(self) -> None:
        config = self._config
        self._refusals = Refusals(config)
        options = {
            **reading_options(config),
            "group.id": f"{namespace(config)}.{self._group}",
            "auto.offset.reset": "latest",
            "enable.partition.eof": False,
            "session.timeout.ms": 10_000,
            "topic.metadata.refresh.interval.ms": int(LOOK_SECONDS * 1000),
            "heartbeat.interval.ms": 2_000,
            "error_cb": self._refusals,  # anything else passes by itself
        }
        self._consumer: Any = Consumer(options, logger=QuietLogger())
        self._consumer.subscribe([topic_name(config, self._topic)], on_assign=self._assigned, on_revoke=self._revoked)

    def poll(self) -> None:
        """Take in what the group says; to be called often: it shares out anew in several steps.

        Returns at once, never raises.
        """
        if self._refusals.refused:
            self._reopen()
            return
        try:
            message = self._consumer.poll(0)
        except (KafkaException, RuntimeError) as error:
            log.debug("the consumer group cannot be asked: %s", error)
            return
        if message is not None and message.error() is not None and message.error().code() != KafkaError._PARTITION_EOF:
            log.debug("the consumer group: %s", message.error().str())

    def close(self) -> None:
        """Leave the group, so that the others take over at once."""
        if self._consumer is not None:
            self._consumer.close()

    def _reopen(self) -> None:
        """Begin anew when the credentials that were refused have been replaced."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
            self.share = None
        if self._refusals.may_be_over():
            try:
                self._open()
            except (OctopusError, KafkaException) as error:
                log.debug("the consumer group cannot be joined: %s", error)

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        consumer.assign(partitions)
        if partitions:
            consumer.pause(partitions)
        self.share = frozenset(each.partition for each in partitions)
        log.info("group %s gives this member partitions %s of %s", self._group, sorted(self.share), self._topic)

    @staticmethod
    def _revoked(consumer: Any, partitions: list[Any]) -> None:
        consumer.unassign()
