"""All that a user has in Kafka, as the administrator sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from octopus_plugins import OctopusConfig
from octopus_plugins.fabric import kafka_options
from octopus_plugins.fabric.kafka.topics import QuietLogger
from octopus_plugins.local import ApacheKafka

_SECONDS = 60.0

Place = tuple[str, int]


@dataclass(frozen=True)
class Holdings:
    """What there is under a namespace.

    Attributes:
        offsets: First and next offset of each partition of each topic.
        records: Offset, time, key and value of every record.
        groups: Committed offsets of each consumer group.
        rules: Every access rule that names the namespace or its user.
    """

    offsets: dict[Place, tuple[int, int]]
    records: dict[Place, list[tuple[Any, ...]]]
    groups: dict[str, dict[Place, int]]
    rules: set[str]


class Auditor:
    """Takes stock of what a user has; keeps its connections."""

    def __init__(self, kafka: ApacheKafka) -> None:
        options = kafka_options(OctopusConfig(**kafka.admin_settings()))
        self._admin = AdminClient(options, logger=QuietLogger())
        more = {"group.id": "auditor", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
        self._consumer = Consumer({**options, **more}, logger=QuietLogger())

    def close(self) -> None:
        self._consumer.close()

    def holdings(self, namespace: str) -> Holdings:
        """What there is now."""
        topics = self._admin.list_topics(timeout=_SECONDS).topics
        places = [
            TopicPartition(name, partition, 0)
            for name in topics
            if name.startswith(f"{namespace}.")
            for partition in topics[name].partitions
        ]
        offsets = {
            (each.topic, each.partition): self._consumer.get_watermark_offsets(each, timeout=_SECONDS)
            for each in places
        }
        return Holdings(offsets, self._records(places, offsets), self._groups(namespace), self._rules(namespace))

    def _records(
        self, places: list[TopicPartition], offsets: dict[Place, tuple[int, int]]
    ) -> dict[Place, list[tuple[Any, ...]]]:
        found: dict[Place, list[tuple[Any, ...]]] = {place: [] for place in offsets}
        missing = sum(end - begin for begin, end in offsets.values())
        self._consumer.assign(places)
        while missing:
            messages = self._consumer.consume(min(missing, 1000), _SECONDS)
            assert messages, f"{missing} records of {offsets} could not be read"
            for each in messages:
                assert each.error() is None, each.error()
                record = (each.offset(), each.timestamp(), each.key(), each.value())
                found[each.topic(), each.partition()].append(record)
            missing -= len(messages)
        self._consumer.unassign()
        return found

    def _groups(self, namespace: str) -> dict[str, dict[Place, int]]:
        listed = self._admin.list_consumer_groups(request_timeout=_SECONDS).result(_SECONDS).valid
        found = {}
        for name in sorted(each.group_id for each in listed if each.group_id.startswith(f"{namespace}.")):
            asked = [ConsumerGroupTopicPartitions(name)]
            answer = self._admin.list_consumer_group_offsets(asked)[name].result(_SECONDS)
            found[name] = {(each.topic, each.partition): each.offset for each in answer.topic_partitions}
        return found

    def _rules(self, namespace: str) -> set[str]:
        every = AclBindingFilter(
            ResourceType.ANY,
            None,
            ResourcePatternType.ANY,
            None,
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        rules = self._admin.describe_acls(every, request_timeout=_SECONDS).result(_SECONDS)
        return {str(each) for each in rules if namespace in f"{each.name} {each.principal}"}
