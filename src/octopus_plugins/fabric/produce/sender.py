"""From the queues to the broker: one librdkafka client, rebuilt after trouble, never giving up.

A *lane* is a queue that is sent in order: the journal, what overflowed from it, the samples, the journal of
a dead process. What is taken from a lane makes a *batch*; when all of a batch has arrived, and all before it,
the lane may forget it. After trouble the client is thrown away and every lane begins again behind what it
may forget: some records are sent twice then, which readers take for one, and their order stays.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as KafkaProducer

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError, OctopusError
from octopus_plugins.events import Topic
from octopus_plugins.fabric.kafka.auth_errors import Refusals, unreachable
from octopus_plugins.fabric.kafka.client_options import kafka_options
from octopus_plugins.fabric.kafka.topics import QuietLogger, ensure_topics, topic_name
from octopus_plugins.fabric.produce.counts import Tally
from octopus_plugins.fabric.produce.lanes import Batch, Lane
from octopus_plugins.fabric.record import Record
from octopus_plugins.fabric.spool.dead_letters import RejectedFile

log = logging.getLogger("octopus_plugins")

_CHUNK_BYTES = 64 * 1024  # taken from a lane at once; small, since it is handled with the GIL held
_TOGETHER_BYTES = 900 * 1024  # given to the client before that must have arrived: a request has room for 1 MB
_LINGER_SECONDS = 0.1  # what somebody waits for is hurried; a request for each few records is dear to the broker
_FLUSH_SECONDS = 0.01  # at most, for what the client was given to leave
_SILENCE_SECONDS = 3.0  # without an answer, until a person is told
_PATIENCE_SECONDS = (5.0, 60.0)  # without an answer, until the client is thought to be beyond help: first, at most
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)
_REFUSED_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)  # after a refusal of the credentials, unless they are replaced before
_LOOK_SECONDS = 0.5  # between two looks whether they are

_REFUSED = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.POLICY_VIOLATION,
}
_PURGED = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}  # by us, with the client


class _Trouble(Exception):
    """The client must be thrown away; the message says why, for people."""


class Sender:
    """Sends lanes until it is stopped. ``run`` is one thread's work; the rest may be called from any.

    Attributes:
        trouble: What is wrong with the connection at the moment, for people; None when all is well.
        refused: Whether that is a refusal of the credentials, or that there are none.
        lanes: What is sent, the most urgent first.
        progress: Notified whenever something arrived.
    """

    def __init__(self, config: OctopusConfig, tally: Tally, lanes: list[Lane]) -> None:
        self.trouble: str | None = None
        self.refused = False
        self.lanes = lanes
        self.tally = tally
        self.progress = threading.Condition()
        self._config = config
        self._rejected = RejectedFile(config.spool_dir)
        self._client: Any = None
        self.connected = False
        """Whether a broker has answered since the connection was last begun."""
        self.failed_try = 0.0
        """When the last connection that came to trouble was begun, in seconds of ``time.monotonic``."""
        self._names: dict[str, str] = {}
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stopped = threading.Event()
        self._in_flight = 0  # bytes
        self._full = False  # the client has what it may have until that has arrived
        self._waiting_since = 0.0
        self._progressed = False
        self._patience = _PATIENCE_SECONDS[0]
        self._refusals = Refusals(config)  # what librdkafka last complained of; it repairs most of it by itself
        self._fatal: str | None = None
        self._refused: deque[tuple[Batch, Record]] = deque()

    def wake(self) -> None:
        """Say that a lane has something new."""
        if not self._wake.is_set():
            self._wake.set()

    def hurry(self) -> None:
        """Say that what a lane has now is to be sent without waiting for more."""
        self._hurry.set()
        self._wake.set()

    def stop(self) -> None:
        """Ask ``run`` to return soon (within about 0.2 s, a few seconds when the broker is silent)."""
        self._stopped.set()
        self._hurry.set()
        self._wake.set()

    def leak_client(self) -> None:
        """In a forked child: make sure that the parent's client is never destroyed, not even at exit.

        To destroy it waits for its threads, and those exist in the parent only.
        """
        if self._client is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._client))

    def _delivery_failed(self, batch: Batch, error: Any, message: Any) -> None:
        """Note a delivery report that is not good; called by librdkafka within ``poll``."""
        if error.code() in _PURGED:
            return
        if error.code() in _REFUSED:
            topic = message.topic().partition(".")[2]  # no namespace has a dot
            self._refused.append((batch, Record(topic, message.key() or b"", message.value() or b"")))
        else:
            self._fatal = f"{self._config.address} does not take records for {message.topic()}: {error.str()}"

    def run(self, housekeeping: Callable[[Sender], bool], *, once: bool = False) -> None:
        """Send until stopped.

        Args:
            housekeeping: Called about once a second while the broker answers; may change ``lanes``, and
                returns False to end.
            once: Return on trouble too, instead of trying again.
        """
        failures = 0
        while not self._stopped.is_set():
            begun = time.monotonic()
            try:
                self._connect()
                self._pump(housekeeping)
                self._stopped.set()
            except (_Trouble, OctopusError) as trouble:
                self._begin_trouble(str(trouble), refused=isinstance(trouble, CredentialsError))
            except Exception as error:  # the host must not be hurt; records stay in the journal
                log.debug("the sender failed", exc_info=True)
                self._begin_trouble(f"sending failed: {type(error).__name__}: {error}")
            self._disconnect()
            self.failed_try = begun
            if once:
                return
            failures = 0 if self._progressed else failures + 1
            if not self._stopped.is_set():
                self._pause(failures)

    def _pause(self, failures: int) -> None:
        """Wait before the next try; longer where only new credentials can help, and no longer than until there are."""
        refused = self._refusals.refused
        steps = _REFUSED_SECONDS if refused else _BACKOFF_SECONDS
        deadline = time.monotonic() + steps[min(failures, len(steps) - 1)]
        while (left := deadline - time.monotonic()) > 0:
            # A hurry ends the wait: at its end a run must not miss a broker that came back a moment ago.
            if self._hurry.wait(min(left, _LOOK_SECONDS)) or (refused and self._refusals.may_be_over()):
                break
        self._hurry.clear()

    def _connect(self) -> None:
        self._refusals = Refusals(self._config)
        options = {
            **kafka_options(self._config),
            "enable.idempotence": True,
            "message.timeout.ms": 0,  # the journal gives up nothing, so neither may the client
            "linger.ms": 100,  # what it was given is sent by `flush`
            "compression.type": "zstd",  # two fifths of lz4's bytes for about its CPU (docs/benchmarks.md)
            "queue.buffering.max.messages": 0,  # bounded in bytes, by ourselves
            "queue.buffering.max.kbytes": max(2 * self._config.in_flight_bytes // 1024, 1024),
            "message.max.bytes": 2 * self._config.max_event_bytes,  # the broker's limit is what counts
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.propagation.max.ms": 5000,
            "error_cb": self._on_error,
            "log_level": 3,
        }
        self._fatal = None
        self._progressed = False
        self._client = KafkaProducer(options, logger=QuietLogger())
        found = self._answer()
        self.connected = True
        self._names = {str(topic): topic_name(self._config, topic) for topic in Topic}
        if not found.issuperset(self._names.values()):
            ensure_topics(self._config)

    def _answer(self) -> set[str]:
        """Wait until a broker answers, and return the names of its topics."""
        deadline = time.monotonic() + self._config.connect_timeout
        while not self._stopped.is_set():
            try:
                return set(self._client.list_topics(timeout=0.5).topics)
            except KafkaException as error:
                self._client.poll(0)
                heard = self._fatal or self._refusals.told or self._refusals.hint
                if heard or time.monotonic() > deadline:
                    raise self._refusals.error(self._fatal or error.args[0].str()) from error
        raise _Trouble("stopped while waiting for the broker")

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._fatal = f"the Kafka client gave up: {error.str()}"
        else:
            self._refusals(error)

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        self.connected = False
        for lane in self.lanes:
            lane.batches.clear()
            lane.exhausted = False
            self.tally.add("dropped", [record.topic for record in lane.queue.rewind()])
        self._refused.clear()
        self._in_flight = 0
        self._full = False
        if client is not None:
            with contextlib.suppress(KafkaException):
                client.purge()  # else the client would wait for what can no longer be delivered

    def _pump(self, housekeeping: Callable[[Sender], bool]) -> None:
        waited = 0.0
        next_look = 0.0
        while not self._stopped.is_set():
            sent = 0  # bytes
            caught_up = False
            hurried = self._hurry.is_set()
            if hurried:
                self._hurry.clear()
            if self._refused:
                self._send_alone()
            if hurried or self._may_hand_over():
                for lane in self.lanes:
                    sent += self._send_from(lane)
                caught_up = not any(lane.queue.unread and lane.may_send() for lane in self.lanes)
                self._full = caught_up or self._in_flight >= _TOGETHER_BYTES
                if self._in_flight and (hurried or self._full):
                    self._client.flush(_FLUSH_SECONDS)  # which ignores linger.ms
            self._client.poll(0 if sent else min(0.005 + waited / 10, 0.1) if self._in_flight else 0)
            arrived = self._collect()
            self._look_for_trouble()
            now = time.monotonic()
            if now >= next_look:
                next_look = now + 1.0
                if not housekeeping(self):
                    return
            if sent or arrived:
                waited = 0.0
                if not self._in_flight:
                    next_look = now  # a lane may have come to its end
                if sent and caught_up:
                    # Let more gather, or a steady trickle would be sent a few records at a time.
                    self._hurry.wait(_LINGER_SECONDS)
            elif self._in_flight:
                waited += 0.005
            else:
                self._wake.wait(max(next_look - now, 0.001))
                if self._wake.is_set():
                    self._wake.clear()
                    # Let a few more gather: the host's thread is not disturbed for each single one.
                    self._hurry.wait(_LINGER_SECONDS)

    def _may_hand_over(self) -> bool:
        """Whether the client is given more: until it has as much as a request holds, and then not until that arrived.

        An idempotent client has one request on its way to a partition. While another one is ready its thread asks
        without pause whether that may go: on a busy machine, a tenth of a core that tasks could have.
        """
        return not self._in_flight or not self._full

    def _send_from(self, lane: Lane) -> int:
        """Send what is next in a lane; return how many bytes that was."""
        if self._in_flight >= self._config.in_flight_bytes * lane.share or not lane.may_send():
            return 0
        records, token = lane.queue.take(_CHUNK_BYTES)
        lane.exhausted = not records
        if not records:
            return 0
        batch = Batch(records, token, self._delivery_failed)
        lane.batches.append(batch)
        if not self._in_flight:
            self._waiting_since = time.monotonic()
        self._in_flight += batch.bytes
        produce, names, report = self._client.produce, self._names, batch.report
        for record in records:
            try:
                produce(names[record.topic], record.value, record.key, -1, report)
            except (KeyError, BufferError, KafkaException):
                if not self._produce(record, report):
                    batch.reject(record)
        return batch.bytes

    def _produce(self, record: Record, report: Callable[[Any, Any], None]) -> bool:
        """Hand a record to the client; False where the client itself refuses it."""
        name = self._names.get(record.topic) or topic_name(self._config, record.topic)
        while True:
            try:
                self._client.produce(name, record.value, record.key, -1, report)
                return True
            except BufferError:
                self._client.poll(0.05)
                self._look_for_trouble()
            except KafkaException as error:
                if error.args[0].code() not in _REFUSED:
                    raise _Trouble(f"the Kafka client takes no records: {error.args[0].str()}") from error
                self._reject(record, error.args[0].str())
                return False

    def _reject(self, record: Record, reason: str) -> None:
        self.tally.add("rejected", [record.topic])
        self._rejected.add(record, reason)

    def _send_alone(self) -> None:
        """Send what was refused once more, each alone: the refusal may have been meant for another one beside it."""
        while len(self._client):
            self._client.poll(0.1)
            self._look_for_trouble()
        while self._refused:
            batch, record = self._refused[0]
            answers: list[Any] = []
            if self._produce(record, lambda error, message: answers.append(error)):  # noqa: B023  called before the next
                while not answers:
                    self._client.poll(0.1)
                    self._look_for_trouble()
                if answers[0] is None:
                    batch.left -= 1
                    self._refused.popleft()
                    continue
                if answers[0].code() not in _REFUSED:
                    raise _Trouble(f"{self._config.address} does not take records: {answers[0].str()}")
                self._reject(record, answers[0].str())
            batch.reject(record)
            self._refused.popleft()

    def _collect(self) -> bool:
        """Let the lanes forget what has arrived."""
        arrived = False
        for lane in self.lanes:
            batches = lane.batches
            while batches and batches[0].left == 0:
                batch = batches.popleft()
                self._in_flight -= batch.bytes
                self.tally.add_numbers(lane.counted_as, batch.topics)
                lane.queue.acknowledge(batch.token, batch.count)  # last: whoever waits for it reads the counts
                arrived = True
        if arrived:
            self._waiting_since = time.monotonic()
            self._progressed = True
            self._patience = _PATIENCE_SECONDS[0]
            self._refusals.forget()
            if self.trouble is not None:
                log.info("events are delivered again to %s", self._config.address)
                self.trouble = None
                self.refused = False
            with self.progress:
                self.progress.notify_all()
        return arrived

    def _look_for_trouble(self) -> None:
        if self._refusals.refused and self._refusals.told is not None:
            raise self._refusals.told
        if self._fatal:
            raise _Trouble(self._fatal)
        if self._stopped.is_set():
            raise _Trouble("stopped")
        silent = time.monotonic() - self._waiting_since
        if self._in_flight and silent > _SILENCE_SECONDS:
            hint = self._refusals.hint or f"silent for {silent:.0f} s"
            reason = str(self._refusals.told or unreachable(self._config, hint))
            if silent > self._patience:
                # A broker that is merely slow must get its chance: longer each time.
                self._patience = min(2 * self._patience, _PATIENCE_SECONDS[1])
                raise _Trouble(reason)
            self._begin_trouble(reason, refused=self._refusals.told is not None)

    def _begin_trouble(self, reason: str, *, refused: bool = False) -> None:
        if self._stopped.is_set():
            return
        if self.trouble is None or (refused and not self.refused):
            log.warning("%s. Until then events wait in %s; nothing is held up by it", reason, self._config.spool_dir)
        self.trouble = reason
        self.refused = refused
