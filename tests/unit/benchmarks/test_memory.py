"""What a process holds while its broker is away."""

from __future__ import annotations

from benchmarks.entries.memory import BOUND, Seen, result
from benchmarks.usage import MIB

COUNTS = {"dropped": 3, "seconds until delivered": 1.5}


def test_growth_is_the_most_of_the_outage_over_what_was_before() -> None:
    seen = _seen([100.0, 100.0 + 2 * BOUND, 90.0])
    growth, per_event, *_ = result(seen, COUNTS, 1_800, 10.0).figures
    assert growth.value.median == 2 * BOUND
    assert growth.goal is not None and growth.goal.verdict(growth.value.median).startswith("missed")
    assert per_event.value.median == 2 * BOUND * MIB / 1_000


def test_cpu_per_event_is_without_that_of_making_the_events() -> None:
    figures = {figure.name: figure.value.median for figure in result(_seen([100.0]), COUNTS, 1_800, 10.0).figures}
    assert round(figures["CPU per event, broker there"]) == 10
    assert round(figures["CPU per event, broker away"]) == 20


def test_records_that_are_missing_in_the_topic_are_told() -> None:
    assert result(_seen([100.0]), COUNTS, 1_800, 10.0).notes[-1] == "every record was in the topic"
    assert result(_seen([100.0]), COUNTS, 1_790, 10.0).notes[-1].startswith("10 of 1,800 records are missing")


def _seen(away: list[float]) -> Seen:
    """100 events are made, then 2,000 emitted, of which 1,000 are emitted during the outage."""
    return Seen(
        cpu={"idle": 0.0, "warm": 0.001, "steady": 0.002, "away": 0.012, "back": 0.042},
        events={"idle": 0, "warm": 100, "steady": 600, "away": 1_100, "back": 2_100},
        memory={"steady": [110.0, 100.0], "away": away, "delivered": [120.0]},
        spool=[0.0, 1.0],
    )
