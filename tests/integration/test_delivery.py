"""Events from the emitter to the topics and back, with a broker that is well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable

import pytest
from confluent_kafka import Producer as KafkaProducer
from msgspec.structs import replace

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import (
    Decision,
    Event,
    Heartbeat,
    ResourceSample,
    ResourceSamples,
    Task,
    Topic,
    TrySample,
    Usage,
    encode,
)
from octopus_plugins.events.task import with_earlier
from octopus_plugins.fabric import Emitter, Producer, Reader, ensure_topics, existing_topics, orphans, topic_name
from octopus_plugins.fabric.record import Record
from octopus_plugins.local.embedded import EmbeddedBroker
from octopus_plugins.streams import tasks


def task(task_id: int, state: str = "running", run_id: str = "run") -> Task:
    return Task(run_id=run_id, task_id=str(task_id), time=1_700_000_000.0 + task_id, state=state)


def test_records_arrive_once_and_in_order_per_task(config: OctopusConfig, emitter: Emitter) -> None:
    states = ("pending", "launched", "running", "running_ended", "exec_done")
    sent = [task(number, state) for number in range(500) for state in states]
    for each in sent:
        emitter.emit(each)
    assert emitter.flush(20)
    found = list(Reader(config, Topic.task_metrics))
    assert len(found) == len(sent)
    by_task = defaultdict(list)
    for event in found:
        assert isinstance(event, Task)
        by_task[event.task_id].append(event.state)
    assert len(by_task) == 500
    assert set(map(tuple, by_task.values())) == {states}


def test_everything_is_counted_by_topic(config: OctopusConfig, emitter: Emitter) -> None:
    beat = Heartbeat(run_id="run", time=1.0, host="node")
    sample = ResourceSample(run_id="run", task_id="1", time=1.0, usage=Usage(time=1.0, rss=1))
    emitter.emit(task(1), task(2), beat, sample)
    emitter.emit(Decision(run_id="run", task_id="1", time=1.0, action="retry"))
    assert emitter.flush(20)
    counts = emitter.counts
    assert (counts.emitted, counts.delivered, counts.spooled, counts.dropped) == (5, 5, 0, 0)
    assert {name: each.delivered for name, each in counts.topics.items()} == {
        "task-metrics": 3,
        "heartbeats": 1,
        "decisions": 1,
    }


def end_of(task_id: int) -> Task:
    """The last three states of a task, in one record."""
    return with_earlier(task(task_id, "exec_done"), [task(task_id, "running"), task(task_id, "running_ended")])


def test_states_of_a_try_in_one_record_are_read_one_by_one(config: OctopusConfig, emitter: Emitter) -> None:
    emitter.emit(end_of(1), end_of(2), task(3))
    assert emitter.flush(20)
    assert emitter.counts.delivered == 3
    states = ("running", "running_ended", "exec_done")
    told = [(event.key, event.state) for event in Reader(config, Topic.task_metrics) if isinstance(event, Task)]
    assert told == [("run/1", state) for state in states] + [("run/2", state) for state in states] + [
        ("run/3", "running")
    ]
    (first,) = tasks(config=config, task_id="1", state="running_ended")
    assert first.id == task(1, "running_ended").id


def test_a_transform_sees_each_state_and_may_withhold_one_of_them(config: OctopusConfig) -> None:
    seen: list[str] = []

    def transform(event: Event) -> Event | None:
        assert isinstance(event, Task)
        seen.append(event.state)
        return None if event.state == "running_ended" else replace(event, labels={"site": "here"})

    emitter = Emitter(config, transform=transform)
    emitter.emit(end_of(1))
    emitter.close(20)
    assert seen == ["running", "running_ended", "exec_done"]
    assert [(event.id, event.labels) for event in Reader(config, Topic.task_metrics)] == [
        (task(1, state).id, {"site": "here"}) for state in ("running", "exec_done")
    ]


def test_a_state_that_cannot_be_written_costs_only_itself(config: OctopusConfig, emitter: Emitter) -> None:
    emitter.emit(replace(end_of(1), usage=object()))
    assert emitter.flush(20)
    assert [event.id for event in Reader(config, Topic.task_metrics)] == [
        task(1, state).id for state in ("running", "exec_done")
    ]
    assert emitter.counts.invalid == 1


def test_a_clean_close_leaves_nothing_on_disk(config: OctopusConfig) -> None:
    emitter = Emitter(config)
    emitter.emit(task(1))
    assert list(config.spool_dir.iterdir()), "the record is on disk before it is anywhere else"
    emitter.close(20)
    assert emitter.counts.delivered == 1
    assert list(config.spool_dir.iterdir()) == []


def test_a_second_copy_is_one_event(config: OctopusConfig, emitter: Emitter) -> None:
    emitter.emit(task(1), task(2), task(1))
    emitter.emit(task(2))
    assert emitter.flush(20)
    assert emitter.counts.delivered == 4
    assert [event.key for event in Reader(config, Topic.task_metrics)] == ["run/1", "run/2"]


def test_a_reader_filters_by_event_time_and_key(config: OctopusConfig, emitter: Emitter) -> None:
    emitter.emit(*(task(number) for number in range(10)), task(3, run_id="other"))
    assert emitter.flush(20)
    start = 1_700_000_000.0
    reader = Reader(
        config, Topic.task_metrics, since=start + 2, until=start + 4, keep=lambda key: key.startswith(b"run/")
    )
    assert [event.key for event in reader] == ["run/2", "run/3", "run/4"]
    assert [event.key for event in reader] == ["run/2", "run/3", "run/4"], "each iteration reads anew"


def test_a_following_reader_sees_what_comes_and_ends_when_closed(
    config: OctopusConfig, emitter: Emitter, wait_for: Callable[..., None]
) -> None:
    reader = Reader(config, Topic.task_metrics, follow=True)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(event.key for event in reader))
    thread.start()
    try:
        emitter.emit(task(1))
        assert emitter.flush(20)
        emitter.emit(task(2))
        batches = Reader(config, Topic.task_metrics, follow=True)
        seen = []
        for event in batches:
            seen.append(event.key)
            if len(seen) == 2:
                break
        assert seen == ["run/1", "run/2"]
    finally:
        reader.close()
        thread.join(60)
    assert not thread.is_alive()


def test_what_is_no_event_is_skipped_and_reported_with_its_place(
    config: OctopusConfig, emitter: Emitter, caplog: pytest.LogCaptureFixture
) -> None:
    emitter.emit(task(1))
    assert emitter.flush(20)
    raw = KafkaProducer({"bootstrap.servers": config.servers})
    for value in (b"no JSON", b"{}", None, b"\xff\xfe"):
        raw.produce(topic_name(config, Topic.task_metrics), value, b"run/9")
    assert raw.flush(10) == 0
    emitter.emit(task(2))
    assert emitter.flush(20)
    reader = Reader(config, Topic.task_metrics)
    assert [event.key for event in reader] == ["run/1", "run/2"]
    assert reader.skipped == 4
    messages = [each.getMessage() for each in caplog.records]
    (warning,) = [each for each in messages if "skipped" in each]
    assert "partition 0, offset 1" in warning


def test_a_reader_that_follows_says_the_first_of_many_bad_records_at_once_and_their_number_at_the_end(
    config: OctopusConfig, wait_for: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    ensure_topics(config)  # the bare producer would have the broker make one with several partitions
    reader = Reader(config, Topic.task_metrics, follow=True)
    thread = threading.Thread(target=lambda: list(reader))
    thread.start()
    try:
        raw = KafkaProducer({"bootstrap.servers": config.servers})
        for _ in range(1_200):
            raw.produce(topic_name(config, Topic.task_metrics), b"no JSON", b"run/9")
        assert raw.flush(20) == 0
        wait_for(lambda: reader.skipped == 1_200)
        assert caplog.text.count("is no event and is skipped") == 1
    finally:
        reader.close()
        thread.join(60)
    messages = [each.getMessage() for each in caplog.records if "skipped" in each.getMessage()]
    assert len(messages) == 2
    assert messages[1] == "1,200 records were skipped in all, which are no events"


def test_a_missing_topic_is_an_empty_result_on_the_embedded_broker(config: OctopusConfig) -> None:
    assert list(Reader(config, Topic.failures)) == []


def test_topics_are_created_once_by_whoever_comes_first(config: OctopusConfig) -> None:
    assert existing_topics(config) == set()
    results: list[set[Topic]] = []
    threads = [threading.Thread(target=lambda: results.append(ensure_topics(config))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 4
    assert existing_topics(config) == set(Topic)
    assert ensure_topics(config) == set()


def test_an_oversized_event_arrives_cut_to_the_bound(
    broker: EmbeddedBroker, make_config: Callable[..., OctopusConfig]
) -> None:
    config = make_config(broker.address, max_event_bytes=20_000)
    emitter = Emitter(config)
    emitter.emit(Task(run_id="run", task_id="1", time=1.0, state="x" * 1_000_000))
    emitter.close(20)
    (event,) = Reader(config, Topic.task_metrics)
    assert event.truncated
    assert emitter.counts.delivered == 1


def test_of_the_samples_of_a_node_none_is_cut_off(
    broker: EmbeddedBroker, make_config: Callable[..., OctopusConfig]
) -> None:
    config = make_config(broker.address, max_event_bytes=10_000)
    emitter = Emitter(config)
    tries = tuple(TrySample(task_id=str(number), usage=Usage(time=1.0, rss=number)) for number in range(500))
    emitter.emit(ResourceSamples(run_id="run", time=1.0, host="node", order=500, tries=tries))
    emitter.close(20)
    told = [event for event in Reader(config, Topic.task_metrics) if isinstance(event, ResourceSample)]
    assert [(event.task_id, event.order) for event in told] == [(str(number), number + 1) for number in range(500)]


def test_a_transform_may_change_and_withhold_and_its_mistakes_are_reported_once(
    config: OctopusConfig, caplog: pytest.LogCaptureFixture
) -> None:
    def transform(event: object) -> object:
        assert isinstance(event, Task)
        match event.task_id:
            case "1":
                return None
            case "2":
                raise ValueError("a bug in a plugin")
            case "3":
                return "no event"
            case "4":
                return task(40)
        return event

    emitter = Emitter(config, transform=transform)  # type: ignore[arg-type]
    emitter.emit(*(task(number) for number in range(1, 6)))
    emitter.emit(task(2, "failed"))
    emitter.close(20)
    assert [event.key for event in Reader(config, Topic.task_metrics)] == [
        "run/2",
        "run/3",
        "run/40",
        "run/5",
        "run/2",
    ]
    assert emitter.counts.withheld == 1
    assert sum("transform" in each.getMessage() for each in caplog.records) == 1


def test_what_is_no_event_hurts_nobody_where_there_is_a_transform_either(config: OctopusConfig) -> None:
    emitter = Emitter(config, transform=lambda event: event)
    emitter.emit("no event at all", task(1))  # type: ignore[arg-type]
    emitter.close(20)
    assert (emitter.counts.invalid, emitter.counts.delivered) == (1, 1)


def test_what_cannot_be_encoded_is_counted_and_does_not_raise(config: OctopusConfig, emitter: Emitter) -> None:
    emitter.emit(Task(run_id="run", task_id="1", time=float("nan"), state="x"), task(2))
    emitter.emit("no event at all")  # type: ignore[arg-type]
    assert emitter.flush(20)
    assert emitter.counts.invalid == 2
    assert [event.key for event in Reader(config, Topic.task_metrics)] == ["run/2"]


def test_what_is_refused_for_good_is_kept_for_people_and_holds_up_nothing(
    config: OctopusConfig, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Producer(config)
    values = {"run/1": encode(task(1)), "run/2": b"x" * 3 * config.max_event_bytes, "run/3": encode(task(3))}
    producer.put([Record("failures", key.encode(), value) for key, value in values.items()], [])
    assert producer.flush(20)
    counts = producer.counts
    producer.close(5)
    assert (counts.emitted, counts.delivered, counts.rejected, counts.spooled) == (3, 2, 1, 0)
    assert [event.key for event in Reader(config, Topic.failures)] == ["run/1", "run/3"]
    (line,) = (config.spool_dir / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["key"] == "run/2"
    assert sum("refuses" in each.getMessage() for each in caplog.records) == 1


def test_emitters_with_equal_configurations_share_one_producer(config: OctopusConfig) -> None:
    first, second = Emitter(config), Emitter(config.model_copy())
    first.emit(task(1))
    first.close(20)
    second.emit(task(2))
    assert second.flush(20), "the producer lives as long as anybody uses it"
    assert second.counts.emitted == 2
    second.close(20)
    assert [event.key for event in Reader(config, Topic.task_metrics)] == ["run/1", "run/2"]


def test_what_is_emitted_after_the_close_is_dropped_and_said_once(
    config: OctopusConfig, caplog: pytest.LogCaptureFixture
) -> None:
    emitter = Emitter(config)
    emitter.emit(task(1))
    emitter.close(20)
    emitter.emit(task(2), Heartbeat(run_id="run", time=1.0, host="node"))
    emitter.emit(task(3))
    counts = emitter.counts
    assert (counts.emitted, counts.delivered, counts.spooled, counts.dropped) == (4, 1, 0, 3)
    assert sum("after the close" in each.getMessage() for each in caplog.records) == 1
    assert emitter.flush(0), "nothing waits"
    assert list(config.spool_dir.iterdir()) == []
    assert [event.key for event in Reader(config, Topic.task_metrics)] == ["run/1"]


def test_an_emitter_that_is_closed_before_its_first_event_makes_no_session(config: OctopusConfig) -> None:
    emitter = Emitter(config)
    emitter.close(1)
    emitter.emit(task(1))
    assert (emitter.counts.emitted, emitter.counts.dropped) == (1, 1)
    assert not config.spool_dir.exists()


def test_what_is_emitted_while_it_closes_is_delivered_spooled_or_dropped(
    make_config: Callable[..., OctopusConfig],
) -> None:
    config = make_config("127.0.0.1:9", connect_timeout=1)
    emitter = Emitter(config)
    emitter.emit(task(0))
    done = threading.Event()

    def emit() -> None:
        while not done.is_set():
            emitter.emit(task(1), Heartbeat(run_id="run", time=1.0, host="node"))

    thread = threading.Thread(target=emit)
    thread.start()
    try:
        emitter.close(0.5)
    finally:
        done.set()
        thread.join(10)
    counts = emitter.counts
    (left,) = orphans(config)
    assert left.count() + counts.dropped == counts.emitted


def test_a_forked_child_emits_too(config: OctopusConfig, emitter: Emitter) -> None:
    emitter.emit(task(1))
    assert emitter.flush(20)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            emitter.emit(task(2))
            status = 0 if emitter.flush(20) and emitter.counts.delivered == 1 else 2
            emitter.close(10)
        finally:
            os._exit(status)
    emitter.emit(task(3))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert emitter.flush(20)
    assert sorted(event.key for event in Reader(config, Topic.task_metrics)) == ["run/1", "run/2", "run/3"]
    assert emitter.counts.emitted == 2


CHILD_THAT_ENDS_NORMALLY = """
import os, sys
from pathlib import Path
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Task
from octopus_plugins.fabric import Emitter
config = OctopusConfig.load(
    profile="local", bootstrap_servers=sys.argv[1], namespace=sys.argv[2], spool_dir=Path(sys.argv[3])
)
emitter = Emitter(config)
for number in range(200):
    emitter.emit(Task(run_id=sys.argv[4], task_id=str(number), time=1.0, state="running"))
if sys.argv[4] == "forks":
    child = os.fork()
    if child == 0:
        emitter.emit(Task(run_id="child", task_id="1", time=1.0, state="running"))
        sys.exit(0)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def run_child(config: OctopusConfig, name: str) -> subprocess.Popen[bytes]:
    arguments = [config.servers, config.namespace, str(config.spool_dir), name]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CHILD_THAT_ENDS_NORMALLY, *arguments], stderr=subprocess.PIPE
    )


def test_two_processes_at_once_that_never_close_deliver_everything_at_their_end(config: OctopusConfig) -> None:
    children = [run_child(config, "a"), run_child(config, "b")]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert (child.returncode, errors) == (0, b"")
    found = list(Reader(config, Topic.task_metrics))
    assert len(found) == 400
    for run_id in ("a", "b"):
        mine = [event for event in found if event.run_id == run_id]
        assert [event.key for event in mine] == [f"{run_id}/{number}" for number in range(200)]
    assert list(config.spool_dir.iterdir()) == []


def test_a_forked_child_that_ends_by_itself_delivers_and_leaves_its_parent_alone(config: OctopusConfig) -> None:
    child = run_child(config, "forks")
    _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (0, b"")
    keys = [event.key for event in Reader(config, Topic.task_metrics)]
    assert len(keys) == 201
    assert "child/1" in keys
    assert list(config.spool_dir.iterdir()) == []
