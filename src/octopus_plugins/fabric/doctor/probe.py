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
from datetime import datetime, timezone
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Producer as KafkaProducer

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Topic
from octopus_plugins.fabric.consumer import reading_options
from octopus_plugins.fabric.credentials import kafka_options
from octopus_plugins.fabric.doctor.case import Case, Probe
from octopus_plugins.fabric.doctor.findings import Finding, ok, trouble
from octopus_plugins.fabric.topics import QuietLogger, namespace, topic_name

PROBE_TYPE = "octopus.probe/v1"
"""The CloudEvents type of the record."""

_FORBIDDEN = {KafkaError.TOPIC_AUTHORIZATION_FAILED}
_NOT_IDEMPOTENT = {KafkaError.CLUSTER_AUTHORIZATION_FAILED}
_FEW_COPIES = {KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND}
_TIMED_OUT = {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}


def produce(case: Case) -> Finding:
    """Write the record as the emitter writes events: idempotently, acknowledged by all copies that must have it."""
    config = case.config
    name = topic_name(config, Topic.heartbeats)
    identity = uuid.uuid4().hex
    answers: list[tuple[Any, Any]] = []
    heard: list[KafkaError] = []
    ready = threading.Event()

    def look(statistics: str) -> None:
        if json.loads(statistics).get("eos", {}).get("idemp_state") == "Assigned":
            ready.set()

    options = {
        **kafka_options(config),
        "enable.idempotence": True,
        "statistics.interval.ms": 20,
        "stats_cb": look,
        "linger.ms": 0,
        "message.timeout.ms": int(400 * case.seconds),
        "error_cb": heard.append,
        "log_level": 3,
    }
    producer = KafkaProducer(options, logger=QuietLogger())
    if name in case.metadata.topics:
        _connect(producer, name, 0.2 * case.seconds)
        # It first has itself given a number, which is no part of the way of a record.
        _wait(producer, ready.is_set, 0.2 * case.seconds)
    began = time.perf_counter()
    producer.produce(name, _record(config, identity), _key(), on_delivery=lambda *answer: answers.append(answer))
    _wait(producer, lambda: answers or any(each.fatal() for each in heard), 0.5 * case.seconds)
    milliseconds = 1000 * (time.perf_counter() - began)
    if not answers or answers[0][0] is not None:
        error = answers[0][0] if answers else next((each for each in heard if each.fatal()), None)
        producer.purge()
        return _not_written(case, name, error, heard)
    message = answers[0][1]
    case.probe = Probe(identity, name, message.partition(), message.offset(), milliseconds)
    seen = f"a record to {name} was acknowledged in {_ms(milliseconds)}"
    return ok("produce", seen, topic=name, milliseconds=round(milliseconds, 2))


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
        return trouble("consume.forbidden", text, user=case.user, namespace=namespace(case.config))
    if error is not None:
        return trouble("consume.lost", f"{probe.topic}, offset {probe.offset}: {error.str()}", twice=8 * case.seconds)
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


def _not_written(case: Case, name: str, error: KafkaError | None, heard: list[KafkaError]) -> Finding:
    values: dict[str, Any] = {"user": case.user, "namespace": namespace(case.config), "twice": 8 * case.seconds}
    # What timed out was often held up by something that was told by the way.
    codes = {each.code() for each in [*([error] if error is not None else []), *heard]}
    text = f"{name}: {(error or KafkaError(KafkaError._MSG_TIMED_OUT)).str()}"
    for known, code in (
        (_FORBIDDEN, "produce.forbidden"),
        (_NOT_IDEMPOTENT, "produce.not_idempotent"),
        (_FEW_COPIES, "produce.few_copies"),
        (_TIMED_OUT, "produce.silent"),
    ):
        if codes & known:
            return trouble(code, text, **values)
    return trouble("produce.silent" if error is None else "produce.refused", text, **values)


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
