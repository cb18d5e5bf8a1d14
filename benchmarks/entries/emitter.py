"""The emitter against a bare confluent-kafka produce loop on the same bytes."""

from __future__ import annotations

import tempfile
import time
import uuid
from functools import partial
from pathlib import Path

from confluent_kafka import Producer

from benchmarks.entries.sample_events import task_events
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.pairing import in_turn, ratios
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Task, Topic, encode
from octopus_plugins.fabric import Emitter, ensure_topics, kafka_options, topic_name
from octopus_plugins.local import EmbeddedBroker

GROUP = 100
"""Events given to one call of ``emit``, where they are given in groups."""

_DELIVERY_SECONDS = 60.0


def measure(options: Options) -> Result:
    """Events per second from the object to the broker's acknowledgement."""
    events = task_events(10_000 if options.quick else 100_000)
    size = sum(len(encode(event)) for event in events) // len(events)
    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory(prefix="octopus-bench-") as spool:
        config = OctopusConfig.load(
            profile="local", bootstrap_servers=broker.address, namespace="bench", spool_dir=Path(spool)
        )
        variants = {
            "emit one by one": partial(_emit, config, events, 1),
            f"emit {GROUP} at a time": partial(_emit, config, events, GROUP),
            "bare loop": partial(_bare, config, events),
        }
        rates = in_turn(variants, options.rounds())
    bare = rates.pop("bare loop")
    figures = (
        *(Figure(f"{name} / bare loop", ratios(measured, bare), "×", Goal(0.8)) for name, measured in rates.items()),
        *(Figure(name, Spread.of(measured), "events/s") for name, measured in rates.items()),
        Figure("bare loop", Spread.of(bare), "events/s"),
    )
    notes = (
        f"{len(events):,} task events of {size} bytes, one process, embedded broker; until all are acknowledged",
        "ours also encodes each event and writes it to the journal on disk; the loop sends bytes encoded before."
        " Both idempotent, zstd, linger 5 ms.",
    )
    return Result("emitter", "one process to the broker", figures, notes, {"events/s": {**rates, "bare loop": bare}})


def _emit(config: OctopusConfig, events: list[Task], group: int) -> float:
    emitter = Emitter(config.model_copy(update={"namespace": _namespace(config)}))
    emitter.emit(events[0])
    if not emitter.flush(_DELIVERY_SECONDS):
        raise RuntimeError(f"the first event was not delivered within {_DELIVERY_SECONDS:g} s")
    begin = time.perf_counter()
    for start in range(0, len(events), group):
        emitter.emit(*events[start : start + group])
    if not emitter.flush(_DELIVERY_SECONDS):
        raise RuntimeError(f"the events were not all delivered within {_DELIVERY_SECONDS:g} s: {emitter.counts}")
    rate = len(events) / (time.perf_counter() - begin)
    emitter.close()
    return rate


def _bare(config: OctopusConfig, events: list[Task]) -> float:
    config = config.model_copy(update={"namespace": _namespace(config)})
    ensure_topics(config)
    name = topic_name(config, Topic.task_metrics)
    encoded = [(event.key.encode(), encode(event)) for event in events]
    producer = Producer(
        {
            **kafka_options(config),
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "zstd",
            "queue.buffering.max.messages": 0,
        }
    )
    failed: list[str] = []

    def delivered(error: object, message: object) -> None:
        if error is not None:
            failed.append(str(error))

    producer.list_topics(timeout=10)
    begin = time.perf_counter()
    for key, value in encoded:
        producer.produce(name, value, key, on_delivery=delivered)
        producer.poll(0)
    producer.flush(_DELIVERY_SECONDS)
    rate = len(encoded) / (time.perf_counter() - begin)
    if failed or len(producer):
        raise RuntimeError(f"{len(failed)} records failed and {len(producer)} were not delivered: {failed[:1]}")
    return rate


def _namespace(config: OctopusConfig) -> str:
    """A fresh one: each run writes to empty topics."""
    return f"{config.namespace}-{uuid.uuid4().hex[:12]}"
