"""What happens to events when a node of a cluster hangs, or too few are left; `guarantees` kills and restarts some."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from octopus_plugins import OctopusConfig, tasks
from octopus_plugins.events import Task, Topic
from octopus_plugins.fabric import Emitter, kafka_options, topic_name
from octopus_plugins.fabric.kafka.admin import leaders
from octopus_plugins.local import ApacheKafka

pytestmark = pytest.mark.slow

Wait = Callable[..., None]
InSync = Callable[[str], None]

KEYS = 20


@pytest.fixture
def config(cluster_settings: dict[str, Any]) -> OctopusConfig:
    """A user of the cluster with topics of its own."""
    return OctopusConfig.load(**cluster_settings)


class Stream:
    """Events that a thread emits at a steady rate, while nodes come and go, until it is finished."""

    def __init__(self, config: OctopusConfig) -> None:
        self.emitter = Emitter(config)
        self.emitted = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.emitter.close(5)

    def _run(self) -> None:
        while not self._over.wait(0.02):
            self.emitter.emit(*(event(self.emitted + number) for number in range(KEYS)))
            self.emitted += KEYS

    def finish(self) -> None:
        """Emit a few thousand at least, and wait until all have arrived."""
        deadline = time.monotonic() + 60
        while self.emitted < 3000 and time.monotonic() < deadline:
            self._over.wait(0.02)
        self._over.set()
        self._thread.join()
        assert self.emitter.flush(120), self.emitter.counts


def event(number: int) -> Task:
    return Task(run_id="r", task_id=str(number % KEYS), try_id=number // KEYS, time=1.0 + number, state="running")


def leader_known_to(node: int, cluster: ApacheKafka, config: OctopusConfig, topic: str) -> int:
    """Who leads, as one node sees it."""
    address = cluster.address.split(",")[cluster.nodes.index(node)]
    return leaders(config.model_copy(update={"bootstrap_servers": address}), topic)[0]


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

    admin = AdminClient(kafka_options(OctopusConfig.load(**cluster.admin_settings())))
    name = topic_name(config, Topic.failures)
    (partition,) = admin.list_topics(name, timeout=30).topics[name].partitions.values()
    assert sorted(partition.replicas) == [1, 2, 3]
    (described,) = admin.describe_configs([ConfigResource("topic", name)]).values()
    assert described.result(30)["min.insync.replicas"].value == "2"


def test_nothing_is_lost_when_the_leader_stands_still_for_a_while(
    cluster: ApacheKafka, config: OctopusConfig, wait_for: Wait, wait_until_in_sync: InSync
) -> None:
    name = topic_name(config, Topic.task_metrics)
    with Stream(config) as stream:
        wait_for(lambda: stream.emitter.counts.delivered > 500)
        leader = cluster.leader(name)
        cluster.pause(leader)
        try:
            before = stream.emitter.counts.delivered
            # The others choose a new leader once they see that this one is silent.
            wait_for(lambda: stream.emitter.counts.delivered > before + 2000, 120)
        finally:
            cluster.resume(leader)
        stream.finish()
    # Until it hears of the election it takes itself for the leader: a reader that asks it is shown its shorter log.
    wait_for(lambda: leader_known_to(leader, cluster, config, name) != leader, 60)
    wait_until_in_sync(name)
    assert_all_arrived(config, stream.emitted)


def test_with_one_of_three_nodes_left_events_wait_until_a_second_is_back(
    cluster: ApacheKafka, config: OctopusConfig, wait_until_in_sync: InSync
) -> None:
    first, second, _ = cluster.nodes
    emitter = Emitter(config)
    try:
        emitter.emit(*map(event, range(1000)))
        assert emitter.flush(60)
        cluster.stop(first, kill=True)
        cluster.stop(second, kill=True)
        emitter.emit(*map(event, range(1000, 2000)))
        assert not emitter.flush(5)
        assert emitter.counts.spooled >= 1000
        cluster.start(first)
        assert emitter.flush(120)
        cluster.start(second)
    finally:
        emitter.close(5)
    wait_until_in_sync(topic_name(config, Topic.task_metrics))
    assert_all_arrived(config, 2000)
