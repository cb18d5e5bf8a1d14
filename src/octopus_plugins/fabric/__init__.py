"""How it travels: configuration to client, events to topics and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from octopus_plugins.fabric.consumer import Reader
    from octopus_plugins.fabric.counts import Counts, TopicCounts
    from octopus_plugins.fabric.credentials import kafka_options
    from octopus_plugins.fabric.doctor import Finding, diagnose
    from octopus_plugins.fabric.emitter import Emitter
    from octopus_plugins.fabric.producer import Producer
    from octopus_plugins.fabric.spool import Orphan, ReplayReport, orphans, replay
    from octopus_plugins.fabric.topics import ensure_topics, existing_topics, topic_name

_HOMES = {
    "Reader": "consumer",
    "Counts": "counts",
    "TopicCounts": "counts",
    "kafka_options": "credentials",
    "Finding": "doctor",
    "diagnose": "doctor",
    "Emitter": "emitter",
    "Producer": "producer",
    "Orphan": "spool",
    "ReplayReport": "spool",
    "orphans": "spool",
    "replay": "spool",
    "ensure_topics": "topics",
    "existing_topics": "topics",
    "topic_name": "topics",
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
