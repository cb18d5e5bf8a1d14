"""The model of a large run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.figures import Figure, Result, Spread
from benchmarks.report import write_json
from benchmarks.scale_model import (
    BEGIN,
    CONSTANTS,
    END,
    PAGE,
    PARTITION_BYTES,
    Plan,
    first_wall,
    flows,
    loads,
    period_for,
    refreshed,
    tables,
)

KNOWN = {
    "submitting_without": 300.0,
    "submitting_with": 800.0,
    "records_per_task": 5.0,
    "bytes_per_task": 3_000.0,
    "stored_per_task": 600.0,
    "broker_per_task": 100.0,
    "decider_per_task": 100.0,
    "emitter_rate": 25_000.0,
    "decider_per_failure": 400.0,
}
PLAN = Plan(60)


def test_every_worker_ends_a_task_in_its_time_and_is_sampled_each_period() -> None:
    sent = flows(Plan(100), KNOWN)
    assert sent["task-metrics: task states"].events == 5_000
    assert sent["task-metrics: task states"].stored == 600_000
    assert sent["task-metrics: samples"].events == 100_000
    assert sent["heartbeats"].events == 100
    assert sent["failures"].events == sent["decisions"].events == 10
    assert flows(Plan(100, sample_period=10), KNOWN)["task-metrics: samples"].events == 10_000


def test_tasks_that_are_shorter_than_the_period_are_sampled_less() -> None:
    assert Plan(0.5).samples == 0.5 * Plan(60).samples


def test_the_submitting_process_is_full_by_what_parsl_and_we_do_for_each_task() -> None:
    full = loads(Plan(100, sample_period=1_000), KNOWN)
    assert full["Parsl's submitting process, without us"] == pytest.approx(0.3)
    assert full["what we add to it for task states"] == pytest.approx(0.5)


def test_nodes_that_produce_by_themselves_take_samples_off_the_submit_side_only() -> None:
    before, after = loads(PLAN, KNOWN), loads(replace(PLAN, direct=True), KNOWN)
    samples = "and for samples and heartbeats"
    assert after[samples] < 0.2 * before[samples]
    assert {name: load for name, load in after.items() if name != samples} == {
        name: load for name, load in before.items() if name != samples
    }


def test_one_record_for_a_node_is_less_than_one_for_each_worker() -> None:
    apart, together = (flows(replace(PLAN, together=way), KNOWN)["task-metrics: samples"] for way in (False, True))
    assert together.events == apart.events / PLAN.workers
    assert together.bytes < apart.bytes


def test_the_first_wall_is_what_is_fullest() -> None:
    name, load = first_wall(PLAN, KNOWN)
    assert name == "the submitting process"
    assert load == pytest.approx(sum(list(loads(PLAN, KNOWN).values())[:3]))
    slow = replace(PLAN, task_seconds=6_000, direct=True)
    assert first_wall(slow, {**KNOWN, "emitter_rate": float("inf")})[0] in {
        "a partition of task-metrics",
        "a decider service",
    }


def test_a_budget_of_bytes_gives_the_period_that_keeps_it() -> None:
    period = period_for(PLAN, KNOWN, PARTITION_BYTES)
    kept = replace(PLAN, sample_period=period)
    assert loads(kept, KNOWN)["a partition of task-metrics"] == pytest.approx(1)
    assert period_for(Plan(1), KNOWN, 1_000_000) == float("inf")


def test_constants_are_taken_from_the_newest_result_that_has_them(tmp_path: Path) -> None:
    constants = json.loads(CONSTANTS.read_text(encoding="utf-8"))
    for number, value in enumerate((2_000.0, 2_500.0)):
        figure = Figure("bytes per task, keys and values, before compression", Spread.of([value]), "bytes")
        raw = {"none": [{"submitting": 1.0}, {"submitting": value / 10}]}
        figures = [
            Figure(name, Spread.of([v]), "")
            for name, v in (("emit one by one / bare loop", 0.1), ("emit one by one", value))
        ]
        results = [Result("scale", "of ours", (figure,), raw=raw), Result("emitter", "of ours", tuple(figures))]
        written = write_json(results, {}, tmp_path / "new")
        written.rename(tmp_path / f"2026112{number}T000000Z.json")
    fresh = refreshed(constants, tmp_path)
    assert (fresh["bytes_per_task"]["value"], fresh["submitting_without"]["value"]) == (2_500, 250)
    assert fresh["emitter_rate"]["value"] == 2_500
    unchanged = set(constants) - {"bytes_per_task", "submitting_without", "emitter_rate"}
    assert {name: fresh[name] for name in unchanged} == {name: constants[name] for name in unchanged}


def test_the_page_has_the_tables_of_the_constants_that_are_kept() -> None:
    page = PAGE.read_text(encoding="utf-8")
    written = page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip()
    assert written == tables(json.loads(CONSTANTS.read_text(encoding="utf-8")))
