"""Topics as they go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from octopus_plugins import OctopusConfig
from octopus_plugins.events import Heartbeat, ResourceSample, Task, Topic, Usage
from octopus_plugins.fabric import Emitter, topic_name
from octopus_plugins.fabric.kafka import follower as follower_module
from octopus_plugins.fabric.kafka.follower import Arrival, Follower, Wanted
from octopus_plugins.fabric.kafka.merge import FULL
from octopus_plugins.local import EmbeddedBroker

Wait = Callable[..., None]


def task(number: int, time: float = 1.0, run: str = "r") -> Task:
    return Task(run_id=run, task_id=str(number), time=time, state="running")


def beat(number: int, time: float = 1.0) -> Heartbeat:
    return Heartbeat(run_id="r", host=f"h{number}", time=time)


@contextmanager
def following(follower: Follower) -> Iterator[list[Arrival]]:
    arrived: list[Arrival] = []
    closed = threading.Event()
    late: list[list[Arrival]] = []

    def read() -> None:
        for arrivals in follower.read_batches():
            if closed.is_set():
                late.append(arrivals)
            arrived.extend(arrivals)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield arrived
    finally:
        follower.close()
        closed.set()
        thread.join(30)
        assert not thread.is_alive()
        assert len(late) <= 1, "what was under way comes, and nothing after it"


def test_types_that_are_skipped_do_not_come(config: OctopusConfig, emitter: Emitter, wait_for: Wait) -> None:
    sample = ResourceSample(run_id="r", task_id="1", time=1.0, usage=Usage(time=1.0))
    emitter.emit(task(1), sample, task(2))
    assert emitter.flush(10)
    with following(Follower(config, Wanted(Topic.task_metrics, 0.0, skip=frozenset({sample.TYPE})))) as arrived:
        wait_for(lambda: len(arrived) >= 2)
        emitter.emit(sample, task(3))
        wait_for(lambda: len(arrived) >= 3)
    assert [each.event for each in arrived] == [task(1), task(2), task(3)]


def test_what_was_there_comes_in_the_order_of_time_however_far_apart_the_topics_are(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait
) -> None:
    number = 2 * FULL + 500
    # The later half of one topic, all of the other, the earlier half: neither can be read first.
    emitter.emit(*(task(one, 10.0 + one) for one in range(number)))
    assert emitter.flush(30)
    for first in range(0, number, 1000):  # samples are dropped when too many wait
        emitter.emit(*(beat(one, 10.0 + number / 2 + one) for one in range(first, min(first + 1000, number))))
        assert emitter.flush(30)
    follower = Follower(config, Wanted(Topic.task_metrics, 0.0), Wanted(Topic.heartbeats, 0.0))
    with following(follower) as arrived:
        wait_for(lambda: follower.caught_up)
        emitter.emit(task(-1, 5.0))
        wait_for(lambda: len(arrived) == 2 * number + 1)
    times = [arrival.event.time for arrival in arrived]
    assert times[:-1] == sorted(times[:-1])
    assert times[-1] == 5.0
    assert [arrival.live for arrival in arrived] == [False] * (2 * number) + [True]


def test_each_event_comes_once_and_only_what_is_wanted_is_decoded(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait
) -> None:
    emitter.emit(task(1, 5.0), task(2, 50.0), task(2, 50.0), task(3, 60.0, run="other"), beat(1, 60.0))
    assert emitter.flush(10)
    follower = Follower(
        config,
        Wanted(Topic.task_metrics, 10.0, lambda key: key.startswith(b"r/")),
        Wanted(Topic.heartbeats),
    )
    with following(follower) as arrived:
        wait_for(lambda: follower.caught_up)
        emitter.emit(task(2, 50.0), task(4, 70.0), beat(2, 70.0))
        wait_for(lambda: len([one for one in arrived if one.live]) >= 2)
    keys = [arrival.event.key for arrival in arrived if isinstance(arrival.event, Task)]
    assert keys == ["r/2", "r/4"]
    assert "r/h2" in [arrival.event.key for arrival in arrived]


@pytest.mark.parametrize("behind", [True, False])
def test_partitions_that_a_topic_gets_later_are_read_from_their_beginning(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait, monkeypatch: pytest.MonkeyPatch, behind: bool
) -> None:
    # The embedded broker cannot add partitions to a topic: of three that there are, one is shown at first.
    monkeypatch.setattr(follower_module, "LOOK_SECONDS", 0.2)
    admin = AdminClient({"bootstrap.servers": config.servers})
    name = topic_name(config, Topic.task_metrics)
    admin.create_topics([NewTopic(name, num_partitions=3, replication_factor=1)])[name].result(10)
    wait_for(lambda: len(admin.list_topics(name, timeout=5).topics[name].partitions) == 3)
    asked: list[str] = []
    grown = threading.Event()

    class Growing(Follower):
        def _numbers(self, consumer: Any, name: str) -> list[int]:
            asked.append(name)
            numbers = super()._numbers(consumer, name)
            return numbers if grown.is_set() else numbers[:1]

    emitter.emit(*(task(number) for number in range(60)))
    assert emitter.flush(10)
    since = 0.0 if behind else None
    follower = Growing(config, Wanted(Topic.task_metrics, since), Wanted(Topic.heartbeats, since))
    with following(follower) as arrived:
        wait_for(lambda: len(asked) > 4)
        assert len(arrived) < 60
        before = len(arrived)
        grown.set()
        wait_for(lambda: {arrival.partition for arrival in arrived[before:]} == {1, 2})
        emitter.emit(*(task(number) for number in range(60, 120)))
        wait_for(lambda: len(arrived) >= before + 60)
        wait_for(lambda: {arrival.event.task_id for arrival in arrived} >= {str(number) for number in range(60, 120)})
    assert len({arrival.event.id for arrival in arrived}) == len(arrived)
    if behind:
        assert len(arrived) == 120


@pytest.mark.slow
def test_a_broker_that_is_started_anew_with_nothing_in_it_is_followed_again(
    make_config: Callable[..., OctopusConfig], tmp_path: Path, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedBroker() as broker:
        config = make_config(broker.address)
        emitter = Emitter(config)
        follower = Follower(config, Wanted(Topic.task_metrics, 0.0))
        try:
            with following(follower) as arrived:
                emitter.emit(task(1))
                wait_for(lambda: len(arrived) == 1)
                broker.stop(kill=True)
                wait_for(lambda: "it is tried again until it is back" in caplog.text)
                broker.start()
                emitter.emit(task(2))
                wait_for(lambda: len(arrived) == 2)
        finally:
            emitter.close(5)
