"""A failure to a decider service and its decision back, on Apache Kafka, against one round trip of the bare client."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

from benchmarks.entries.decider_service import check, configured, serving
from benchmarks.entries.sample_events import failure
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.session import environment
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Decision, Topic, encode
from octopus_plugins.fabric import Emitter, ensure_topics, kafka_options, topic_name
from octopus_plugins.fabric.kafka.reader import reading_options
from octopus_plugins.local import ApacheKafka
from octopus_plugins.services import DecisionInbox

_READY_SECONDS = 60.0
_TRIP_SECONDS = 20.0


def measure(options: Options) -> Result:
    """p50 and p99 from a failure to its decision through `octopus wrath serve`, and of a bare round trip."""
    trips, rounds = (30, 2) if options.quick else (300, options.rounds())
    bare: list[list[float]] = []
    decided: list[list[float]] = []
    with tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory, ApacheKafka() as kafka:
        home = Path(directory)
        settings = {**kafka.client_settings("bench-trips"), "spool_dir": home / "spool"}
        config = OctopusConfig(**settings)
        ensure_topics(config)
        surroundings = {**environment(kafka.address, "bench-trips", home / "spool"), "OCTOPUS_PROFILE": "kafka"}
        log = home / "service.log"
        with serving(surroundings, log) as service, _bare(config) as there_and_back, _decisions(config) as decide:
            decide()  # the first one waits for the service, and connects
            for number in range(rounds):
                parts = [(bare, there_and_back), (decided, decide)]
                for found, once in parts if number % 2 == 0 else reversed(parts):
                    found.append(sorted(once() for _ in range(trips)))
            check(service, log)
    return result(bare, decided)


def result(bare: list[list[float]], decided: list[list[float]]) -> Result:
    """The figures.

    Args:
        bare: Seconds of each round trip, sorted, round by round.
        decided: Seconds from each failure to its decision, sorted, round by round.
    """
    figures = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ratio = Spread.of(_at(ours, share) / _at(trip, share) for ours, trip in zip(decided, bare, strict=True))
        figures.append(Figure(f"failure to decision / round trip, {name}", ratio, "×", Goal(3, at_least=False)))
    for said, found in (("failure to decision", decided), ("round trip", bare)):
        figures += [
            Figure(f"{said}, {name}", Spread.of(1000 * _at(one, share) for one in found), "ms")
            for name, share in (("p50", 0.5), ("p99", 0.99))
        ]
    notes = (
        f"one node of Apache Kafka; {len(bare[0]):,} of each in a round, one after the other; the service is"
        " `octopus wrath serve`, a process of its own",
        "from `emit` of the failure until the run's inbox hands over the decision, which is when a waiting retry"
        " handler applies it; the bare client produces the failure's bytes without lingering, and consumes them",
        "two records go one after the other, failure and decision: 2 × is the least that there can be",
    )
    return Result(
        "round-trip",
        "a failure to a decider service and back",
        tuple(figures),
        notes,
        {"round trip in s": bare, "failure to decision in s": decided},
    )


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@contextmanager
def _bare(config: OctopusConfig) -> Iterator[Callable[[], float]]:
    """What makes one round trip through the topic of decisions of a namespace beside, and tells its seconds."""
    config = config.model_copy(update={"namespace": f"{config.namespace}-bare"})
    ensure_topics(config)
    name = topic_name(config, Topic.failures)
    producer = Producer({**kafka_options(config), "linger.ms": 0, "enable.idempotence": True, "log_level": 3})
    consumer = Consumer(reading_options(config))
    consumer.assign([TopicPartition(name, 0, OFFSET_END)])
    value = encode(failure(0))

    def once() -> float:
        begin = time.perf_counter()
        producer.produce(name, value, b"key")
        producer.poll(0)
        while time.perf_counter() < begin + _TRIP_SECONDS:
            message = consumer.poll(1.0)
            if message is not None and message.error() is None:
                return time.perf_counter() - begin
        raise RuntimeError(f"a record did not come back within {_TRIP_SECONDS:g} s")

    while consumer.poll(1.0) is None:  # the end of the empty partition: from here on it hears everything
        pass
    once()
    try:
        yield once
    finally:
        producer.flush(5)
        consumer.close()


@contextmanager
def _decisions(config: OctopusConfig) -> Iterator[Callable[[], float]]:
    """What has one failure decided by the service, and tells its seconds."""
    run_id = str(uuid.uuid4())
    arrived = threading.Semaphore(0)
    number = 0

    def hear(decision: Decision) -> None:
        arrived.release()

    inbox, emitter = DecisionInbox(config, run_id, hear), Emitter(config)

    def once() -> float:
        nonlocal number
        failed = msgspec.structs.replace(failure(number), run_id=run_id, time=time.time())
        number += 1
        begin = time.perf_counter()
        emitter.emit(failed)
        emitter.hurry()
        if not arrived.acquire(timeout=_TRIP_SECONDS):
            raise RuntimeError(f"a failure was not decided within {_TRIP_SECONDS:g} s")
        return time.perf_counter() - begin

    emitter.emit(configured(run_id))
    inbox.start()
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not inbox.service_alive():
            if time.monotonic() > deadline:
                raise RuntimeError(f"no heartbeat of the decider service arrived within {_READY_SECONDS:g} s")
            time.sleep(0.01)
        yield once
    finally:
        inbox.close()
        emitter.close()
