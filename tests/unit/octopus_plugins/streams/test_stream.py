"""Streams read nothing until they are used; what cannot be meant is refused at once."""

from __future__ import annotations

from typing import Any

import pytest

from octopus_plugins import OctopusConfig, decisions, failures, heartbeats, resources, runs, tasks
from octopus_plugins.errors import ConfigError

# Nothing listens there: a stream that read too early would not come back in time.
NOWHERE = OctopusConfig(bootstrap_servers="127.0.0.1:1", namespace="alice", connect_timeout=600)


@pytest.mark.parametrize("question", [failures, decisions, tasks, heartbeats, resources, runs])
def test_asking_reads_nothing(question: Any) -> None:
    stream = question(run_id="r", since="1h", limit=3, config=NOWHERE)
    assert "run_id=r" in repr(stream)


def test_the_repr_says_what_is_asked() -> None:
    stream = failures(run_id="r", category=["code_error", "app_exit"], since=1e9, follow=True, limit=5, config=NOWHERE)
    shown = repr(stream)
    assert shown.startswith(
        "<Stream of Failure from alice.failures (local) where run_id=r, category=app_exit, code_error"
    )
    assert "since=2001-09-" in shown
    assert shown.endswith("follow, limit=5>")
    assert repr(tasks(config=NOWHERE)) == "<Stream of Task from alice.task-metrics (local)>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit=0 is not a whole number of at least 1"),
        ({"limit": 1.5}, "limit=1.5"),
        ({"follow": True, "until": "1h"}, "leave out until, or follow"),
        ({"profile": "kafka"}, "contradicts the config"),
        ({"since": "soon"}, "since='soon' is no time"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        failures(config=NOWHERE, **options)


@pytest.mark.parametrize("call", ["to_pandas", "to_arrow", "to_dicts"])
def test_what_would_wait_forever_is_refused(call: str) -> None:
    with pytest.raises(ConfigError, match="wait forever"):
        getattr(failures(follow=True, config=NOWHERE), call)()
    with pytest.raises(ConfigError, match="wait forever"):
        failures(follow=True, config=NOWHERE).count_by("host")


def test_counting_needs_a_field_that_exists() -> None:
    with pytest.raises(ConfigError, match="needs a field"):
        failures(config=NOWHERE).count_by()
    with pytest.raises(ConfigError, match="no field 'colour'"):
        failures(config=NOWHERE).count_by("colour")


def test_an_unknown_profile_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="'kafak' is unknown"):
        failures(profile="kafak")
