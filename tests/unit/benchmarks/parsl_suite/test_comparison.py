from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
sys.path.append(str(ROOT))  # behind what is installed: only `benchmarks` is looked for there

from benchmarks.parsl_suite.comparison import Comparison, Pair, paired, passed  # noqa: E402
from benchmarks.parsl_suite.page import markdown  # noqa: E402
from benchmarks.parsl_suite.suite import CONFIGS, Case, Selection, cases  # noqa: E402


def phase(test: str, phase: str, outcome: str = "passed", seconds: float = 1.0, *, expected: bool = False) -> str:
    text = "" if outcome == "passed" else f"{phase} {outcome}"
    return json.dumps(
        {"test": test, "phase": phase, "outcome": outcome, "seconds": seconds, "expected": expected, "text": text}
    )


def pair(stock: float, ours: float, outcome: str = "passed") -> Pair:
    return Pair(Case("t.py::a", "passed", stock), Case("t.py::a", outcome, ours))


def test_a_test_is_its_phases_together() -> None:
    lines = [phase("a", "setup"), phase("a", "call", "failed"), phase("a", "teardown")]
    lines += [phase("b", "setup"), phase("b", "call"), phase("b", "teardown", "failed")]
    lines += [phase("c", "setup", "skipped"), phase("c", "teardown")]
    assert cases(lines) == [
        Case("a", "failed", 3.0, "call failed"),
        Case("b", "failed", 3.0, "teardown failed"),
        Case("c", "skipped", 2.0, "setup skipped"),
    ]


def test_one_that_fails_as_it_is_marked_to_has_passed() -> None:
    lines = [phase("a", "setup"), phase("a", "call", "skipped", expected=True), phase("a", "teardown")]
    assert [case.outcome for case in cases(lines)] == ["passed"]


def test_the_one_in_which_the_suite_ended_has_failed() -> None:
    assert [case.outcome for case in cases([phase("a", "setup"), phase("a", "call")])] == ["failed"]


@pytest.mark.parametrize(
    ("stock", "ours", "slower"),
    [(1.0, 2.9, False), (1.0, 3.1, True), (10.0, 12.9, False), (10.0, 13.1, True), (0.01, 1.9, False)],
)
def test_slower_is_by_ratio_and_by_seconds(stock: float, ours: float, slower: bool) -> None:
    found = pair(stock, ours)
    assert (found.slower, found.worse, found.differs) == (slower, False, slower)


def test_only_what_passes_in_stock_counts() -> None:
    failed = Pair(Case("a", "failed", 1.0), Case("a", "failed", 100.0))
    assert not failed.differs
    assert pair(1.0, 1.0, "failed").worse
    assert pair(1.0, 1.0, "skipped").worse
    assert Pair(Case("a", "passed", 1.0), None).worse


def test_tests_that_draw_their_parameters_stand_beside_each_other() -> None:
    stock = [Case("t.py::a[1]", "passed", 1.0), Case("t.py::a[7]", "passed", 1.0), Case("t.py::b[1]", "passed", 1.0)]
    ours = [Case("t.py::a[3]", "passed", 2.0), Case("t.py::a[1]", "passed", 3.0)]
    found = paired(stock, ours)
    assert [each.ours for each in found] == [ours[1], ours[0], None]


def test_what_does_not_differ_in_a_third_round_is_unsteady() -> None:
    slow, quick = Case("a", "passed", 9.0), Case("a", "passed", 1.0)
    twice = Comparison("local", "enable", [quick], [slow], [Pair(quick, slow)])
    assert [each.test for each in twice.differing] == ["a"]
    thrice = Comparison("local", "enable", [quick], [slow], [Pair(quick, slow), Pair(quick, quick)])
    assert not thrice.differing
    assert [each.test for each in thrice.unsteady] == ["a"]


def test_what_differs_in_one_round_only_is_unsteady() -> None:
    stock = [Case("a", "passed", 1.0), Case("b", "passed", 1.0), Case("c", "failed", 1.0)]
    ours = [Case("a", "failed", 1.0), Case("b", "passed", 9.0), Case("c", "failed", 1.0)]
    again = paired(
        [Case("a", "passed", 1.0), Case("b", "passed", 1.0)], [Case("a", "passed", 1.0), Case("b", "passed", 8.0)]
    )
    comparison = Comparison("local", "enable", stock, ours, again)
    assert [each.test for each in comparison.suspects] == ["a", "b"]
    assert [(each.test, each.ours) for each in comparison.differing] == [("b", Case("b", "passed", 8.0))]
    assert [each.test for each in comparison.unsteady] == ["a"]
    assert passed(comparison.stock) == 2

    page = markdown([comparison], {"cpu": "one"}, "make it")
    assert "| local | enable | 3 | 2 | 2 | 0 | 1 | 3 | 11 |" in page
    assert "| local | enable | `b` | passed 1.0 s → passed 8.0 s | not known |" in page


def test_a_selection_names_the_files_of_its_tests() -> None:
    words = Selection("local_threads", "bash", ["test_a.py::x", "test_a.py::y[1]", "d/test_b.py::z"]).arguments()
    assert words[:2] == ["--config", CONFIGS["local_threads"]]
    assert words[3].endswith(" and (bash)")
    assert [Path(word).name for word in words[4:]] == ["test_b.py", "test_a.py"]
