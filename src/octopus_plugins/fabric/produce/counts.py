"""What became of the events of this process."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, slots=True)
class TopicCounts:
    """The counts of one topic; see ``Counts``."""

    emitted: int = 0
    delivered: int = 0
    replayed: int = 0
    dropped: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the events, in numbers.

    Attributes:
        emitted: Handed to the producer.
        delivered: Of those, acknowledged by the broker.
        spooled: Of those, waiting on disk now.
        replayed: Of earlier processes, acknowledged by the broker.
        dropped: Given up: samples or records for which neither disk nor memory had room, or that came after the close.
        rejected: Refused by the broker for good; they stand in ``rejected.jsonl``.
        withheld: Kept back by a transform (a plugin).
        invalid: Could not be encoded.
        thinned: Resource samples left out to keep the run within its ``sample_budget``.
        dropped_samples: Of those given up, resource samples: they wait in memory only.
        topics: The same by topic.
    """

    emitted: int = 0
    delivered: int = 0
    spooled: int = 0
    replayed: int = 0
    dropped: int = 0
    rejected: int = 0
    withheld: int = 0
    invalid: int = 0
    thinned: int = 0
    dropped_samples: int = 0
    topics: Mapping[str, TopicCounts] = field(default_factory=dict)

    def __str__(self) -> str:
        text = ", ".join(f"{name} {getattr(self, name)}" for name in _ALWAYS)
        if self.dropped_samples:
            text += f" ({self.dropped_samples} of them resource samples, which are not kept on disk)"
        return text + "".join(f", {name} {getattr(self, name)}" for name in _SELDOM if getattr(self, name))


_ALWAYS = ("emitted", "delivered", "spooled", "replayed", "dropped")
_SELDOM = ("rejected", "withheld", "invalid", "thinned")
_BY_TOPIC = tuple(each.name for each in fields(TopicCounts))


class Tally:
    """The running counts, added to from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = {
            name: defaultdict(int) for name in (*_BY_TOPIC, "withheld", "invalid", "thinned", "dropped_samples")
        }

    def add(self, what: str, topics: Iterable[str]) -> None:
        """Add one to a count for each topic named, as often as it is named."""
        counts = self._counts[what]
        with self._lock:
            for topic in topics:
                counts[topic] += 1

    def add_numbers(self, what: str, numbers: Mapping[str, int]) -> None:
        """Add to a count a number for each topic."""
        counts = self._counts[what]
        with self._lock:
            for topic, number in numbers.items():
                counts[topic] += number

    def counts(self, spooled: int) -> Counts:
        """The counts as they are now."""
        with self._lock:
            totals = {name: sum(topics.values()) for name, topics in self._counts.items()}
            names = sorted({topic for what in _BY_TOPIC for topic in self._counts[what]})
            by_topic = {
                topic: TopicCounts(**{what: self._counts[what].get(topic, 0) for what in _BY_TOPIC}) for topic in names
            }
        return Counts(**totals, spooled=spooled, topics=by_topic)
