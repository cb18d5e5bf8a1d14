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
    MB,
    PAGE,
    Plan,
    first_wall,
    flows,
    loads,
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
    "sample_submitting": 15.0,
    "sample_deciding": 2.0,
    "sample_bytes": 200.0,
    "sample_kept": 25.0,
    "sample_submitting_alone": 50.0,
    "sample_deciding_alone": 20.0,
    "sample_bytes_alone": 600.0,
    "sample_kept_alone": 40.0,
}
PLAN = Plan(60)
FREE = replace(PLAN, sample_budget=None)


def test_every_worker_ends_a_task_in_its_time_and_is_sampled_each_period() -> None:
    sent = flows(replace(FREE, task_seconds=100), KNOWN)
    assert sent["task-metrics: task states"].events == 5_000
    assert sent["task-metrics: task states"].stored == 600_000
    assert sent["task-metrics: samples"].events == 1_000  # of nodes
    assert sent["task-metrics: samples"].bytes == 20 * MB
    assert sent["heartbeats"].events == 100
    assert sent["failures"].events == sent["decisions"].events == 10
    assert flows(replace(FREE, sample_period=10), KNOWN)["task-metrics: samples"].events == 100


@pytest.mark.parametrize("task_seconds", [0.5, 60])
def test_a_budget_has_the_samples_taken_further_apart(task_seconds: float) -> None:
    plan = replace(PLAN, task_seconds=task_seconds, sample_budget=1 * MB)
    assert plan.stretch(KNOWN) == pytest.approx(20 / 0.9)
    assert flows(plan, KNOWN)["task-metrics: samples"].bytes == pytest.approx(0.9 * MB)
    assert replace(plan, nodes=10).stretch(KNOWN) == 1.0


def test_the_submitting_process_is_full_by_what_parsl_and_we_do_for_each_task() -> None:
    full = loads(Plan(100), KNOWN)
    assert full["Parsl's submitting process, without us"] == pytest.approx(0.3)
    assert full["what we add to it for task states"] == pytest.approx(0.5)


def test_nodes_that_produce_by_themselves_take_samples_off_the_submit_side_only() -> None:
    before, after = loads(FREE, KNOWN), loads(replace(FREE, direct=True), KNOWN)
    samples = "and for samples and heartbeats"
    assert after[samples] < 0.2 * before[samples]
    assert {name: load for name, load in after.items() if name != samples} == {
        name: load for name, load in before.items() if name != samples
    }


def test_one_record_for_a_node_is_less_than_one_for_each_worker() -> None:
    apart, together = (flows(replace(FREE, together=way), KNOWN)["task-metrics: samples"] for way in (False, True))
    assert together.events == apart.events / PLAN.workers
    assert together.bytes < apart.bytes


def test_the_first_wall_is_what_is_fullest() -> None:
    name, load = first_wall(PLAN, KNOWN)
    assert name == "the submitting process"
    assert load == pytest.approx(sum(list(loads(PLAN, KNOWN).values())[:3]))
    slow = replace(FREE, task_seconds=6_000, direct=True)
    assert first_wall(slow, {**KNOWN, "sample_kept": 100.0})[0] == "a partition of task-metrics"
    assert first_wall(slow, {**KNOWN, "sample_deciding": 20.0})[0] == "a decider service"


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
