"""Questions are checked when they are put."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octopus_plugins.errors import ConfigError
from octopus_plugins.events import (
    Categorization,
    Decision,
    ExceptionInfo,
    Failure,
    Heartbeat,
    ResourceSample,
    ResourceSamples,
    Task,
    TrySample,
    Usage,
)
from octopus_plugins.hookspecs import hookimpl
from octopus_plugins.plugins import load_plugins
from octopus_plugins.streams.query import Query, moment
from octopus_plugins.wrath import Category, Layer, Rule, Trust

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("90s", NOW - 90),
        ("30m", NOW - 1800),
        ("1h", NOW - 3600),
        ("2d", NOW - 2 * 86_400),
        ("1w", NOW - 604_800),
        ("1h30m", NOW - 5400),
        ("1.5h", NOW - 5400),
        (" 2 D ", NOW - 2 * 86_400),
        ("now", NOW),
        ("0s", NOW),
        (timedelta(minutes=5), NOW - 300),
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01T01:00:00+01:00", NOW),
        ("1767225600", NOW),
        (NOW, NOW),
        (int(NOW), NOW),
        (0, 0.0),
        (datetime(2026, 1, 1, tzinfo=timezone.utc), NOW),
        (datetime(2026, 1, 1), datetime(2026, 1, 1).timestamp()),
        ("2026-01-01 00:00", datetime(2026, 1, 1).timestamp()),
        ("2026-01-01", datetime(2026, 1, 1).timestamp()),
        (date(2026, 1, 1), datetime(2026, 1, 1).timestamp()),
        (None, None),
    ],
)
def test_a_time_can_be_given_in_many_ways(value: Any, expected: float | None) -> None:
    assert moment(value, name="since", now=NOW) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "90",
        "1y",
        "1h 30",
        "-1h",
        "2026-13-01",
        True,
        float("nan"),
        float("inf"),
        timedelta(-1),
        [],
        1j,
    ],
)
def test_a_wrong_time_is_an_error_that_says_what_is_allowed(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^since=.*is no time; .*'30m'.*ISO.*Unix seconds"):
        moment(value, name="since", now=NOW)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_time_or_a_config_error(text: str) -> None:
    try:
        found = moment(text, name="until", now=NOW)
    except ConfigError:
        return
    assert isinstance(found, float)


def test_since_later_than_until_is_an_error() -> None:
    with pytest.raises(ConfigError, match="later than until"):
        Query.ask(Failure, since="1h", until="2h")


@pytest.mark.parametrize(
    ("event_class", "filters", "message"),
    [
        (Failure, {"category": "disk_fall"}, "category='disk_fall' is unknown; did you mean 'disk_full'?"),
        (Failure, {"category": "memory"}, "did you mean 'memory_exhausted'?"),
        (Failure, {"category": "Memory-Exhausted"}, "did you mean 'memory_exhausted'?"),
        (Failure, {"layer": "hardware"}, "layer='hardware' is unknown; known are application, environment"),
        (Task, {"state": ["running", "runing"]}, "state='runing' is unknown; did you mean 'running'?"),
        (Decision, {"action": "abort"}, "action='abort' is unknown; known are allow, deny, retry, terminate"),
        (Failure, {"host": []}, "host is an empty collection"),
        (Failure, {"host": [None]}, "host=None is no text"),
        (Failure, {"run_id": 1.5}, "is no text"),
    ],
)  # fmt: skip
def test_a_wrong_filter_is_an_error_that_names_it(event_class: Any, filters: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Query.ask(event_class, since=None, until=None, **filters)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["a", "b", "c"]),
        ({"task_id": "1"}, ["a"]),
        ({"task_id": 1}, ["a"]),
        ({"task_id": [1, "2"]}, ["a", "b"]),
        ({"category": "memory_exhausted"}, ["a"]),
        ({"category": Category.memory_exhausted}, ["a"]),
        ({"category": {Category.memory_exhausted, "code_error"}}, ["a", "b"]),
        ({"category": "unknown"}, ["c"]),
        ({"layer": "application"}, ["b"]),
        ({"host": "n1", "layer": "runtime"}, ["a"]),
        ({"host": "n1", "layer": "application"}, []),
    ],
)
def test_filters_take_one_value_or_several_and_all_must_hold(filters: Any, expected: list[str]) -> None:
    events = [
        _failure("1", "a", "n1", Categorization(layer="runtime", category="memory_exhausted")),
        Task(run_id="r", time=NOW, task_id="1", state="running"),
        _failure("2", "b", "n2", Categorization(layer="application", category="code_error")),
        _failure("3", "c", None, None),
    ]
    query = Query.ask(Failure, since=None, until=None, **filters)
    assert [event.app for event in query.select(events)] == expected


@settings(deadline=None)
@given(
    st.sampled_from(["r", "s", "r/s", ""]),
    st.sampled_from(["1", "11", "1/1"]),
    st.sets(st.sampled_from(["r", "s", "r/s"])),
    st.sets(st.sampled_from(["1", "11", "1/1"])),
)
def test_the_test_of_the_key_never_drops_what_the_filters_would_take(
    run_id: str, task_id: str, runs: set[str], tasks: set[str]
) -> None:
    event = Task(run_id=run_id, time=NOW, task_id=task_id, state="running")
    query = Query.ask(Task, since=None, until=None, run_id=runs or None, task_id=tasks or None)
    keep = query.key_filter()
    if query.select([event]):
        assert keep is None or keep(event.key.encode())
    elif keep is not None and "/" not in run_id + task_id + "".join(runs | tasks):
        assert not keep(event.key.encode())


def test_the_samples_of_a_node_are_found_by_run_and_by_task() -> None:
    tries = (TrySample(task_id="7", usage=Usage(time=NOW)), TrySample(task_id="8", usage=Usage(time=NOW)))
    event = ResourceSamples(run_id="r", time=NOW, host="n", manager="m", tries=tries)
    alone = ResourceSample(run_id="r", time=NOW, task_id="7", usage=Usage(time=NOW))
    query = Query.ask(ResourceSample, since=None, until=None, run_id="r", task_id="7")
    keep = query.key_filter()
    assert keep is not None
    assert keep(event.key.encode())
    assert keep(alone.key.encode())
    assert not keep(b"r/8")
    assert not keep(b"rr/resources/m")
    assert [each.task_id for each in query.select(event.unfolded())] == ["7"]


def test_the_key_of_a_heartbeat_is_found_by_its_run() -> None:
    keep = Query.ask(Heartbeat, since=None, until=None, run_id="r", host="n").key_filter()
    assert keep is not None
    assert keep(b"r/n")
    assert not keep(b"rr/n")


def test_last_stands_for_the_newest_run() -> None:
    query = Query.ask(Failure, since=None, until=None, run_id=["last", "old"])
    assert query.about_run("new").filters["run_id"] == {"new", "old"}
    assert query.about_run(None).filters["run_id"] == {"old"}


def _failure(task_id: str, app: str, host: str | None, found: Categorization | None) -> Failure:
    exception = ExceptionInfo(type="MemoryError")
    return Failure(run_id="r", time=NOW, task_id=task_id, app=app, host=host, exception=exception, categorization=found)


def test_a_category_that_a_plugin_brings_can_be_asked_for() -> None:
    class Licence:
        value, layer = "licence_refused", Layer.environment

    class Site:
        @hookimpl
        def octopus_rules(self) -> list[Any]:
            return [Rule(name="x", category=Licence(), trust=Trust.text, match=lambda *_: None)]  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="'licence_refused' is unknown"):
        Query.ask(Failure, since=None, until=None, category="licence_refused")
    load_plugins().register(Site(), "site")
    try:
        query = Query.ask(Failure, since=None, until=None, category="licence_refused")
    finally:
        load_plugins().unregister("site")
    assert query.filters["category"] == {"licence_refused"}
