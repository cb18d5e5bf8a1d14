"""The arithmetic of ``make harmless``: when a node was idle, and what counts as harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Spread
from benchmarks.harmless import page, recording
from benchmarks.harmless.catalogue import WORKLOADS
from benchmarks.harmless.idle import Up, Wanted, longest_idle, spans
from benchmarks.harmless.judging import Run, judge
from benchmarks.harmless.kinds import KINDS
from benchmarks.harmless.recording import Mark
from benchmarks.harmless.run import main
from benchmarks.harmless.workload import DOOMED, IdleRule

NODES = [Up("h-0", "h", 0.0, 100.0), Up("h-1", "h", 0.0, 100.0)]


def tries(*made: tuple[str, str, float, float | None]) -> list[Mark]:
    """Marks of tries: key, node, begin, end."""
    marks = [Mark(key, host, True, begin) for key, host, begin, _ in made]
    return marks + [Mark(key, host, False, end) for key, host, _, end in made if end is not None]


def wanted(*keys: str, runnable: float = 0.0, settled: float = 100.0) -> list[Wanted]:
    return [Wanted(key, "h", runnable, settled) for key in keys]


def test_a_node_is_idle_while_a_task_waits_and_it_has_a_free_worker() -> None:
    marks = tries(("a", "h-0", 1.0, 30.0), ("b", "h-1", 20.0, 30.0))
    assert longest_idle(wanted("a", "b"), marks, NODES, 1, IdleRule.EVERY_TRY) == 20.0
    assert longest_idle(wanted("a", "b"), marks, NODES[:1], 1, IdleRule.EVERY_TRY) == 1.0


def test_a_node_with_a_second_worker_is_idle_though_the_first_is_busy() -> None:
    marks = tries(("a", "h-0", 0.0, 30.0), ("b", "h-0", 12.0, 30.0))
    assert longest_idle(wanted("a", "b"), marks, NODES[:1], 2, IdleRule.EVERY_TRY) == 12.0
    assert longest_idle(wanted("a", "b"), marks, NODES[:1], 1, IdleRule.EVERY_TRY) == 0.0


def test_idle_times_with_work_between_do_not_add_up() -> None:
    marks = tries(("a", "h-0", 6.0, 7.0), ("b", "h-0", 13.0, 14.0))
    assert longest_idle(wanted("a", "b"), marks, NODES[:1], 1, IdleRule.EVERY_TRY) == 6.0


def test_a_task_that_needs_others_does_not_wait_before_it_has_them() -> None:
    marks = tries(("a", "h-0", 0.0, 30.0), ("b", "h-0", 31.0, 32.0))
    tasks = [*wanted("a"), *wanted("b", runnable=30.0)]
    assert longest_idle(tasks, marks, NODES, 1, IdleRule.EVERY_TRY) == 1.0


def test_the_time_between_two_tries_counts_where_the_rule_says_so() -> None:
    marks = tries(("a", "h-0", 0.0, 1.0), ("a", "h-0", 21.0, 22.0))
    assert longest_idle(wanted("a"), marks, NODES, 1, IdleRule.EVERY_TRY) == 20.0
    assert longest_idle(wanted("a"), marks, NODES, 1, IdleRule.FIRST_TRY) == 0.0
    assert longest_idle(wanted("a"), marks, NODES, 1, IdleRule.NOT_JUDGED) == 0.0


def test_a_task_that_never_begins_waits_until_it_is_settled() -> None:
    assert longest_idle(wanted("a", settled=15.0), [], NODES, 1, IdleRule.FIRST_TRY) == 15.0
    never = [Wanted("a", "h", 40.0, None)]
    assert longest_idle(never, [], NODES, 1, IdleRule.FIRST_TRY) == 60.0


def test_nodes_are_idle_for_tasks_of_their_own_executor_and_while_they_are_connected() -> None:
    tasks = wanted("a", settled=50.0)
    assert longest_idle(tasks, [], [Up("g-0", "g", 0.0, 100.0)], 1, IdleRule.EVERY_TRY) == 0.0
    assert longest_idle(tasks, [], [Up("h-0", "h", 30.0, 40.0)], 1, IdleRule.EVERY_TRY) == 10.0


def test_a_node_that_is_starting_is_idle_only_from_its_first_task_on() -> None:
    marks = tries(("a", "h-0", 20.0, 21.0), ("b", "h-0", 24.0, 25.0))
    late = Up("h-0", "h", 5.0, 100.0, started=False)
    assert longest_idle(wanted("a", "b"), marks, [late], 1, IdleRule.EVERY_TRY) == 3.0
    assert longest_idle(wanted("a", "b"), [], [late], 1, IdleRule.EVERY_TRY) == 0.0


def test_a_try_whose_worker_was_killed_lasts_until_the_next_one_begins() -> None:
    marks = tries(("a", "h-0", 1.0, None), ("a", "h-1", 5.0, 6.0), ("b", "h-0", 7.0, None))
    assert spans(marks, 50.0) == {"a": [("h-0", 1.0, 5.0), ("h-1", 5.0, 6.0)], "b": [("h-0", 7.0, 50.0)]}


def test_what_tries_leave_behind_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(recording.JOURNAL, str(tmp_path / "journal"))
    monkeypatch.setenv(recording.MARKERS, str(tmp_path))
    assert recording.recorded(abs, "magnitude")(-3, key="t1") == 3
    with pytest.raises(TypeError):
        recording.recorded(abs)("x", key="t2")
    assert [(mark.key, mark.begins) for mark in recording.read(tmp_path / "journal")] == (
        [("t1", True), ("t1", False), ("t2", True), ("t2", False)]
    )
    assert [recording.next_try("t1"), recording.next_try("t1"), recording.next_try("t2")] == [1, 2, 1]


def test_a_command_leaves_the_same_lines_and_keeps_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    monkeypatch.setenv(recording.JOURNAL, str(tmp_path / "journal"))
    command = recording.recorded_command(lambda status: f"exit {status}")(3, key="t1")
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 3
    assert [(mark.key, mark.begins) for mark in recording.read(tmp_path / "journal")] == [("t1", True), ("t1", False)]


def run(system: str, pair: int, makespan: float | None = 10.0, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "tasks": 8,
        "well": 6,
        "unexpected": {},
        "makespan": makespan,
        "wall": 15.0,
        "submits": 1,
        "idle": 0.0,
        "facts": {},
    }
    return Run("coin", system, pair, **{**values, **changes})


def pairs(ours: list[float | None], stock: float = 10.0, **changes: Any) -> list[tuple[Run, Run]]:
    return [
        (run("stock", number, stock), run("ours", number, makespan, **changes)) for number, makespan in enumerate(ours)
    ]


def test_as_well_and_as_fast_as_stock_is_met() -> None:
    verdict = judge(pairs([10.0, 10.2, 10.5, 12.0, 9.0]), IdleRule.EVERY_TRY)
    assert verdict.text == "met" and not verdict.missed
    assert verdict.ratio == Spread(1.02, 0.9, 1.2, 5)


def test_fewer_tasks_done_are_harm_whatever_the_time() -> None:
    verdict = judge(pairs([5.0] * 5, well=5), IdleRule.EVERY_TRY)
    assert verdict.missed == ("5 fewer tasks done",)


def test_a_median_above_the_ratio_is_harm_from_five_pairs_on() -> None:
    assert judge(pairs([10.0, 10.0, 10.6, 11.0, 11.0]), IdleRule.EVERY_TRY).missed == ("makespan 1.06 ×",)
    assert not judge(pairs([10.6] * 4), IdleRule.EVERY_TRY).missed
    assert not judge(pairs([12.0] * 5), IdleRule.EVERY_TRY, DOOMED).missed
    assert judge(pairs([12.1] * 5), IdleRule.EVERY_TRY, DOOMED).missed == ("makespan 1.21 ×",)


def test_with_few_pairs_only_what_stands_out_is_harm() -> None:
    assert judge(pairs([24.0]), IdleRule.EVERY_TRY).missed == ("makespan 2.40 ×",)
    assert not judge(pairs([4.0], stock=1.0), IdleRule.EVERY_TRY).missed


def test_a_short_run_may_be_half_a_second_longer() -> None:
    assert not judge(pairs([2.5] * 5, stock=2.0), IdleRule.EVERY_TRY).missed
    assert judge(pairs([2.6] * 5, stock=2.0), IdleRule.EVERY_TRY).missed
    assert judge(pairs([4.5] * 5, stock=4.0), IdleRule.EVERY_TRY).missed


def test_a_run_in_which_a_task_never_ends_is_harm() -> None:
    verdict = judge(pairs([None] * 5), IdleRule.EVERY_TRY)
    assert verdict.missed == ("tasks that never ended",) and verdict.ours is None
    mostly = judge(pairs([None, 10.0, 10.0, 10.0, 10.0], trouble=""), IdleRule.EVERY_TRY)
    assert not mostly.missed
    hung = judge(pairs([10.0] * 5, trouble="3 tasks never ended"), IdleRule.EVERY_TRY)
    assert hung.missed[0] == "pair 0: 3 tasks never ended"


def test_a_node_that_is_idle_for_long_is_harm_unless_the_workload_says_otherwise() -> None:
    assert judge(pairs([10.0], idle=10.1), IdleRule.EVERY_TRY).missed == ("a node idle for 10.1 s",)
    assert not judge(pairs([10.0], idle=9.9), IdleRule.EVERY_TRY).missed
    assert not judge(pairs([10.0], idle=80.0), IdleRule.NOT_JUDGED).missed


def test_a_fact_that_differs_is_harm() -> None:
    pair = (run("stock", 1, facts={"parent": "pool"}), run("ours", 1, facts={"parent": "fork server", "more": 1}))
    assert judge([pair], IdleRule.EVERY_TRY).missed == ("parent is 'fork server' and in stock 'pool'",)


def test_a_workload_that_stock_does_not_end_as_expected_proves_nothing() -> None:
    pair = (run("stock", 1, unexpected={"hung": 2}), run("ours", 1, unexpected={"RunHaltedError": 1}))
    verdict = judge([pair], IdleRule.EVERY_TRY)
    assert verdict.flaws == ("stock, pair 1: 2 × hung",) and verdict.text.startswith("**not measured**")
    assert verdict.remarks == ("ours, pair 1: 1 × RunHaltedError",)


def test_a_run_is_made_from_what_its_process_wrote() -> None:
    task = {"key": "a", "executor": "h", "runnable": 0.0, "settled": 9.0, "well": True, "expected": True, "error": None}
    worse = {**task, "key": "b", "well": False, "expected": False, "error": "RunHaltedError: stopped"}
    told = {"tasks": [task, worse], "marks": [["a", "h-0", True, 1.0], ["a", "h-0", False, 2.0]], "workers": 1}
    told |= {"nodes": [["h-0", "h", 0.0, 9.0]], "makespan": 9.0, "submits": 1}
    made = Run.of("coin", "ours", 1, told, IdleRule.EVERY_TRY, 12.0, "")
    assert (made.tasks, made.well, made.unexpected, made.idle) == (2, 1, {"RunHaltedError": 1}, 7.0)
    assert Run.of("coin", "ours", 1, {}, IdleRule.EVERY_TRY, 12.0, "wrote no result: ").makespan is None


def test_the_page_has_a_row_for_each_workload_and_says_what_failed_otherwise() -> None:
    met = judge(pairs([10.0] * 5), IdleRule.EVERY_TRY)
    harmed = judge(pairs([24.0] * 5, well=5, unexpected={"RunHaltedError": 1}), IdleRule.EVERY_TRY)
    text = page.markdown([met, harmed], {"cores": "2"}, "make harmless", 5)
    assert "1 of 2 workloads are not harmed." in text
    assert "| 30 / 30 | 10.00 / 10.00 | 1.000 (1.000 – 1.000) |" in text
    assert "**missed**: 5 fewer tasks done; makespan 2.40 ×" in text
    assert "- coin, ours, pair 0: 1 × RunHaltedError" in text


def test_there_are_enough_workloads_and_a_short_form_of_some() -> None:
    assert len(WORKLOADS) >= 30
    assert 6 <= sum(workload.short is not None for workload in WORKLOADS.values()) <= 10
    assert {workload.size.nodes for workload in WORKLOADS.values()} >= {1, 3, 8}
    assert {workload.retries for workload in WORKLOADS.values()} >= {0, 1, 2, 3, 5}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_failure_fails_as_it_says(kind: str) -> None:
    failure, name = KINDS[kind]
    with pytest.raises(Exception) as caught:
        failure(1)
    # What cannot be serialised is the only one that its way back changes.
    assert type(caught.value).__name__ == name or kind == "unserialisable"


def test_the_list_names_every_workload(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(WORKLOADS)


@pytest.mark.parametrize("words", [["--pairs", "0"], ["--write-docs", "--short"], ["--only", "nothing"]])
def test_a_wrong_command_line_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
