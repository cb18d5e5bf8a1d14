"""The follower: several topics as they go on, with one Kafka client, for as long as it takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain, cycle
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import OctopusError, SchemaError
from octopus_plugins.events import Event, Topic, decode
from octopus_plugins.fabric.kafka.auth_errors import Refusals, forbidden, unreachable
from octopus_plugins.fabric.kafka.invalid_records import Skips
from octopus_plugins.fabric.kafka.merge import Merge
from octopus_plugins.fabric.kafka.reader import CLOCK_SLACK, LOOK_SECONDS, Seen, read_also, reading_options
from octopus_plugins.fabric.kafka.topics import QuietLogger, ensure_topics, topic_name

log = logging.getLogger("octopus_plugins")

_BATCH = 1000
_ASK_SECONDS = 0.5
_AGAIN_SECONDS = 0.5  # between attempts to begin
_CLOSING_SECONDS = 0.02  # between looks, meanwhile, whether it is closed: a run must not wait for that at its end
_REFUSED_SECONDS = 15.0  # after a refusal of the credentials, unless they are replaced before
_TOPIC_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}

Place = tuple[str, int]
"""A topic's Kafka name and a partition."""


class Arrival(NamedTuple):
    """An event as it arrived.

    Attributes:
        event: The event.
        partition: The partition of its topic.
        live: Whether it came after the follower had caught up.
    """

    event: Event
    partition: int
    live: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to follow of one topic.

    Attributes:
        topic: The topic.
        since: Begin with what happened at or after this time, Unix seconds; None begins with what comes.
        keep: Called with a record's key; False passes over the record before it is decoded.
        skip: Types of event that are passed over before their data is decoded.
    """

    topic: Topic
    since: float | None = None
    keep: Callable[[bytes], bool] | None = None
    skip: frozenset[str] = frozenset()


class Follower:
    """Follows topics, each event once, with low latency.

    What was there when it began comes first, all partitions merged by time; what comes later, as it comes. Unlike a
    `Reader` it never gives up: a broker that is away, also at the start, is waited for, and a topic that does not
    exist yet too, and credentials that the brokers refuse until they are replaced. Each is said once, in one log line.
    What is no event is passed over and counted. Partitions that a topic gets later are found within `LOOK_SECONDS` and
    read from their beginning.
    """

    def __init__(
        self,
        config: OctopusConfig,
        *wanted: Wanted,
        period: float = 0.1,
        level: int = logging.WARNING,
        embedded_wait: int = 10,
    ) -> None:
        """Prepare; opens nothing yet.

        Args:
            config: Which brokers.
            *wanted: What to follow.
            period: Seconds after which an empty list is given where nothing comes, so that the caller can do
                something else now and then.
            level: Of the log lines that say that the broker is away, and back; at DEBUG, of all.
            embedded_wait: Milliseconds for which an embedded broker holds a fetch. It holds each for so long, whatever
                comes: that is the delay of what comes, and each fetch costs it half a millisecond of CPU.
        """
        self._skips = Skips(lasting=True, level=logging.WARNING if level > logging.DEBUG else level)
        self._config = config
        self._wanted = {topic_name(config, each.topic): each for each in wanted}
        self._period = period
        self._level = level
        self._embedded_wait = embedded_wait
        self._closed = False  # no threading.Event: a signal handler that sets one could wait for its own thread
        self._merge: Merge[Place, Arrival] | None = None
        self._caught_up = False
        self._trouble: str | None = None
        self._told_refusal = False
        self._seen = Seen(bounded=True)
        self._next_look = cycle(self._wanted)
        self._look_at = 0.0
        self._refusals = Refusals(config)
        # Where a consumer whose credentials were refused was; for what it had not begun to read, when that was.
        self._places: dict[Place, int] = {}
        self._began: float | None = None
        self._resume_at: float | None = None

    @property
    def skipped(self) -> int:
        """Records that were no events."""
        return self._skips.count

    @property
    def caught_up(self) -> bool:
        """Whether all that was there when it began has been given; stays so."""
        return self._caught_up

    def close(self) -> None:
        """End the iteration, within a second; returns at once. May be called from any thread or signal handler."""
        self._closed = True

    def read_batches(self) -> Generator[list[Arrival], None, None]:
        """What arrives, in lists; an empty one where nothing came within the period. Ends by ``close`` only."""
        try:
            yield from self._read()
        finally:
            self._skips.report()

    def _read(self) -> Generator[list[Arrival], None, None]:
        while not self._closed:
            self._refusals = Refusals(self._config)
            try:
                consumer = Consumer(self._options(), logger=QuietLogger())
            except (OctopusError, KafkaException) as error:  # such as: no embedded broker runs yet
                yield from self._wait(str(error))
                continue
            try:
                partitions = yield from self._assign(consumer)
                if self._merge is None:
                    self._merge = Merge((each.topic, each.partition) for each in partitions)
                yield from self._follow(consumer)
                refused = self._refusals.refused
                if refused and partitions:
                    self._resume_at = self._began
                    reached = consumer.position(partitions)
                    self._places |= {(each.topic, each.partition): each.offset for each in reached if each.offset >= 0}
            finally:
                consumer.close()
            if refused:
                yield from self._wait_for_credentials()

    def _wait_for_credentials(self) -> Iterator[list[Arrival]]:
        """Wait until they have been replaced, or for a while: the refusal may have been a passing one."""
        deadline = time.monotonic() + _REFUSED_SECONDS
        while not self._closed and not self._refusals.may_be_over() and time.monotonic() < deadline:
            yield from self._wait(str(self._refusals.told), refused=True)

    def _options(self) -> dict[str, Any]:
        options = {**reading_options(self._config), "error_cb": self._on_error}
        # Kafka answers when something comes: to wait less would only cost requests.
        options["fetch.wait.max.ms"] = self._embedded_wait if self._config.embedded else 500
        return options

    def _assign(self, consumer: Any) -> Generator[list[Arrival], None, list[Any]]:
        """Begin on all partitions, when that is possible; returns them."""
        partitions: list[Any] = []
        while not partitions and not self._closed and not self._refusals.refused:
            try:
                partitions = [each for name in self._wanted for each in self._partitions(consumer, name)]
                consumer.assign(partitions)
                self._began = self._began or time.time()
            except (OctopusError, KafkaException) as error:
                partitions = []
                consumer.poll(0)  # tells the refusals
                if self._refusals.refused:
                    break
                yield from self._wait(self._reason(error))
        return partitions

    def _follow(self, consumer: Any) -> Iterator[list[Arrival]]:
        """Go on until closed, or until the topics are to be looked up again."""
        paused: set[Place] = set()
        self._look_at = time.monotonic() + LOOK_SECONDS / len(self._wanted)
        while not self._closed and not self._refusals.refused:
            self._look_for_partitions(consumer)
            first = consumer.poll(self._period)  # consume() with a timeout would wait for a whole batch
            if first is None:
                yield []
                if self._trouble is not None and self._is_back(consumer):
                    return
                continue
            messages = [first, *consumer.consume(_BATCH, 0)]
            arrivals = self._take(messages)
            if not self._caught_up:
                paused = self._hold_back(consumer, paused)
            yield arrivals
            if any(message.error() is not None and message.error().code() in _TOPIC_GONE for message in messages):
                # An embedded broker that was started anew knows nothing of what was there before.
                yield from self._wait(f"a topic of {self._config.namespace} is gone at {self._config.address}")
                return

    def _look_for_partitions(self, consumer: Any) -> None:
        """Now and then read what partitions a topic got, from their beginning; one topic at a time, for it waits."""
        if self._trouble is not None or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_SECONDS / len(self._wanted)
        name = next(self._next_look)
        try:
            read_also(consumer, name, self._numbers(consumer, name))
        except (OctopusError, KafkaException) as error:  # reading finds out whether it lasts
            log.debug("looking for partitions of %s: %s", name, error)

    def _is_back(self, consumer: Any) -> bool:
        """Whether a broker that was away answers again, and is one that forgets what it held when it is stopped.

        The offsets that we are at mean nothing to it then, and it does not say so.
        """
        try:
            consumer.list_topics(next(iter(self._wanted)), timeout=_ASK_SECONDS)
        except KafkaException:
            return False
        self._all_well()
        return self._config.embedded

    def _take(self, messages: list[Any]) -> list[Arrival]:
        if any(message.error() is None for message in messages):
            self._all_well()
        if self._caught_up:
            return list(chain.from_iterable(map(self._arrivals, messages)))
        merge = self._merge
        assert merge is not None
        for message in messages:
            place = (message.topic(), message.partition())
            for arrival in self._arrivals(message):
                merge.put(place, arrival.event.time, arrival)
            if message.error() is not None:  # its end, or that it cannot be read: it keeps nobody waiting
                merge.end(place)
        arrivals = list(merge.take())
        self._caught_up = merge.ended
        return arrivals

    def _hold_back(self, consumer: Any, paused: set[Place]) -> set[Place]:
        """Read no more of the partitions that are far ahead of the others, while there are others."""
        assert self._merge is not None
        full = set() if self._caught_up else self._merge.full() - paused
        low = paused if self._caught_up else self._merge.low() & paused
        if full:
            consumer.pause([TopicPartition(*place) for place in full])
        if low:
            consumer.resume([TopicPartition(*place) for place in low])
        return (paused | full) - low

    def _partitions(self, consumer: Any, name: str) -> list[Any]:
        numbers = self._numbers(consumer, name)
        wanted = self._wanted[name].since
        since = self._resume_at if wanted is None else wanted - CLOCK_SLACK
        if since is None:
            return [TopicPartition(name, number, OFFSET_END) for number in numbers]
        if self._config.embedded:  # which answers 0 to every search by time
            return [TopicPartition(name, number, OFFSET_BEGINNING) for number in numbers]
        millis = max(int(since * 1000), 0)
        asked = [TopicPartition(name, number, millis) for number in numbers]
        partitions: list[Any] = consumer.offsets_for_times(asked, timeout=_ASK_SECONDS)
        for each in partitions:
            if each.error is not None:
                raise KafkaException(each.error)
            each.offset = self._places.get((name, each.partition), each.offset)
        return partitions  # where nothing that new is there, the offset is that of the end

    def _numbers(self, consumer: Any, name: str) -> list[int]:
        found = consumer.list_topics(name, timeout=_ASK_SECONDS).topics[name]
        if not found.partitions and self._config.embedded:
            ensure_topics(self._config)
            found = consumer.list_topics(name, timeout=_ASK_SECONDS).topics[name]
        if found.error is not None and found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise forbidden(self._config, name)
        if not found.partitions:
            raise KafkaException(found.error or KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        return sorted(found.partitions)

    def _arrivals(self, message: Any) -> list[Arrival]:
        """What a record says that is wanted and new."""
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._all_well()
            else:
                log.debug("reading %s: %s", message.topic(), error.str())
            return []
        wanted = self._wanted[message.topic()]
        if wanted.keep is not None and not wanted.keep(message.key() or b""):
            return []
        try:
            event = decode(message.value() or b"", wanted.skip)
        except SchemaError as problem:
            self._skips.add(message, problem)
            return []
        if event is None:
            return []
        partition, live, since, is_new = message.partition(), self._caught_up, wanted.since or 0.0, self._seen.add
        return [Arrival(each, partition, live) for each in event.unfolded() if each.time >= since and is_new(each)]

    def _on_error(self, error: KafkaError) -> None:
        self._refusals(error)
        if not self._refusals.refused and error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._complain(str(self._refusals.told or unreachable(self._config, error.str())))

    def _wait(self, trouble: str, *, refused: bool = False) -> Iterator[list[Arrival]]:
        self._complain(trouble, refused=refused)
        deadline = time.monotonic() + _AGAIN_SECONDS
        while not self._closed and time.monotonic() < deadline:
            time.sleep(_CLOSING_SECONDS)
        yield []

    def _complain(self, trouble: str, *, refused: bool = False) -> None:
        if (self._trouble is None or (refused and not self._told_refusal)) and not self._closed:
            log.log(self._level, "%s; it is tried again until it is back", trouble)
        self._trouble = trouble
        self._told_refusal = refused

    def _all_well(self) -> None:
        self._refusals.forget()
        if self._trouble is not None:
            self._trouble = None
            log.log(self._level, "the topics of %s can be read again", self._config.namespace)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, OctopusError):
            return str(error)
        reason: KafkaError = error.args[0]
        if reason.code() in _TOPIC_GONE:
            return (
                f"a topic of {self._config.namespace} does not exist at {self._config.address}; `octopus topics ensure`"
                " creates them"
            )
        return str(self._refusals.error(reason.str()))
