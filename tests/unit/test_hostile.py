"""Hostile events go through everything that takes events, and nothing raises, runs long or steers a terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from octopus_plugins.cli import screen
from octopus_plugins.cli.explain import tell
from octopus_plugins.cli.questions import _print_tries
from octopus_plugins.errors import PolicyError
from octopus_plugins.events import Decision, Event, Failure, ResourceSample, TryEvent, encode
from octopus_plugins.plugins import LONGEST_DELAY
from octopus_plugins.streams import tables
from octopus_plugins.streams.query import Query
from octopus_plugins.streams.task_story import Relative, TaskStory, _awaited, find_root
from octopus_plugins.wrath import History, Policy, categorize, decide
from octopus_plugins.wrath.policy.data import policy_from_data
from octopus_plugins.wrath.replay.replay import in_order, missing, recorded_policy, replay
from octopus_plugins.wrath.replay.summary import summarise
from parsl_monitor.run.decision_checks import adopted, bounded_denials, refusal

from ..hostile import REAL, STEERING, fuzzed, mutated_events

pytestmark = pytest.mark.slow  # `make quick` has the hostile records of events/test_codec.py

few = st.lists(mutated_events, min_size=1, max_size=8)
POLICY = Policy.default()

STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
"""What acts on a terminal or on the order of its text, but for the end of a line and the tab."""


@fuzzed(150)
@given(few, st.integers(0, len(REAL)))
def test_history_and_decisions_take_whatever_comes(events: list[Event], told: int) -> None:
    history = History()
    for event in (*REAL[:told], *events):
        if isinstance(event, Failure):
            found = event.categorization or categorize(event, history)
            decision = decide(replace(event, categorization=found), history, POLICY)
            assert decision.action in ("retry", "terminate")
            encode(decision)
        history.observe(event)
    assert history.errors == 0


@fuzzed(150)
@given(few, st.booleans())
def test_a_replay_takes_whatever_comes(events: list[Event], again: bool) -> None:
    stream = [*REAL, *events]
    policy = recorded_policy(events)
    if policy is not None:
        with contextlib.suppress(PolicyError):
            policy_from_data(policy)
    found = list(replay(stream, POLICY, categorize_again=again))
    assert len(found) == len({event.id for event in stream if isinstance(event, Failure)})
    summarise(found, stream, exact=False, missing=missing(stream))


@fuzzed(120)
@given(mutated_events)
def test_a_table_holds_whatever_comes(event: Event) -> None:
    kind = type(event)
    frame = tables.to_pandas(kind, [[event]])
    assert dict(frame.dtypes) == dict(tables.to_pandas(kind, []).dtypes)
    assert frame["time"][0].timestamp() == round(event.time, 6) or abs(frame["time"][0].timestamp() - event.time) < 1e-3
    table = tables.to_arrow(kind, [[event]])
    assert table.schema == tables.to_arrow(kind, []).schema
    assert table["run_id"].to_pylist() == [event.run_id]
    assert Query(kind, filters={"run_id": frozenset({event.run_id})}).select([event]) == [event]


@fuzzed(400)
@given(few)
def test_nothing_that_is_shown_steers_a_terminal(events: list[Event]) -> None:
    for event in events:
        line = screen.line(event).plain
        assert not STEERS.search(line)
        assert "\n" not in line, "one event could look like two"
        written = screen.json_line(event)
        assert not STEERS.search(written)
        assert msgspec.json.decode(written)["run_id"] == event.run_id
    for kind in (Failure, Decision):
        found = [event for event in events if isinstance(event, kind)]
        if found:
            columns = {"Where": screen.place, "What": _shown_as[kind], "Why": _shown_as[kind]}
            _check_page(_print_tries, found, **columns)


_shown_as: dict[type, Any] = {Failure: screen.what_broke, Decision: screen.action}


@fuzzed(300)
@given(few, st.booleans())
def test_the_story_of_a_task_can_be_told_whatever_comes(events: list[Event], with_real_ones: bool) -> None:
    story = _story([*(REAL if with_real_ones else ()), *events])
    if story is not None:
        _check_page(tell, story, True)


def test_names_of_other_tasks_steer_no_terminal_either() -> None:
    story = _story([replace(event, dependencies=(STEERING,)) for event in REAL if isinstance(event, Failure)])
    assert story is not None
    named = dataclasses.replace(story, root=STEERING, dependents=(STEERING,))
    assert _check_page(tell, named, True).count("evil") > 3


@fuzzed(400)
@given(mutated_events, st.sampled_from([event for event in REAL if isinstance(event, Failure)]))
def test_what_a_run_adopts_of_a_decision_is_within_bounds(event: Event, failure: Failure) -> None:
    if not isinstance(event, Decision):
        return
    now = time.time()
    assert all(until <= now + 86_400 for until in bounded_denials(event, now).values())
    about = replace(event, run_id=failure.run_id, task_id=failure.task_id, try_id=failure.try_id)
    if refusal(about, failure, {"small", "large"}, retries=5) is None:
        decision = adopted(about, failure, now)
        assert 0 <= decision.delay <= LONGEST_DELAY
        assert decision.placement is None or decision.placement.executor in {None, "small", "large"}
        encode(decision)


def _check_page(show: Callable[..., None], *arguments: Any, **options: Any) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        show(*arguments, **options)
    assert not STEERS.search(out.getvalue())
    return out.getvalue()


def _story(events: Sequence[Event]) -> TaskStory | None:
    own = [event for event in in_order(events) if isinstance(event, TryEvent) and not isinstance(event, ResourceSample)]
    if not own:
        return None
    failed = {event.task_id: event for event in own if isinstance(event, Failure)}
    relatives = {one: Relative("failed", failed.get(one)) for one in _awaited(own)}
    task_id = own[0].task_id
    return TaskStory(
        run_id="r",
        task_id=task_id,
        events=tuple(own),
        retries=5,
        relatives=relatives,
        root=find_root(task_id, failed),
        dependents=tuple(failed),
    )
