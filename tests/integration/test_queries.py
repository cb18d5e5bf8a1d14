"""Questions to a real broker."""

from __future__ import annotations

import logging
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

from octopus_plugins import OctopusConfig, decisions, failures, heartbeats, resources, runs, tasks
from octopus_plugins.errors import BrokerUnreachableError, ConfigError
from octopus_plugins.events import Event, Failure
from octopus_plugins.fabric import Emitter

from .story import RUN, failure, new_run, old_run

EXAMPLE = Path(__file__).parents[2] / "examples" / "03_query_failures" / "query.py"


@pytest.fixture
def told(config: OctopusConfig, emitter: Emitter) -> Iterator[OctopusConfig]:
    """A broker that holds two runs."""
    now = time.time()
    emitter.emit(*old_run(now), *new_run(now))
    assert emitter.flush(10)
    yield config


def categories(stream: Any) -> list[str]:
    return [failure.categorization.category for failure in stream]


def test_every_kind_of_event_can_be_asked_for(told: OctopusConfig) -> None:
    numbers = {
        question.__name__: len(list(question(run_id=RUN, config=told)))  # type: ignore[operator]
        for question in (failures, decisions, tasks, heartbeats, resources, runs)
    }
    assert numbers == {"failures": 2, "decisions": 2, "tasks": 6, "heartbeats": 1, "resources": 1, "runs": 2}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["code_error", "memory_exhausted", "code_error"]),
        ({"run_id": RUN}, ["memory_exhausted", "code_error"]),
        ({"run_id": "last"}, ["memory_exhausted", "code_error"]),
        ({"run_id": ["old", "last"]}, ["code_error", "memory_exhausted", "code_error"]),
        ({"run_id": RUN, "task_id": 2}, ["code_error"]),
        ({"since": "1h"}, ["memory_exhausted", "code_error"]),
        ({"until": "1h"}, ["code_error"]),
        ({"since": "2d", "until": "1h"}, ["code_error"]),
        ({"category": "memory_exhausted"}, ["memory_exhausted"]),
        ({"layer": ["runtime", "framework"]}, ["memory_exhausted"]),
        ({"host": "n9"}, ["code_error"]),
        ({"app": {"simulate", "plot"}}, ["memory_exhausted", "code_error"]),
        ({"executor": "small", "category": "code_error"}, ["code_error"]),
        ({"limit": 1}, ["code_error"]),
        ({"host": "nowhere"}, []),
        ({"run_id": "no such run"}, []),
    ],
)
def test_filters_narrow_the_answer(told: OctopusConfig, filters: dict[str, Any], expected: list[str]) -> None:
    assert categories(failures(config=told, **filters)) == expected


def test_a_stream_can_be_used_again_and_sees_what_came_meanwhile(told: OctopusConfig, emitter: Emitter) -> None:
    stream = failures(run_id=RUN, config=told)
    assert len(list(stream)) == 2
    emitter.emit(failure(RUN, "3", time.time(), "disk_full", "runtime"))
    assert emitter.flush(10)
    assert categories(stream) == ["memory_exhausted", "code_error", "disk_full"]
    first = stream.first()
    assert first is not None
    assert first.task_id == "1"


def test_a_record_delivered_twice_is_one_event(told: OctopusConfig, emitter: Emitter) -> None:
    before = len(list(tasks(config=told)))
    emitter.emit(*new_run(time.time()))
    assert emitter.flush(10)
    assert len(list(tasks(config=told))) == before


def test_counts_come_most_frequent_first(told: OctopusConfig) -> None:
    counts = failures(config=told).count_by("category")
    assert counts == {"code_error": 2, "memory_exhausted": 1}
    assert list(counts) == ["code_error", "memory_exhausted"]
    assert failures(config=told).count_by("category", "host") == {
        ("code_error", "n9"): 1,
        ("memory_exhausted", "small-0"): 1,
        ("code_error", "small-0"): 1,
    }
    assert decisions(config=told).count_by("rung") == {"other_executor": 1, None: 1}


def test_tables_hold_the_same_as_the_events(told: OctopusConfig) -> None:
    stream = failures(run_id=RUN, config=told)
    frame, table, dicts = stream.to_pandas(), stream.to_arrow(), stream.to_dicts()
    assert frame["categorization.category"].tolist() == ["memory_exhausted", "code_error"]
    assert table["categorization.category"].to_pylist() == ["memory_exhausted", "code_error"]
    assert [one["categorization"]["category"] for one in dicts] == ["memory_exhausted", "code_error"]
    assert [moment.timestamp() for moment in frame["time"]] == pytest.approx([one["time"] for one in dicts], abs=1e-5)


def test_an_empty_answer_is_a_table_with_all_columns(config: OctopusConfig) -> None:
    frame = failures(config=config).to_pandas()
    assert len(frame) == 0
    assert {"task_id", "time", "categorization.category"} <= set(frame.columns)
    assert failures(run_id="last", config=config).count_by("host") == {}
    assert failures(config=config).first() is None


def test_records_that_are_no_events_are_passed_over_with_a_warning(
    told: OctopusConfig, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Producer({"bootstrap.servers": told.servers})
    for value in (b"not JSON", b'{"specversion":"1.0","id":"1","source":"/x","type":"octopus.of.tomorrow/v1"}', None):
        producer.produce(f"{told.namespace}.failures", value=value, key=f"{RUN}/1")
    assert producer.flush(10) == 0
    with caplog.at_level(logging.WARNING, "octopus_plugins"):
        assert categories(failures(run_id=RUN, config=told)) == ["memory_exhausted", "code_error"]
    assert "2 records were skipped" in caplog.text


def test_following_shows_what_is_there_then_what_comes_until_closed(
    told: OctopusConfig, emitter: Emitter, wait_for: Callable[..., None]
) -> None:
    seen: list[Event] = []
    with failures(run_id=RUN, follow=True, config=told) as stream:
        reading = threading.Thread(target=lambda: [seen.append(event) for event in stream])
        reading.start()
        wait_for(lambda: len(seen) == 2)
        emitter.emit(failure(RUN, "9", time.time(), "disk_full", "runtime"))
        wait_for(lambda: len(seen) == 3)
    reading.join(60)
    assert not reading.is_alive()
    assert [event.task_id for event in seen if isinstance(event, Failure)] == ["1", "2", "9"]
    assert list(stream) == []


def test_following_from_now_leaves_out_what_is_there(told: OctopusConfig, emitter: Emitter) -> None:
    with failures(since="now", follow=True, limit=1, config=told) as stream:
        found: list[Failure] = []
        reading = threading.Thread(target=lambda: found.extend(stream))
        reading.start()
        emitter.emit(failure(RUN, "9", time.time() + 1, "disk_full", "runtime"))
        reading.join(60)
    assert [one.task_id for one in found] == ["9"]


def test_a_limit_gives_a_table_of_what_follows(told: OctopusConfig) -> None:
    assert failures(run_id=RUN, follow=True, limit=2, config=told).to_pandas()["task_id"].tolist() == ["1", "2"]


def test_a_large_topic_is_read_whole(config: OctopusConfig, emitter: Emitter) -> None:
    emitter.emit(*(failure("r", str(number), 1.0 + number, "disk_full", "runtime") for number in range(5000)))
    assert emitter.flush(20)
    frame = failures(config=config).to_pandas()
    assert frame["task_id"].astype(int).tolist() == list(range(5000))


def test_an_unreachable_broker_is_an_error_that_says_what_to_do(make_config: Callable[..., OctopusConfig]) -> None:
    nowhere = make_config("127.0.0.1:1", connect_timeout=0.5)
    with pytest.raises(BrokerUnreachableError, match=r"127\.0\.0\.1:1.*octopus broker up"):
        list(failures(config=nowhere))


def test_without_a_broker_the_error_says_how_to_start_one() -> None:
    with pytest.raises(ConfigError, match="octopus broker up"):
        failures(since="1h").to_pandas()


@pytest.mark.slow
def test_the_example_of_questions_runs(told: OctopusConfig) -> None:
    done = run_example(told)
    assert "1 memory_exhausted (runtime)" in done.stdout
    assert "task 1 try 0: retry: ran out of memory; retried on executor 'large'" in done.stdout
    assert "Tasks that failed for good, by app: {'plot': 1}" in done.stdout


def test_the_example_of_questions_says_when_there_is_nothing_to_ask_about(config: OctopusConfig) -> None:
    assert "No run has been streamed yet" in run_example(config).stdout


def run_example(config: OctopusConfig) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OCTOPUS_BOOTSTRAP_SERVERS": config.servers,
        "OCTOPUS_NAMESPACE": config.namespace,
    }
    return subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
