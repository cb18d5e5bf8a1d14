"""The reader: from a topic back to events."""

from __future__ import annotations

import logging
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError, FabricError, SchemaError, TopicMissingError
from octopus_plugins.events import Event, Topic, decode
from octopus_plugins.fabric.kafka.auth_errors import Refusals, forbidden
from octopus_plugins.fabric.kafka.client_options import kafka_options
from octopus_plugins.fabric.kafka.invalid_records import Skips
from octopus_plugins.fabric.kafka.topics import QuietLogger, ensure_topics, topic_name

log = logging.getLogger("octopus_plugins")

LOOK_SECONDS = 30.0
"""Seconds after which a topic that is followed is looked at again for partitions that it has got since."""

CLOCK_SLACK = 300.0
"""Seconds that the clocks of producers may be wrong by."""

_BATCH = 1000
_POLL_SECONDS = 0.1
_ASK_SECONDS = 1.0
_LOOK_SECONDS = 1.0  # between two looks whether refused credentials have been replaced
_REFUSED_SECONDS = 15.0  # after a refusal, unless they are replaced before
_REMEMBERED = 500_000  # events in each of two generations
_UNTIL_EOF = sys.maxsize


class Reader:
    """Reads one topic, each event once, in the order of its partitions.

    A bounded reader ends at what was there when it began; with ``follow`` it goes on until ``close`` is called
    (from any thread), or a KeyboardInterrupt, which passes through after the connection is closed. Where the brokers
    refuse the credentials meanwhile it says so once, and goes on when they have been replaced. Each iteration reads
    anew.

    With ``follow``, a topic that does not exist yet is waited for, which is said once, and partitions that it gets
    later are found within `LOOK_SECONDS` and read from their beginning. Records that are no events are counted and
    skipped; the log says so once, however many there are.
    """

    def __init__(
        self,
        config: OctopusConfig,
        topic: Topic,
        *,
        since: float | None = None,
        until: float | None = None,
        follow: bool = False,
        keep: Callable[[bytes], bool] | None = None,
    ) -> None:
        """Prepare; opens nothing yet.

        Args:
            config: Which brokers.
            topic: What to read.
            since: Only events at or after this time, Unix seconds.
            until: Only events at or before this time, Unix seconds.
            follow: Go on at the end and wait for more.
            keep: Called with a record's key; False passes over the record before it is decoded.
        """
        self._config = config
        self._topic = topic
        self._name = topic_name(config, topic)
        self._since = since
        self._until = until
        self._follow = follow
        self._keep = keep
        self._closed = threading.Event()
        self._skips = Skips(lasting=follow)
        self._seen = Seen(bounded=follow)
        self._refusals = Refusals(config)
        self._told_refusal = False
        self._look_at = 0.0
        self._places: list[Any] | None = None  # where a consumer was when its credentials were refused

    @property
    def skipped(self) -> int:
        """Records that were no events, in the last iteration."""
        return self._skips.count

    def __iter__(self) -> Iterator[Event]:
        for batch in self.read_batches():
            yield from batch

    def close(self) -> None:
        """End the iteration; returns at once."""
        self._closed.set()

    def read_batches(self) -> Iterator[list[Event]]:
        """The same events in lists, none of them empty.

        Raises:
            BrokerUnreachableError: No broker answered within ``config.connect_timeout``.
            TopicMissingError: The topic does not exist; not with ``follow``.
            CredentialsError: The brokers refused us, or cannot be spoken to with this configuration.
            ConfigError: No address is known.
        """
        self._skips = Skips(lasting=self._follow)
        self._seen = Seen(bounded=self._follow)
        self._places = None
        deadline = time.monotonic() + self._config.connect_timeout
        kafka_options(self._config)  # what is wrong on this side does not pass by waiting, as a new key's refusal does
        try:
            while True:
                try:
                    yield from self._attempt()
                    return
                except CredentialsError as refusal:
                    if self._follow and self._places is not None:
                        self._wait_for_credentials(refusal)
                    elif self._refusals.is_settling() and time.monotonic() < deadline:
                        self._closed.wait(_LOOK_SECONDS)
                    else:
                        raise
        finally:
            self._skips.report()

    def _attempt(self) -> Iterator[list[Event]]:
        """Read with one consumer until the end, until closed, or until the brokers refuse the credentials."""
        self._refusals = Refusals(self._config)
        consumer = Consumer(self._options(), logger=QuietLogger())
        try:
            ends = self._assign(consumer) if self._places is None else self._resume(consumer, self._places)
            self._look_at = time.monotonic() + LOOK_SECONDS
            while not self._closed.is_set() and (self._follow or ends):
                messages = consumer.consume(_BATCH, _POLL_SECONDS)
                events = self._events(messages, ends)
                if events:
                    self._told_refusal = False
                    yield events
                elif self._refusals.refused:
                    self._places = consumer.position(consumer.assignment())
                    raise self._refusals.error("the credentials are refused")
                if self._follow and time.monotonic() >= self._look_at:
                    self._look_for_partitions(consumer)
        except FabricError:
            if not self._closed.is_set():
                raise
        finally:
            consumer.close()

    def _look_for_partitions(self, consumer: Any) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            found = consumer.list_topics(self._name, timeout=_ASK_SECONDS).topics[self._name]
            read_also(consumer, self._name, found.partitions)
        except KafkaException as error:  # reading finds out whether it lasts
            log.debug("looking for partitions of %s: %s", self._name, error)

    def _resume(self, consumer: Any, places: list[Any]) -> dict[int, int]:
        """Go on where an earlier consumer was; what it had not begun to read, it reads from its beginning."""
        for each in places:
            if each.offset < 0:
                each.offset = OFFSET_BEGINNING
        consumer.assign(places)
        return {}

    def _wait_for_credentials(self, refusal: CredentialsError) -> None:
        """Wait until they have been replaced, or for a while: the refusal may have been a passing one."""
        if not self._told_refusal:
            self._told_refusal = True
            log.warning("%s", refusal)
        deadline = time.monotonic() + _REFUSED_SECONDS
        while not self._closed.is_set() and not self._refusals.may_be_over() and time.monotonic() < deadline:
            self._closed.wait(_LOOK_SECONDS)

    def _options(self) -> dict[str, Any]:
        return {**reading_options(self._config), "error_cb": self._refusals}

    def _assign(self, consumer: Any) -> dict[int, int]:
        """Begin on all partitions; return where each of those with anything to read ends."""
        numbers = self._await_topic(consumer) if self._follow else self._partitions(consumer)
        partitions = [TopicPartition(self._name, number, OFFSET_BEGINNING) for number in numbers]
        if self._config.embedded:
            # The embedded broker forgets all but the first record of the last batch when asked for the end, and
            # answers 0 to every search by time. What it says when a fetch reaches the end is right.
            ends = {each.partition: _UNTIL_EOF for each in partitions}
        else:
            ends = {}
            for each in partitions:
                each.offset, end = self._ask(consumer, partial(consumer.get_watermark_offsets, each))
                if self._since is not None:
                    each.offset = self._offset_by_time(consumer, each, end)
                if each.offset < end:
                    ends[each.partition] = end
        consumer.assign(partitions)
        return ends

    def _offset_by_time(self, consumer: Any, partition: Any, end: int) -> int:
        # A record is produced after it happened, so that nothing after `since` was produced before it, but for
        # wrong clocks. For `until` there is no such bound: a spooled record may arrive days later.
        assert self._since is not None
        millis = max(int((self._since - CLOCK_SLACK) * 1000), 0)
        wanted = TopicPartition(partition.topic, partition.partition, millis)
        (found,) = self._ask(consumer, partial(consumer.offsets_for_times, [wanted]))
        offset: int = found.offset
        return offset if offset >= 0 else end  # none: nothing that new is there

    def _await_topic(self, consumer: Any) -> list[int]:
        """The topic's partitions, when there is such a topic."""
        told = False
        while not self._closed.is_set():
            try:
                return self._partitions(consumer)
            except TopicMissingError as error:
                if not told:
                    told = True
                    log.warning("%s; it is waited for", error)
                self._closed.wait(_ASK_SECONDS)
        return []

    def _partitions(self, consumer: Any) -> list[int]:
        metadata = self._ask(consumer, partial(consumer.list_topics, self._name)).topics[self._name]
        if metadata.error is None and metadata.partitions:
            return sorted(metadata.partitions)
        return self._missing_topic(metadata.error)

    def _ask(self, consumer: Any, question: Callable[..., Any]) -> Any:
        """Ask the broker until it answers, in pieces, so that ``close`` and Ctrl-C do not wait for it."""
        deadline = time.monotonic() + self._config.connect_timeout
        while True:
            try:
                return question(timeout=min(_ASK_SECONDS, self._config.connect_timeout))
            except KafkaException as error:
                # A topic that was created just now may have no leader yet: that passes too.
                consumer.poll(0)  # tells the refusals
                if self._closed.is_set() or self._refusals.told or time.monotonic() >= deadline:
                    raise self._refusals.error(error.args[0].str()) from error
                self._closed.wait(0.05)

    def _missing_topic(self, error: KafkaError | None) -> list[int]:
        if self._config.embedded:
            if not self._follow:
                return []  # it comes into being with its first record
            ensure_topics(self._config)
            return [0]
        if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise forbidden(self._config, self._name)
        reason = error.str() if error is not None else "it has no partitions"
        raise TopicMissingError(
            f"topic {self._name} cannot be read at {self._config.address}: {reason}",
            remedy=(
                "`octopus topics ensure` creates it, and `octopus topics list` shows what is there under this namespace"
            ),
        )

    def _events(self, messages: list[Any], ends: dict[int, int]) -> list[Event]:
        events = []
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    # Without this, offsets that hold no record (ends of transactions) could keep us waiting.
                    ends.pop(message.partition(), None)
                else:
                    log.debug("reading %s: %s", self._name, error.str())
                continue
            offset, partition = message.offset(), message.partition()
            end = ends.get(partition)
            if not self._follow:
                if end is None:
                    continue  # came after we began
                if offset + 1 >= end:
                    del ends[partition]
                if offset >= end:
                    continue
            events += self._told(message)
        return events

    def _told(self, message: Any) -> list[Event]:
        """What a record says that is wanted and new."""
        if self._keep is not None and not self._keep(message.key() or b""):
            return []
        try:
            event = decode(message.value() or b"")
        except SchemaError as error:
            self._skips.add(message, error)
            return []
        if event is None:
            return []  # of a newer version
        return [each for each in event.unfolded() if self._is_in_time(each) and self._seen.add(each)]

    def _is_in_time(self, event: Event) -> bool:
        return (self._since is None or event.time >= self._since) and (self._until is None or event.time <= self._until)


def read_also(consumer: Any, name: str, numbers: Iterable[int]) -> None:
    """Read those of a topic's partitions too that are not read yet, from their beginning.

    Raises:
        KafkaException: The consumer does not take them.
    """
    known = {each.partition for each in consumer.assignment() if each.topic == name}
    new = [TopicPartition(name, number, OFFSET_BEGINNING) for number in sorted(numbers) if number not in known]
    if new:
        consumer.incremental_assign(new)
        log.info("%s has got %d more partitions, which are read too", name, len(new))


def reading_options(config: OctopusConfig) -> dict[str, Any]:
    """The settings of a librdkafka consumer whose partitions are assigned by hand.

    Raises:
        ConfigError: No address is known.
        CredentialsError: The brokers cannot be spoken to with this configuration.
    """
    return {
        **kafka_options(config),
        # Nothing ever joins or commits to this group.
        "group.id": f"{config.namespace}.octopus-plugins-{uuid.uuid4().hex}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 10,  # the embedded broker holds every fetch for that long
        "fetch.error.backoff.ms": 100,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "queued.max.messages.kbytes": 32 * 1024,
        "log_level": 3,
    }


class Seen:
    """Which events there were already: a second copy is the same event."""

    def __init__(self, *, bounded: bool) -> None:
        self._bounded = bounded
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def add(self, event: Event) -> bool:
        """Remember an event; False where it was there before."""
        # 64 bits, keyed anew in each process: a collision among a million has a chance of 3e-8.
        key = hash((event.framework, event.run_id, event.id))  # the first two are its source
        if key in self._recent or key in self._older:
            return False
        if self._bounded and len(self._recent) >= _REMEMBERED:
            self._older, self._recent = self._recent, set()
        self._recent.add(key)
        return True
