"""What happens to events when nodes of a cluster die, hang and come back."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from octopus_plugins import OctopusConfig, tasks
from octopus_plugins.events import Task, Topic
from octopus_plugins.fabric import Emitter, topic_name
from octopus_plugins.local import ApacheKafka

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

Wait = Callable[..., None]

KEYS = 20


@pytest.fixture(scope="module")
def cluster(kafka_tools: None) -> Iterator[ApacheKafka]:
    """Three secure nodes."""
    with ApacheKafka(nodes=3, secure=True) as cluster:
        yield cluster


@pytest.fixture
def config(cluster: ApacheKafka, namespace: str, tmp_path: Path) -> OctopusConfig:
    """A user of the cluster with topics of its own."""
    settings = cluster.add_user(namespace)
    cluster.create_topics(namespace)
    return OctopusConfig.load(**settings, spool_dir=tmp_path / "spool")


class Stream:
    """Events that are emitted at a steady rate by a thread, until it is stopped or all are emitted."""

    def __init__(self, config: OctopusConfig, number: int) -> None:
        self.emitter = Emitter(config)
        self.emitted = 0
        self._number = number
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self.emitter.close(5)

    def _run(self) -> None:
        while self.emitted < self._number:
            self.emitter.emit(event(self.emitted))
            self.emitted += 1
            if self.emitted % 50 == 0:
                time.sleep(0.05)  # about a thousand a second: the stream is to last while nodes come and go

    def finish(self) -> None:
        """Wait until all are emitted and have arrived."""
        self._thread.join()
        assert self.emitter.flush(120), self.emitter.counts


def event(number: int) -> Task:
    return Task(run_id="r", task_id=str(number % KEYS), try_id=number // KEYS, time=1.0 + number, state="running")


def assert_all_arrived(config: OctopusConfig, number: int) -> None:
    """Nothing lost, nothing twice, the events of each task in order."""
    found = [(int(one.task_id), one.try_id) for one in tasks(config=config)]
    assert len(found) == number
    by_key: dict[int, list[int]] = defaultdict(list)
    for key, again in found:
        by_key[key].append(again)
    assert dict(by_key) == {key: list(range(number // KEYS)) for key in range(KEYS)}


def test_a_cluster_of_three_keeps_three_copies_and_needs_two(cluster: ApacheKafka, config: OctopusConfig) -> None:
    from confluent_kafka.admin import AdminClient, ConfigResource

    from octopus_plugins.fabric import kafka_options

    admin = AdminClient(kafka_options(OctopusConfig.load(**cluster.admin_settings())))
    name = topic_name(config, Topic.failures)
    (partition,) = admin.list_topics(name, timeout=30).topics[name].partitions.values()
    assert sorted(partition.replicas) == [1, 2, 3]
    (described,) = admin.describe_configs([ConfigResource("topic", name)]).values()
    assert described.result(30)["min.insync.replicas"].value == "2"


def test_nothing_is_lost_when_the_leader_is_killed_in_the_middle_of_a_stream(
    cluster: ApacheKafka, config: OctopusConfig, wait_for: Wait
) -> None:
    name = topic_name(config, Topic.task_metrics)
    with Stream(config, 6000) as stream:
        wait_for(lambda: stream.emitter.counts.delivered > 1000)
        leader = cluster.leader(name)
        cluster.stop(leader, kill=True)
        assert stream.emitted < 6000, "the stream was over before the leader was killed"
        stream.finish()
        assert cluster.leader(name) != leader
        cluster.start(leader)
    assert stream.emitter.counts.delivered == 6000
    assert_all_arrived(config, 6000)


def test_nothing_is_lost_when_two_of_three_nodes_are_restarted_in_turn(
    cluster: ApacheKafka, config: OctopusConfig, wait_for: Wait
) -> None:
    name = topic_name(config, Topic.task_metrics)
    with Stream(config, 6000) as stream:
        wait_for(lambda: stream.emitter.counts.delivered > 500)
        for _ in range(2):
            leader = cluster.leader(name)
            cluster.stop(leader)
            cluster.start(leader)
        stream.finish()
    assert_all_arrived(config, 6000)


def test_nothing_is_lost_when_the_leader_stands_still_for_a_while(
    cluster: ApacheKafka, config: OctopusConfig, wait_for: Wait
) -> None:
    name = topic_name(config, Topic.task_metrics)
    with Stream(config, 4000) as stream:
        wait_for(lambda: stream.emitter.counts.delivered > 500)
        leader = cluster.leader(name)
        cluster.pause(leader)
        try:
            stream.finish()  # on the others, once they see that it is silent
        finally:
            cluster.resume(leader)
    assert_all_arrived(config, 4000)


def test_with_one_of_three_nodes_left_events_wait_until_a_second_is_back(
    cluster: ApacheKafka, config: OctopusConfig, wait_for: Wait
) -> None:
    first, second, _ = cluster.nodes
    with Stream(config, 1000) as stream:
        wait_for(lambda: stream.emitter.counts.delivered > 100)
        cluster.stop(first, kill=True)
        cluster.stop(second, kill=True)
        wait_for(lambda: stream.emitted == 1000)
        assert not stream.emitter.flush(2)
        cluster.start(first)
        stream.finish()
        cluster.start(second)
    assert_all_arrived(config, 1000)
