"""What the codecs of the Kafka client save and cost, on records as a run sends them."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass

from confluent_kafka import Producer

from benchmarks.entries.sample_events import failure, sample, task_event
from benchmarks.figures import Figure, Options, Result, Spread
from benchmarks.usage import process_cpu
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Topic, encode
from octopus_plugins.fabric import ensure_topics, kafka_options, topic_name
from octopus_plugins.local import EmbeddedBroker

CODECS = ("none", "lz4", "zstd", "snappy", "gzip")
OURS = "zstd"
BATCH = 200
"""Records sent together: what 2,000 a second come to within the sender's 100 ms."""

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Cost:
    """What one codec came to: microseconds of CPU and bytes on the wire, for each record."""

    producing: float
    broker: float
    bytes: float


def measure(options: Options) -> Result:
    """CPU of producer and broker, and bytes on the wire, of each compression codec on a run's records."""
    count = 4_000 if options.quick else 100_000
    made = (task_event, task_event, task_event, sample, failure)
    records = []
    for number in range(count):
        event = made[number % len(made)](number)
        records.append((event.key.encode(), encode(event)))
    size = sum(len(key) + len(value) for key, value in records) / count
    found: dict[str, list[_Cost]] = {codec: [] for codec in CODECS}
    with EmbeddedBroker() as broker:
        for number in range(options.rounds()):
            for codec in CODECS if number % 2 == 0 else reversed(CODECS):
                found[codec].append(_send(broker, codec, records))
    figures = []
    for codec, costs in found.items():
        said = f"{codec} (ours)" if codec == OURS else codec
        over = [cost.producing / base.producing for cost, base in zip(costs, found["none"], strict=True)]
        figures += [
            Figure(f"{said}: bytes on the wire / before", Spread.of(cost.bytes / size for cost in costs), "×"),
            Figure(f"{said}: CPU of the producer / with none", Spread.of(over), "×"),
            Figure(f"{said}: CPU of the producer, a record", Spread.of(cost.producing for cost in costs), "µs"),
            Figure(f"{said}: CPU of the broker, a record", Spread.of(cost.broker for cost in costs), "µs"),
        ]
    notes = (
        f"{count:,} records of {size:,.0f} bytes: three task states, a sample and a failure in turn, encoded before, in"
        f" batches of {BATCH}; embedded broker",
    )
    raw = {codec: [[cost.producing, cost.broker, cost.bytes] for cost in costs] for codec, costs in found.items()}
    return Result("compression", "codecs of the Kafka client", tuple(figures), notes, raw)


def _send(broker: EmbeddedBroker, codec: str, records: list[tuple[bytes, bytes]]) -> _Cost:
    config = OctopusConfig.load(
        profile="local", bootstrap_servers=broker.address, namespace=f"bench-{uuid.uuid4().hex[:12]}"
    )
    ensure_topics(config)
    name = topic_name(config, Topic.task_metrics)
    sent: list[int] = []
    producer = Producer(
        {
            **kafka_options(config),
            "enable.idempotence": True,
            "compression.type": codec,
            "linger.ms": 5,
            "statistics.interval.ms": 100,
            "stats_cb": lambda text: sent.append(sum(each["txbytes"] for each in json.loads(text)["brokers"].values())),
        }
    )
    producer.list_topics(timeout=10)
    begin = _cpu(broker)
    for start in range(0, len(records), BATCH):
        for key, value in records[start : start + BATCH]:
            producer.produce(name, value, key)
        if producer.flush(_SECONDS):
            raise RuntimeError(f"records were not delivered within {_SECONDS:g} s with {codec}")
    end = _cpu(broker)
    seen, deadline = len(sent), time.monotonic() + _SECONDS
    while len(sent) < seen + 2:  # the first one may have been made before the last record went
        producer.poll(0.1)
        if time.monotonic() > deadline:
            raise RuntimeError("the Kafka client tells no statistics")
    producing, consuming = (1e6 * (after - before) / len(records) for before, after in zip(begin, end, strict=True))
    return _Cost(producing, consuming, sent[-1] / len(records))


def _cpu(broker: EmbeddedBroker) -> tuple[float, float]:
    return time.process_time(), process_cpu(broker.pid)
