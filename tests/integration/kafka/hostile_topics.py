"""Topics full of hostile records with a few good ones between them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import Producer

from octopus_plugins import OctopusConfig
from octopus_plugins.events import Event, ExceptionInfo, Failure, Run, Topic, encode
from octopus_plugins.fabric import topic_name
from octopus_plugins.services.decider_service import _UNHEEDED

from ...hostile import FRAGMENTS, NEVER_EVENTS, WANTED, mutated, readable, small_run

EACH = max(1_000, WANTED)
"""Hostile records in each topic."""

_LARGE = 50_000  # bytes; more of those would only take longer to send
_SMALL = tuple(fragment for fragment in FRAGMENTS if len(fragment) < 5_000)


@dataclass
class Written:
    """What was written to the topics.

    Attributes:
        good: The good events by topic, in order.
        rejected: How many records there are in each topic that are no events.
        unheeded: How many of them say that they are samples, which a decider service passes over unread.
    """

    good: dict[Topic, list[Event]] = field(default_factory=lambda: {topic: [] for topic in Topic})
    rejected: dict[Topic, int] = field(default_factory=lambda: dict.fromkeys(Topic, 0))
    unheeded: int = 0

    @property
    def heeded(self) -> int:
        """How many a decider service counts."""
        return sum(self.rejected.values()) - self.unheeded


def failure(run_id: str, task: int, *, host: str = "n1", try_id: int = 0, memory: bool = False) -> Failure:
    """A failure that a decider has something to say of."""
    info = ExceptionInfo(type="ZeroDivisionError", mro=("ZeroDivisionError",), message="by 0", location="a.py:1 in f")
    if memory:
        info = ExceptionInfo(type="MemoryError", mro=("MemoryError",), message="Unable to allocate 8 GiB")
    place: dict[str, Any] = {"app": "f", "executor": "small", "host": host}
    return Failure(run_id=run_id, task_id=str(task), try_id=try_id, time=time.time(), exception=info, **place)


def good_events(run_id: str) -> dict[Topic, list[Event]]:
    """What a run told: 20 of its tasks failed, nobody has decided about them."""
    now = time.time()
    told = [event for event in small_run(run_id, now) if not (isinstance(event, Run) and event.state == "ended")]
    good: dict[Topic, list[Event]] = {topic: [event for event in told if event.TOPIC is topic] for topic in Topic}
    good[Topic.failures] = [failure(run_id, number, memory=number > 0) for number in range(20)]
    good[Topic.decisions] = [msgspec.structs.replace(event, run_id="past") for event in good[Topic.decisions]]
    return good


def hostile_records(topic: Topic, number: int, seed: int, run_id: str) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Keys and values of which no one is an event, though most look like one of this topic, and have its id and key."""
    rng = random.Random(seed)
    real = [event for event in small_run(run_id, 1_767_225_600.0) if event.TOPIC is topic]
    large = 10
    for _ in range(number):
        while True:
            event = rng.choice(real)
            keys = (event.key.encode(), b"*/*", f"{run_id}/*".encode(), None, b"", b"\xff/1", b"r/" + b"9" * 10_000)
            value = rng.choice(NEVER_EVENTS) if rng.random() < 0.05 else mutated(event, rng, _SMALL)
            if rng.random() < 0.02:
                value = mutated(event, rng)
            if len(value) > _LARGE:
                large -= 1
                if large < 0:
                    continue
            if readable(value) != "event":
                yield rng.choice(keys[:1] * 6 + keys), rng.choice((value, value, value, value or None))
                break


def write(
    config: OctopusConfig, good: dict[Topic, list[Event]], number: int = EACH, seed: int = 1, run_id: str = "r"
) -> Written:
    """Write so many hostile records to each topic, with good ones before, between and behind them."""
    refused: list[Any] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            refused.append(error)

    # In order, also after a retry.
    options = {"bootstrap.servers": config.servers, "linger.ms": 5, "enable.idempotence": True}
    producer = Producer({**options, "on_delivery": delivered})
    written = Written()
    for topic in Topic:
        waiting, name = list(good.get(topic, ())), topic_name(config, topic)
        every = max(number // max(len(waiting) - 1, 1), 1)
        for at, (key, value) in enumerate(hostile_records(topic, number, seed, run_id)):
            if waiting and len(waiting) > 1 and at % every == 0:
                _send(producer, name, waiting.pop(0), written)
            headers = [("content-type", b"\xff\x00"), ("", None)] if at % 7 == 0 else None
            producer.produce(name, value, key, headers=headers)
            producer.poll(0)
            if readable(value or b"") == "rejected":
                written.rejected[topic] += 1
                written.unheeded += readable(value or b"", skip=_UNHEEDED) == "later"
        for event in waiting:
            _send(producer, name, event, written)
        assert producer.flush(120) == 0
        assert not refused
    return written


def _send(producer: Producer, name: str, event: Event, written: Written) -> None:
    producer.produce(name, encode(event), event.key.encode())
    written.good[event.TOPIC].append(event)
