"""Apache Kafka as the brokers of the stand-in web service, with access as the Octopus service gives it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewTopic

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import FabricError
from octopus_plugins.fabric.kafka.topics import kafka_topics, request_admin
from octopus_plugins.local import ApacheKafka

from ..kafka.tokens import Keys

_SECONDS = 60.0  # until a busy machine's broker has done what it said


class KafkaBackend:
    """What the web service does to a secure Apache Kafka: keys, access rules and topics.

    A key opens the topics of its user's namespace, as the service's IAM policy does: describe, read and write, groups
    and transactional ids, with names that begin with ``{namespace}.``; no creation and no deletion.
    """

    def __init__(self, kafka: ApacheKafka, keys: Keys) -> None:
        """Prepare.

        Args:
            kafka: The cluster, which runs.
            keys: The keys that it knows.
        """
        self._kafka = kafka
        self._keys = keys
        self._admin = OctopusConfig(**kafka.admin_settings(), connect_timeout=_SECONDS)

    def set_key(self, namespace: str, access_key: str, secret_key: str) -> None:
        """Let this key in, for the topics of this namespace only."""
        with _failing_as_kafka_does():
            self._kafka.grant(namespace, namespace)
        self._keys.add(access_key, secret_key, namespace)

    def drop_key(self, namespace: str) -> None:
        """Let nobody in with the key of this namespace any more; connections that are open end within ten seconds."""
        self._keys.revoke_all(namespace)

    def create_topic(self, name: str) -> None:
        """Create a topic by its Kafka name; one that exists is fine."""
        wanted = [NewTopic(name, num_partitions=1)]
        self._change(name, lambda admin, seconds: admin.create_topics(wanted, request_timeout=seconds), True)

    def delete_topic(self, name: str) -> None:
        """Delete a topic by its Kafka name; one that does not exist is fine."""
        self._change(name, lambda admin, seconds: admin.delete_topics([name], request_timeout=seconds), False)

    def topics(self) -> set[str]:
        """The Kafka names of all topics."""
        return set(kafka_topics(self._admin))

    def _change(self, name: str, request: Callable[[AdminClient, float], dict[str, Any]], exists: bool) -> None:
        """Have a topic created or deleted, and wait until the broker that clients ask knows it."""
        fine = KafkaError.TOPIC_ALREADY_EXISTS if exists else KafkaError.UNKNOWN_TOPIC_OR_PART
        with _failing_as_kafka_does():
            error = request_admin(self._admin, f"topic {name}", request)[name]
            if error is not None and error.code() != fine:
                raise OSError(error.str())
            deadline = time.monotonic() + _SECONDS
            while (name in self.topics()) != exists:
                if time.monotonic() > deadline:
                    raise OSError(f"{name} was not changed within {_SECONDS:g} s")
                time.sleep(0.02)


@contextlib.contextmanager
def _failing_as_kafka_does() -> Iterator[None]:
    """The web service does not know our errors."""
    try:
        yield
    except FabricError as error:
        raise OSError(str(error)) from error
