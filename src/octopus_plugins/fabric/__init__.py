"""How it travels: configuration to client, events to topics and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from octopus_plugins.doctor import Finding, diagnose
    from octopus_plugins.fabric.kafka.client_options import kafka_options
    from octopus_plugins.fabric.kafka.reader import Reader
    from octopus_plugins.fabric.kafka.topics import ensure_topics, existing_topics, topic_name
    from octopus_plugins.fabric.produce.counts import Counts, TopicCounts
    from octopus_plugins.fabric.produce.emitter import Emitter
    from octopus_plugins.fabric.produce.producer import Producer
    from octopus_plugins.fabric.produce.spool_replay import Orphan, ReplayReport, orphans, replay

_HOMES = {
    "Reader": "kafka.reader",
    "Counts": "produce.counts",
    "TopicCounts": "produce.counts",
    "kafka_options": "kafka.client_options",
    "Finding": "octopus_plugins.doctor",
    "diagnose": "octopus_plugins.doctor",
    "Emitter": "produce.emitter",
    "Producer": "produce.producer",
    "Orphan": "produce.spool_replay",
    "ReplayReport": "produce.spool_replay",
    "orphans": "produce.spool_replay",
    "replay": "produce.spool_replay",
    "ensure_topics": "kafka.topics",
    "existing_topics": "kafka.topics",
    "topic_name": "kafka.topics",
}

__all__ = [
    "Counts",
    "Emitter",
    "Finding",
    "Orphan",
    "Producer",
    "Reader",
    "ReplayReport",
    "TopicCounts",
    "diagnose",
    "ensure_topics",
    "existing_topics",
    "kafka_options",
    "orphans",
    "replay",
    "topic_name",
]


__getattr__, __dir__ = lazily(__name__, _HOMES)
