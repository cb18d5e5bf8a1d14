"""One record, written and read back.

It is a CloudEvent of a type that stands for no event class, `PROBE_TYPE`: every reader passes over types that it does
not know, so that no question, no decider and no recording ever shows it. It goes to ``heartbeats``, of which nobody
keeps or replays anything old. ``docs/decisions/0016-probe.md`` says why.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Producer as KafkaProducer

from octopus_plugins.config import OctopusConfig
from octopus_plugins.doctor.case import Case, Probe
from octopus_plugins.doctor.findings import Finding, ok, trouble
from octopus_plugins.events import Topic
from octopus_plugins.fabric.kafka.client_options import kafka_options
from octopus_plugins.fabric.kafka.reader import reading_options
from octopus_plugins.fabric.kafka.topics import QuietLogger, namespace, topic_name

PROBE_TYPE = "octopus.probe/v1"
"""The CloudEvents type of the record."""

_FORBIDDEN = {KafkaError.TOPIC_AUTHORIZATION_FAILED}
_NOT_IDEMPOTENT = ({KafkaError.CLUSTER_AUTHORIZATION_FAILED}, "luster authorization failed")
_FEW_COPIES = {KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND}
_TIMED_OUT = {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}


@dataclass(slots=True)
class _Attempt:
    """What became of an attempt to write.

    Attributes:
        done: Whether there was an answer to it.
        message: The record, where it was acknowledged.
        errors: What was said against it, and by the way.
        milliseconds: From the call until it was acknowledged.
    """

    done: bool = False
    message: Any = None
    errors: list[KafkaError] = field(default_factory=list)
    milliseconds: float = 0.0

    @property
    def given_up(self) -> bool:
        """Whether the client will never be of use again."""
        return any(each.fatal() or each.code() == KafkaError._FATAL for each in self.errors)

    def was_told(self, codes: set[int], words: str | None = None) -> bool:
        """Whether one of these was said, as a code or, of a client that has given up, in words."""
        return any(each.code() in codes or (words and words in each.str()) for each in self.errors)


def produce(case: Case) -> Finding:
    """Write the record as the emitter writes events: idempotently, acknowledged by all copies that must have it."""
    config = case.config
    name = topic_name(config, Topic.heartbeats)
    identity = uuid.uuid4().hex
    attempt = _write(case, name, identity, idempotent=True)
    if attempt.message is None and attempt.was_told(*_NOT_IDEMPOTENT):
        # A user who may write nothing at all hears the same. Without idempotence, the brokers say what it is.
        plain = _write(case, name, identity, idempotent=False)
        attempt = attempt if plain.message is not None else plain
    if attempt.message is None:
        return _not_written(case, name, attempt)
    message = attempt.message
    case.probe = Probe(identity, name, message.partition(), message.offset(), attempt.milliseconds)
    seen = f"a record to {name} was acknowledged in {_ms(attempt.milliseconds)}"
    return ok("produce", seen, topic=name, milliseconds=round(attempt.milliseconds, 2))


def _write(case: Case, name: str, identity: str, *, idempotent: bool) -> _Attempt:
    attempt = _Attempt()
    ready = threading.Event()

    def look(statistics: str) -> None:
        if json.loads(statistics).get("eos", {}).get("idemp_state") == "Assigned":
            ready.set()

    def answer(error: KafkaError | None, message: Any) -> None:
        if error is None:
            attempt.message = message
        else:
            attempt.errors.append(error)
        attempt.done = True

    options = {
        **kafka_options(case.config),
        "enable.idempotence": idempotent,
        "statistics.interval.ms": 20,
        "stats_cb": look,
        "linger.ms": 0,
        "message.timeout.ms": int(400 * case.seconds),
        "error_cb": attempt.errors.append,
        "log_level": 3,
    }
    producer = KafkaProducer(options, logger=QuietLogger())
    try:
        if name in case.metadata.topics:
            _connect(producer, name, 0.2 * case.seconds)
            # It first has itself given a number, which is no part of the way of a record.
            _wait(producer, lambda: not idempotent or ready.is_set() or attempt.given_up, 0.2 * case.seconds)
        began = time.perf_counter()
        producer.produce(name, _record(case.config, identity), _key(), on_delivery=answer)
        _wait(producer, lambda: attempt.done or attempt.given_up, 0.5 * case.seconds)
        attempt.milliseconds = 1000 * (time.perf_counter() - began)
        producer.purge()
    except KafkaException as error:  # a client that has given up raises whatever it is asked for
        attempt.errors.append(error.args[0])
    return attempt


def consume(case: Case) -> Finding:
    """Read that very record back."""
    probe = case.probe
    assert probe is not None
    consumer: Any = Consumer(reading_options(case.config), logger=QuietLogger())
    try:
        _connect(consumer, probe.topic, 0.2 * case.seconds)
        began = time.perf_counter()
        consumer.assign([TopicPartition(probe.topic, probe.partition, probe.offset)])
        error = _await(consumer, probe, 0.6 * case.seconds)
        reading = 1000 * (time.perf_counter() - began)
    finally:
        consumer.close()
    if error is not None and error.code() in _FORBIDDEN:
        text = f"{probe.topic}: {error.str()}"
        return trouble("consume.forbidden", text, case.texts())
    if error is not None:
        return trouble("consume.lost", f"{probe.topic}, offset {probe.offset}: {error.str()}", case.texts())
    total = probe.milliseconds + reading
    seen = f"the same record came back; {_ms(total)} there and back"
    return ok("consume", seen, round_trip_ms=round(total, 2), read_ms=round(reading, 2), offset=probe.offset)


def _await(consumer: Any, probe: Probe, seconds: float) -> KafkaError | None:
    """Read until the record is there; returns what stood against it, None where it came."""
    deadline = time.monotonic() + seconds
    heard = KafkaError(KafkaError._TIMED_OUT, "it did not come in time")
    while time.monotonic() < deadline:
        message = consumer.poll(0.05)
        if message is None:
            continue
        error = message.error()
        if error is None:
            if probe.id.encode() in (message.value() or b""):
                return None
        elif error.code() in _FORBIDDEN:
            return error
        elif error.code() != KafkaError._PARTITION_EOF:
            heard = error
    return heard


def _not_written(case: Case, name: str, attempt: _Attempt) -> Finding:
    said = attempt.errors[-1] if attempt.errors else KafkaError(KafkaError._MSG_TIMED_OUT)
    text = f"{name}: {said.str()}"
    # What timed out was often held up by something that was told by the way.
    for codes, words, code in (
        (_FORBIDDEN, None, "produce.forbidden"),
        (*_NOT_IDEMPOTENT, "produce.not_idempotent"),
        (_FEW_COPIES, None, "produce.few_copies"),
        (_TIMED_OUT, None, "produce.silent"),
    ):
        if attempt.was_told(codes, words):
            return trouble(code, text, case.texts())
    return trouble("produce.refused" if attempt.errors else "produce.silent", text, case.texts())


def _wait(producer: Any, condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        producer.poll(0.01)


def _connect(client: Any, name: str, seconds: float) -> None:
    """Have the connection there before the time is taken; whoever goes on finds out what is wrong."""
    try:
        client.list_topics(name, timeout=seconds)
    except KafkaException:
        client.poll(0)


def _record(config: OctopusConfig, identity: str) -> bytes:
    now = datetime.now(timezone.utc).isoformat()
    envelope = {"specversion": "1.0", "id": identity, "source": "/octopus/doctor", "type": PROBE_TYPE, "time": now}
    data = {"namespace": namespace(config), "host": socket.gethostname()}
    return json.dumps({**envelope, "datacontenttype": "application/json", "data": data}).encode()


def _key() -> bytes:
    return f"doctor/{socket.gethostname()}".encode()


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:,.0f} ms"
