"""Emitter, questions, follower and decider on Apache Kafka, one node in the open."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from octopus_plugins import OctopusConfig, decisions, failures, tasks
from octopus_plugins.errors import BrokerUnreachableError, TopicMissingError
from octopus_plugins.events import Decision, ExceptionInfo, Failure, Pool, Run, Task, Topic
from octopus_plugins.fabric import Emitter, Reader, ensure_topics, existing_topics, topic_name
from octopus_plugins.fabric.kafka.follower import Follower, Wanted
from octopus_plugins.fabric.kafka.reader import CLOCK_SLACK
from octopus_plugins.local import ApacheKafka
from octopus_plugins.local.processes import free_port
from octopus_plugins.services import Decider

Emitting = Callable[[OctopusConfig], Emitter]
Wait = Callable[..., None]


def task(number: int, at: float = 1.0, **changes: Any) -> Task:
    return Task(run_id="r", task_id=str(number), time=at, state="running", **changes)


def failure(number: int, **changes: Any) -> Failure:
    info = ExceptionInfo(type="MemoryError", mro=("MemoryError",), message="Unable to allocate 8 GiB")
    fields: dict[str, Any] = {"run_id": "r", "app": "f", "executor": "small", "host": "n1", **changes}
    return Failure(task_id=str(number), time=time.time(), exception=info, **fields)


def configured() -> Run:
    pools = (
        Pool(label="small", observed=True, steerable=True, memory_per_worker=2 << 30, maximum_nodes=4),
        Pool(label="large", observed=True, steerable=True, memory_per_worker=64 << 30, maximum_nodes=2),
    )
    return Run(
        run_id="r",
        time=time.time(),
        state="configured",
        retries=5,
        pools=pools,
        policy={"name": "climber", "ladder": ["small", "large"]},
    )


def test_what_is_emitted_is_read_once_and_in_order(open_config: OctopusConfig, emitting: Emitting) -> None:
    emitter = emitting(open_config)
    for number in range(3000):
        emitter.emit(task(number))
    emitter.emit(task(7))  # the same event again
    emitter.emit(failure(1))
    assert emitter.flush(90)
    assert emitter.counts.delivered == 3002
    assert [one.task_id for one in tasks(config=open_config)] == [str(number) for number in range(3000)]
    assert [one.task_id for one in failures(config=open_config)] == ["1"]


def test_the_topics_come_into_being_with_the_first_event(open_config: OctopusConfig, emitting: Emitting) -> None:
    assert existing_topics(open_config) == set()
    with pytest.raises(TopicMissingError, match="octopus topics ensure"):
        list(tasks(config=open_config))
    emitter = emitting(open_config)
    emitter.emit(task(1))
    assert emitter.flush(90)
    assert existing_topics(open_config) == set(Topic)


def test_any_number_of_processes_create_the_topics_at_once(open_config: OctopusConfig) -> None:
    created: list[Topic] = []
    threads = [threading.Thread(target=lambda: created.extend(ensure_topics(open_config))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == sorted(Topic)
    assert ensure_topics(open_config) == set()


def test_a_question_since_a_time_begins_there_and_not_at_the_beginning(
    kafka: ApacheKafka, open_config: OctopusConfig, emitting: Emitting
) -> None:
    now = time.time()
    ensure_topics(open_config)
    name = topic_name(open_config, Topic.task_metrics)
    producer = Producer({"bootstrap.servers": kafka.address})
    # Records that any reader would count as no events, with times as a broker keeps them.
    for age in (2 * CLOCK_SLACK, CLOCK_SLACK / 2):
        producer.produce(name, b"no event", timestamp=int((now - age) * 1000))
    assert producer.flush(90) == 0
    emitter = emitting(open_config)
    emitter.emit(task(1, now - 100), task(2, now))
    assert emitter.flush(90)
    reader = Reader(open_config, Topic.task_metrics, since=now - 10)
    assert [one.task_id for one in reader if isinstance(one, Task)] == ["2"]
    assert reader.skipped == 1  # the older one was passed over unread
    assert list(Reader(open_config, Topic.task_metrics, since=now + 2 * CLOCK_SLACK)) == []


def test_a_question_ends_at_what_was_there_when_it_began(open_config: OctopusConfig, emitting: Emitting) -> None:
    emitter = emitting(open_config)
    emitter.emit(*map(task, range(10)))
    assert emitter.flush(90)
    batches = Reader(open_config, Topic.task_metrics).read_batches()
    first = next(batches)
    emitter.emit(*map(task, range(10, 20)))
    assert emitter.flush(90)
    assert len(first) + sum(map(len, batches)) == 10


def test_a_question_reads_to_the_end_of_what_transactions_leave_behind(
    kafka: ApacheKafka, open_config: OctopusConfig
) -> None:
    ensure_topics(open_config)
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": f"{open_config.namespace}.t"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic_name(open_config, Topic.failures), b"given up")
    producer.flush(90)
    producer.abort_transaction(30)
    # Two offsets, of a record that must not be read and of the mark that says so: the end is none of both.
    assert list(failures(config=open_config)) == []


def test_a_topic_of_several_partitions_is_read_whole(kafka: ApacheKafka, open_config: OctopusConfig) -> None:
    ensure_topics(open_config)
    name = topic_name(open_config, Topic.task_metrics)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.delete_topics([name])[name].result(30)
    admin.create_topics([NewTopic(name, num_partitions=5)])[name].result(30)
    emitter = Emitter(open_config)
    emitter.emit(*(task(number, try_id=again) for again in range(3) for number in range(200)))
    assert emitter.flush(90)
    emitter.close()
    found = list(tasks(config=open_config))
    assert len(found) == 600
    for number in range(200):
        assert [one.try_id for one in found if one.task_id == str(number)] == [0, 1, 2]


def test_a_follower_gets_what_comes(open_config: OctopusConfig, emitting: Emitting, wait_for: Wait) -> None:
    emitter = emitting(open_config)
    emitter.emit(task(1))
    assert emitter.flush(90)
    follower = Follower(open_config, Wanted(Topic.task_metrics, 0.0))
    arrived: list[tuple[str, bool]] = []

    def read() -> None:
        for batch in follower.read_batches():
            arrived.extend((one.event.task_id, one.live) for one in batch if isinstance(one.event, Task))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        wait_for(lambda: follower.caught_up)
        emitter.emit(task(2))
        wait_for(lambda: len(arrived) == 2)
    finally:
        follower.close()
        thread.join(10)
    assert arrived == [("1", False), ("2", True)]


def test_where_no_broker_is_that_is_said(open_config: OctopusConfig) -> None:
    nobody = open_config.model_copy(update={"bootstrap_servers": f"127.0.0.1:{free_port()}", "connect_timeout": 1.0})
    with pytest.raises(BrokerUnreachableError, match="check bootstrap_servers"):
        existing_topics(nobody)
    with pytest.raises(BrokerUnreachableError, match="Connection refused"):
        list(tasks(config=nobody))


@pytest.fixture
def service(open_config: OctopusConfig, tmp_path: Path, wait_for: Wait) -> Iterator[Callable[..., Path]]:
    """Start the decider service as a process, and wait until it decides; returns the file of what it says."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> Path:
        said = tmp_path / f"said-{len(started)}"
        environment = {
            **os.environ,
            "OCTOPUS_PROFILE": "kafka",
            "OCTOPUS_BOOTSTRAP_SERVERS": open_config.servers,
            "OCTOPUS_NAMESPACE": open_config.namespace,
            "OCTOPUS_SPOOL_DIR": str(open_config.spool_dir),
        }
        command = [sys.executable, "-m", "octopus_plugins.cli", "wrath", "serve", *arguments]
        with said.open("w") as output:
            started.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment))
        wait_for(lambda: "Deciding for" in said.read_text() or started[-1].poll() is not None)
        return said

    yield start
    for process in started:
        process.kill()
        process.wait()


def decided(config: OctopusConfig) -> list[Decision]:
    return [one for one in decisions(config=config) if one.decider == "service"]


@pytest.mark.slow
def test_two_services_of_a_group_share_the_failures(
    kafka: ApacheKafka,
    open_config: OctopusConfig,
    emitting: Emitting,
    service: Callable[..., Path],
    wait_for: Wait,
) -> None:
    name = topic_name(open_config, Topic.failures)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([NewTopic(name, num_partitions=4)])[name].result(30)
    emitter = emitting(open_config)
    emitter.emit(configured())
    assert emitter.flush(90)
    first, second = service("--group", "deciders"), service("--group", "deciders")

    def shares() -> list[int]:
        group = f"{open_config.namespace}.deciders"
        members = admin.describe_consumer_groups([group])[group].result(30).members
        return sorted(len(member.assignment.topic_partitions) for member in members)

    wait_for(lambda: shares() == [2, 2], 60)
    emitter.emit(*map(failure, range(60)))
    assert emitter.flush(90)
    wait_for(lambda: len({one.task_id for one in decided(open_config)}) == 60, 60)
    found = decided(open_config)
    assert {one.task_id for one in found} == {str(number) for number in range(60)}
    assert {(one.action, one.category) for one in found} == {("retry", "memory_exhausted")}
    assert " task " in first.read_text()
    assert " task " in second.read_text()


def test_a_service_decides_what_waits(open_config: OctopusConfig, emitting: Emitting) -> None:
    emitter = emitting(open_config)
    emitter.emit(configured(), failure(1), failure(2))
    assert emitter.flush(90)
    Decider(open_config).run(once=True)
    assert sorted(one.task_id for one in decided(open_config)) == ["1", "2"]
    assert {one.policy for one in decided(open_config)} == {"climber"}
