"""What is on its way: lanes, and the batches taken from them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Protocol

from confluent_kafka import KafkaError

from octopus_plugins.fabric.produce.queues import total_bytes
from octopus_plugins.fabric.record import Record

_topic = attrgetter("topic")


class Queue(Protocol):
    """What a lane needs of its queue; ``Journal`` and ``BoundedQueue`` have it."""

    @property
    def unread(self) -> bool:
        """Whether there is anything that was not taken yet."""

    def take(self, max_bytes: int) -> tuple[list[Record], Any]:
        """Return the next records, and a token for ``acknowledge``."""

    def acknowledge(self, token: Any, count: int) -> None:
        """Forget what was taken up to this token: ``count`` records more."""

    def rewind(self) -> list[Record]:
        """Offer again what was taken and not acknowledged; return what had to be given up."""


class Batch:
    """What was taken from a lane at once, until all of it has arrived or is refused for good.

    Attributes:
        token: What its queue wants to be told when all has arrived.
        count: Records in it.
        left: Records of which nothing was heard yet.
        bytes: What it takes of the room in flight.
        topics: How many records there are of each topic, without those refused.
    """

    __slots__ = ("_failed", "bytes", "count", "left", "token", "topics")

    def __init__(self, records: list[Record], token: Any, failed: Callable[[Batch, KafkaError, Any], None]) -> None:
        """Make a batch of what a queue returned.

        Args:
            records: The records.
            token: The queue's token.
            failed: Called with the batch, error and message when the delivery of a record failed.
        """
        self.token = token
        self._failed = failed
        self.count = self.left = len(records)
        self.bytes = total_bytes(records)
        self.topics = Counter(map(_topic, records))

    def reject(self, record: Record) -> None:
        """Take out a record that is refused for good."""
        self.left -= 1
        self.topics[record.topic] -= 1

    def report(self, error: KafkaError | None, message: Any) -> None:
        """Take the delivery report of one record from librdkafka."""
        if error is None:
            self.left -= 1
        else:
            self._failed(self, error, message)


class Lane:
    """A queue on its way out."""

    def __init__(
        self,
        queue: Queue,
        *,
        counted_as: str = "delivered",
        share: float = 1.0,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make a lane.

        Args:
            queue: Where the records come from.
            counted_as: The count that its deliveries add to.
            share: The part of the bytes in flight up to which it may send.
            may_send: Whether it is its turn.
        """
        self.queue = queue
        self.counted_as = counted_as
        self.share = share
        self.may_send = may_send
        self.batches: deque[Batch] = deque()
        self.exhausted = False
