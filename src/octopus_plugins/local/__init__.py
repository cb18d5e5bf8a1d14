"""Brokers for a laptop and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from octopus_plugins.local.embedded import EmbeddedBroker, up
    from octopus_plugins.local.kafka import ApacheKafka
    from octopus_plugins.local.kafka_up import up_kafka
    from octopus_plugins.local.running import Running, down, status

_HOMES = {
    "ApacheKafka": "kafka",
    "EmbeddedBroker": "embedded",
    "Running": "running",
    "down": "running",
    "status": "running",
    "up": "embedded",
    "up_kafka": "kafka_up",
}

__all__ = ["ApacheKafka", "EmbeddedBroker", "Running", "down", "status", "up", "up_kafka"]


__getattr__, __dir__ = lazily(__name__, _HOMES)
