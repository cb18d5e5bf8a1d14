"""A question answered as a DataFrame, against a bare consume loop over the same records."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from benchmarks.entries.sample_events import task_events
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.pairing import in_turn, ratios
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Topic
from octopus_plugins.fabric import Emitter, kafka_options, topic_name
from octopus_plugins.local import EmbeddedBroker
from octopus_plugins.streams import tasks

_SECONDS = 60.0


def measure(options: Options) -> Result:
    """Records per second from the broker into a pandas DataFrame."""
    count = 10_000 if options.quick else 100_000
    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory(prefix="octopus-bench-") as spool:
        config = OctopusConfig.load(
            profile="local", bootstrap_servers=broker.address, namespace="bench-query", spool_dir=Path(spool)
        )
        emitter = Emitter(config)
        emitter.emit(*task_events(count))
        if not emitter.flush(_SECONDS):
            raise RuntimeError(f"the events were not all delivered within {_SECONDS:g} s: {emitter.counts}")
        emitter.close()
        _query(config, count)  # the first one imports pandas
        rates = in_turn(
            {
                "to_pandas()": partial(_query, config, count),
                "iteration": partial(_iterate, config, count),
                "bare loop": partial(_bare, config, count),
            },
            options.rounds(),
        )
    bare = rates.pop("bare loop")
    figures = (
        *(Figure(f"{name} / bare loop", ratios(rate, bare), "×", Goal(0.5)) for name, rate in rates.items()),
        *(Figure(name, Spread.of(rate), "records/s") for name, rate in rates.items()),
        Figure("bare loop", Spread.of(bare), "records/s"),
    )
    notes = (
        f"{count:,} task events; ours decodes, checks and de-duplicates each, and builds the columns;"
        " the loop only counts messages (same client settings)",
    )
    return Result("query", "a topic into a DataFrame", figures, notes, {"records/s": {**rates, "bare loop": bare}})


def _query(config: OctopusConfig, count: int) -> float:
    begin = time.perf_counter()
    frame = tasks(config=config).to_pandas()
    return _rate(len(frame), count, begin)


def _iterate(config: OctopusConfig, count: int) -> float:
    begin = time.perf_counter()
    return _rate(sum(1 for _ in tasks(config=config)), count, begin)


def _bare(config: OctopusConfig, count: int) -> float:
    settings: dict[str, Any] = {
        **kafka_options(config),
        "group.id": "bench",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,
        "fetch.error.backoff.ms": 100,
        "reconnect.backoff.ms": 50,
        "queued.max.messages.kbytes": 32 * 1024,
    }
    name = topic_name(config, Topic.task_metrics)
    begin = time.perf_counter()
    consumer = Consumer(settings)
    # As our Reader does: without the metadata the first fetch waits half a second, and the loop would look slow.
    consumer.list_topics(name, timeout=10)
    consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
    found, ended = 0, False
    while not ended and time.perf_counter() - begin < _SECONDS:
        for message in consumer.consume(1000, 0.1):
            if message.error() is None:
                found += 1
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended = True
    consumer.close()
    return _rate(found, count, begin)


def _rate(found: int, expected: int, begin: float) -> float:
    seconds = time.perf_counter() - begin
    if found != expected:
        raise RuntimeError(f"{found:,} records were read in place of {expected:,}")
    return found / seconds
