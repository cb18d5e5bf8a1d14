"""The arithmetic of ``make harmless-compute``: what counts as harm to the tasks of an endpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Spread
from benchmarks.harmless.compute import page, work
from benchmarks.harmless.compute.case import Deed, Moment, Step, Target
from benchmarks.harmless.compute.catalogue import CASES
from benchmarks.harmless.compute.judging import Run, judge, judge_ladder
from benchmarks.harmless.compute.run import main


def run(system: str, *ends: float | None, well: int = 3, runs: int = 1, **changes: Any) -> Run:
    """A run whose first tasks ended well; those without a time were never answered."""
    keys = [f"task-{number}" for number in range(len(ends))]
    return Run(
        "no-op", system, 1, dict(zip(keys, ends, strict=True)), tuple(keys[:well]), dict.fromkeys(keys, runs), **changes
    )


def test_as_well_and_as_fast_as_stock_is_met() -> None:
    verdict = judge([(run("stock", 8.0, 9.0, 10.0), run("ours", 8.0, 9.0, 10.2))] * 5)
    assert verdict.text == "met"
    assert verdict.well == (15, 15)
    assert verdict.ratio == Spread(1.02, 1.02, 1.02, 5)


def test_fewer_good_results_are_harm() -> None:
    assert judge([(run("stock", 1.0, 1.0, 1.0), run("ours", 1.0, 1.0, 1.0, well=1))]).missed == (
        "2 fewer tasks ended well",
    )


def test_where_nothing_is_done_to_the_endpoint_each_task_must_end_as_well() -> None:
    stock = run("stock", 1.0, 1.0, 1.0, well=2)
    ours = replace(run("ours", 1.0, 1.0, 1.0), well=("task-0", "task-2"))
    assert judge([(stock, ours)], disturbed=False).missed == ("1 tasks ended well in stock only",)
    assert not judge([(stock, ours)]).missed


def test_with_a_ladder_all_tasks_end_well_and_silence_makes_none_run_again() -> None:
    well = run("ours", 8.0, 9.0, 10.0)
    assert judge_ladder([well, well], harmful=False).text == "met"
    assert judge_ladder([well, well], harmful=False).seconds == 10.0
    again = replace(run("ours", 8.0, 9.0, runs=2), finished={"task-0": 2, "task-1": 1})
    assert judge_ladder([again], harmful=False).missed == ("2 tasks ran again, though the endpoint was merely silent",)
    allowed = judge_ladder([again], harmful=True)
    assert (allowed.missed, allowed.ran_again, allowed.finished_again, allowed.most_runs) == ((), 2, 1, 2)
    open_still = judge_ladder([run("ours", 1.0, None, well=1, contradicted=1)], harmful=True)
    assert open_still.missed == ("1 tasks did not end well", "1 tasks have two different answers")
    assert open_still.seconds is None


def test_a_task_that_runs_oftener_than_any_in_stock_is_harm() -> None:
    verdict = judge([(run("stock", 1.0), run("ours", 1.0, runs=2))])
    assert verdict.missed == ("a task ran 2 times, in stock 1",)
    assert verdict.ran_again == (0, 1)
    assert not judge([(run("stock", 1.0, runs=2), run("ours", 1.0, runs=2))]).missed


def test_two_different_answers_and_an_endpoint_that_ends_itself_are_harm() -> None:
    verdict = judge([(run("stock", 1.0), run("ours", 1.0, answered_twice=2, contradicted=1, ended_alone=1))])
    assert verdict.missed == (
        "1 tasks have two different answers, in stock 0",
        "1 user endpoints ended under their tasks, in stock 0",
    )
    assert not judge([(run("stock", 1.0), run("ours", 1.0, answered_twice=2))]).missed


def test_a_task_that_stock_never_answers_has_no_time() -> None:
    verdict = judge([(run("stock", 2.0, None, well=1), run("ours", 2.0, 40.0, well=1))])
    assert verdict.seconds == (2.0, 2.0)
    assert not verdict.missed
    assert judge([(run("stock", None, well=0), run("ours", 40.0, well=0))]).seconds is None


def test_a_task_that_only_we_end_well_has_no_time() -> None:
    verdict = judge([(run("stock", 2.0, 3.0, well=1), run("ours", 2.0, 30.0, well=2))])
    assert verdict.seconds == (2.0, 2.0)


def test_times_are_judged_strictly_from_five_pairs_on() -> None:
    slower = run("stock", 10.0, 10.0, 10.0), run("ours", 10.0, 10.0, 10.6)
    assert judge([slower] * 5).missed == ("makespan 1.06 ×",)
    assert not judge([slower] * 4).missed


def test_a_run_that_did_not_go_as_the_case_says_proves_nothing() -> None:
    verdict = judge([(run("stock", 1.0, trouble="the moment 'taken' did not come"), run("ours", 1.0))])
    assert verdict.text == "**not measured**: stock, pair 1: the moment 'taken' did not come"
    assert judge([(run("stock", 1.0), run("ours", 1.0, trouble="lost"))]).missed == ("pair 1: lost",)


def test_a_run_is_made_from_what_its_process_wrote() -> None:
    task = {"key": "a", "submitted": 5.0, "settled": 7.0, "well": True, "error": None, "runs": 1, "finished": 1}
    worse = {**task, "key": "b", "settled": None, "well": False, "error": "no answer", "runs": 2, "finished": 2}
    told = {"tasks": [task, worse], "answered_twice": 1, "contradicted": 0, "ended_alone": 1, "trouble": ["odd"]}
    made = Run.of("no-op", "ours", 1, told, 30.0, "late")
    assert made.ends == {"a": 2.0, "b": None}
    assert (made.well, made.errors, made.most_runs, made.ran_again) == (("a",), {"no answer": 1}, 2, 1)
    assert (made.answered_twice, made.ended_alone, made.trouble) == (1, 1, "late; odd")
    assert Run.of("no-op", "ours", 1, {}, 30.0, "wrote no result: ").trouble == "wrote no result: "


def test_the_page_has_a_row_for_each_case_and_says_what_did_not_end_well() -> None:
    met = judge([(run("stock", 1.0, 1.0, 1.0), run("ours", 1.0, 1.0, 1.0))])
    harmed = judge([(run("stock", 1.0, 1.0, 1.0), run("ours", 1.0, 1.0, None, well=2, errors={"no answer": 1}))])
    climbed = judge_ladder([replace(run("ours", 1.0, 2.0, runs=2), case="ladder-kill-endpoint")], harmful=True)
    text = page.markdown([met, harmed], [climbed], {"cores": "2"}, "make harmless-compute")
    assert "1 of 2 cases are not harmed. 1 of 1 cases with a ladder end well." in text
    assert "| `ladder-kill-endpoint` | 1 | 2 | 2 | 2 | 0 | 2 | 0 | 2.00 | met |" in text
    assert "| `no-op` | 1 | 0 | 3 | 3 / 3 | 0 / 0 | 0 / 0 | 1.00 / 1.00 | 1.000 | met |" in text
    assert "**missed**: 1 fewer tasks ended well" in text
    assert "- no-op, ours, pair 1: 1 × no answer" in text
    assert "> Fewer than 5 pairs are enough to count tasks, not to judge times." in text
    assert f"{len(CASES) - 3} of the {len(CASES)} cases have yet to be run." in text


def test_there_are_enough_cases_and_a_short_form_of_some() -> None:
    assert len(CASES) >= 25
    assert 2 <= sum(case.short for case in CASES.values()) <= 3
    deeds = {step.deed for case in CASES.values() for step in case.steps}
    assert deeds == set(Deed)
    killed, frozen = (
        {step.target for case in CASES.values() for step in case.steps if step.deed is deed}
        for deed in (Deed.KILL, Deed.FREEZE)
    )
    assert killed == set(Target)
    assert frozen == set(Target) - {Target.ENDPOINT}


def test_a_step_without_a_target_is_refused_where_it_needs_one() -> None:
    with pytest.raises(ValueError, match="needs a target"):
        Step(Moment.TAKEN, Deed.KILL)
    with pytest.raises(ValueError, match="needs a target"):
        Step(Moment.TAKEN, Deed.RESTART, Target.WORKER)


@pytest.mark.parametrize("raised", ["ValueError", "OSError", "MemoryError"])
def test_a_task_fails_as_it_says_and_notes_each_try(tmp_path: Path, raised: str) -> None:
    with pytest.raises(Exception) as caught:
        work.work(str(tmp_path), "a", 0.0, raised)
    assert type(caught.value).__name__ == raised
    assert work.work(str(tmp_path), "ab", 0.0, None) == "ba"
    assert [line.split()[2] for line in (tmp_path / "a").read_text().splitlines()] == ["begin", "end"]


def test_the_list_names_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(CASES)


@pytest.mark.parametrize("words", [["--pairs", "0"], ["--write-docs", "--short"], ["--only", "nothing"]])
def test_a_wrong_command_line_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
