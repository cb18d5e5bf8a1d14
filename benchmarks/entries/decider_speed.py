"""The decider service's own speed: from a failure to its decision, and failures a second."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, Producer, TopicPartition

from benchmarks.entries.sample_events import RUN_ID, failure
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.pairing import in_turn, ratios
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Decision, Failure, Topic
from octopus_plugins.fabric import Emitter, ensure_topics, kafka_options, topic_name
from octopus_plugins.fabric.consumer import reading_options
from octopus_plugins.local import EmbeddedBroker
from octopus_plugins.plugins import Plugins
from octopus_plugins.services import Decider, DecisionInbox

_SECONDS = 60.0


def measure(options: Options) -> Result:
    """From a failure to its decision, against one produce-consume round trip; and failures a second."""
    trips, failed = (50, 1_000) if options.quick else (300, 10_000)
    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory(prefix="octopus-bench-") as spool:

        def config(name: str) -> OctopusConfig:
            settings = {"bootstrap_servers": broker.address, "namespace": name, "spool_dir": Path(spool) / name}
            made = OctopusConfig.load(profile="local", **settings)
            ensure_topics(made)
            return made

        there_and_back = sorted(_round_trips(config("bench-trips"), trips))
        decided = sorted(_decisions(config("bench-decisions"), trips))
        busy = config("bench-rate")
        emitter = Emitter(busy)
        emitter.emit(*(_now(number) for number in range(failed)))
        if not emitter.flush(_SECONDS):
            raise RuntimeError(f"the failures were not all delivered within {_SECONDS:g} s: {emitter.counts}")
        emitter.close()
        variants = {"decider": partial(_decide_all, busy, failed), "bare loop": partial(_consume_all, busy, failed)}
        # Once: what is decided is not decided again.
        rates = in_turn(variants, 1)
    middle, worst = len(decided) // 2, len(decided) * 99 // 100
    figures = [
        Figure(
            f"failure to decision / round trip, {name}",
            Spread.of([decided[place] / there_and_back[place]]),
            "×",
            Goal(3, at_least=False),
        )
        for name, place in (("p50", middle), ("p99", worst))
    ]
    figures += [
        Figure("failure to decision, p50", Spread.of([decided[middle] * 1000]), "ms"),
        Figure("failure to decision, p99", Spread.of([decided[worst] * 1000]), "ms"),
        Figure("round trip, p50", Spread.of([there_and_back[middle] * 1000]), "ms"),
        Figure("decider / bare loop", ratios(rates["decider"], rates["bare loop"]), "×", Goal(0.3)),
        Figure("decider", Spread.of(rates["decider"]), "failures/s"),
    ]
    notes = (
        "embedded broker, which holds a fetch for up to 10 ms: two are in the way of a decision, one in a round trip",
        f"{trips} decisions one after the other, service in a thread of this process; {failed:,} failures that waited",
    )
    raw = {"round trip in s": there_and_back, "failure to decision in s": decided, "per second": rates}
    return Result("decider-speed", "from a failure to its decision", tuple(figures), notes, raw)


def _now(number: int) -> Failure:
    return msgspec.structs.replace(failure(number), time=time.time())


def _round_trips(config: OctopusConfig, number: int) -> Iterator[float]:
    producer = Producer({**kafka_options(config), "linger.ms": 0})
    consumer = Consumer(reading_options(config))
    name = topic_name(config, Topic.decisions)
    consumer.assign([TopicPartition(name, 0, OFFSET_END)])
    consumer.poll(1.0)
    for _ in range(number):
        begin = time.perf_counter()
        producer.produce(name, b"x" * 1000, b"key")
        producer.poll(0)
        while (message := consumer.poll(5.0)) is not None and message.error() is not None:
            pass
        if message is None:
            raise RuntimeError("a record did not come back within 5 s")
        yield time.perf_counter() - begin
    producer.flush(5)
    consumer.close()


def _decisions(config: OctopusConfig, number: int) -> Iterator[float]:
    arrived = threading.Semaphore(0)

    def hear(decision: Decision) -> None:
        arrived.release()

    inbox, emitter = DecisionInbox(config, RUN_ID, hear), Emitter(config)
    inbox.start()
    try:
        with _service(config):
            while not inbox.service_alive():
                time.sleep(0.01)
            for one in range(-1, number):
                begin = time.perf_counter()
                emitter.emit(_now(one + 1))
                emitter.hurry()
                if not arrived.acquire(timeout=10):
                    raise RuntimeError("a failure was not decided within 10 s")
                if one >= 0:  # the first one finds the emitter not yet connected
                    yield time.perf_counter() - begin
    finally:
        inbox.close()
        emitter.close()


@contextmanager
def _service(config: OctopusConfig) -> Iterator[None]:
    decider = Decider(config, plugins=Plugins())
    thread = threading.Thread(target=decider.run)
    thread.start()
    try:
        yield
    finally:
        decider.close()
        thread.join(10)


def _decide_all(config: OctopusConfig, expected: int) -> float:
    decider = Decider(config, plugins=Plugins())
    begin = time.perf_counter()
    decider.run(once=True)
    return _rate(decider.decided, expected, begin)


def _consume_all(config: OctopusConfig, expected: int) -> float:
    name = topic_name(config, Topic.failures)
    begin = time.perf_counter()
    consumer = Consumer(reading_options(config))
    consumer.list_topics(name, timeout=10)
    consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
    found, ended = 0, False
    while not ended and time.perf_counter() - begin < _SECONDS:
        for message in consumer.consume(1000, 0.1):
            found += message.error() is None
            ended = ended or (message.error() is not None and message.error().code() == KafkaError._PARTITION_EOF)
    consumer.close()
    return _rate(found, expected, begin)


def _rate(found: int, expected: int, begin: float) -> float:
    seconds = time.perf_counter() - begin
    if found != expected:
        raise RuntimeError(f"{found:,} of {expected:,} failures were read or decided")
    return found / seconds
