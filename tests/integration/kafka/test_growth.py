"""Topics of Apache Kafka that come into being, and grow, while they are read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from octopus_plugins import OctopusConfig
from octopus_plugins.events import Event, Task, Topic
from octopus_plugins.fabric import Emitter, Reader, ensure_topics, topic_name
from octopus_plugins.fabric.kafka import reader as consumer_module

Wait = Callable[..., None]
Emitting = Callable[[OctopusConfig], Emitter]


def task(number: int) -> Task:
    return Task(run_id="r", task_id=str(number), time=time.time(), state="running")


@contextmanager
def following(reader: Reader) -> Iterator[list[Event]]:
    arrived: list[Event] = []
    thread = threading.Thread(target=lambda: arrived.extend(reader))
    thread.start()
    try:
        yield arrived
    finally:
        reader.close()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "LOOK_SECONDS", 0.5)


def test_a_reader_that_follows_reads_the_partitions_that_its_topic_gets_later(
    open_config: OctopusConfig, emitting: Emitting, wait_for: Wait
) -> None:
    name = topic_name(open_config, Topic.task_metrics)
    admin = AdminClient({"bootstrap.servers": open_config.servers})
    admin.create_topics([NewTopic(name, num_partitions=1)])[name].result(30)
    ensure_topics(open_config)
    first = emitting(open_config)
    first.emit(*map(task, range(30)))
    assert first.flush(90)
    with following(Reader(open_config, Topic.task_metrics, follow=True)) as arrived:
        wait_for(lambda: len(arrived) == 30)
        admin.create_partitions([NewPartitions(name, 3)])[name].result(30)
        second = Emitter(open_config)  # a client of its own, which knows of all partitions
        try:
            second.emit(*map(task, range(30, 90)))
            assert second.flush(90)
        finally:
            second.close(5)
        wait_for(lambda: len(arrived) >= 90)
    assert sorted(event.id for event in arrived) == sorted(task(number).id for number in range(90))
    assert list(Reader(open_config, Topic.task_metrics))


def test_a_reader_that_follows_waits_for_a_topic_that_does_not_exist_and_says_so_once(
    open_config: OctopusConfig, emitting: Emitting, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    with following(Reader(open_config, Topic.task_metrics, follow=True)) as arrived:
        wait_for(lambda: "it is waited for" in caplog.text)
        emitter = emitting(open_config)
        emitter.emit(*map(task, range(10)))
        assert emitter.flush(90)
        wait_for(lambda: len(arrived) == 10)
    assert caplog.text.count("it is waited for") == 1
    assert "octopus topics ensure" in caplog.text
