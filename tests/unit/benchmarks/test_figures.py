"""What benchmarks say, and how it is written down."""

from __future__ import annotations

from benchmarks.entries import decider
from benchmarks.entries.decider import DEADLINE, SLACK, Delays
from benchmarks.figures import Distribution, Figure, Result, Spread
from benchmarks.report import markdown, with_sections


def test_a_distribution_counts_each_measurement_in_one_bin() -> None:
    found = Distribution.of("waits, ms", (100, 10), {"a": [0.0, 10.0, 10.1, 100.0, 100.1, 5000.0], "b": []})
    assert found.bounds == (10, 100)
    assert found.counts == {"a": (2, 2, 2), "b": (0, 0, 0)}


def test_other_tasks_that_wait_with_the_failed_ones_miss_the_goal_and_show_in_the_page() -> None:
    usual = Delays([0.01] * 50, [0.02] * 200, 0)
    # Two in a hundred are enough: p50 does not see them.
    hurt = Delays([DEADLINE] * 50, [0.02] * 196 + [0.02 + DEADLINE] * 4, 50)
    result = decider._result({"workflow decides": [usual, usual], "service killed": [hurt, hurt]}, 12.0)
    verdicts = {
        figure.name: figure.goal.verdict(figure.value.median) for figure in result.figures if figure.goal is not None
    }
    name = "service killed: other tasks, p99 over that of the first"
    assert verdicts[name].startswith("missed")
    assert verdicts["workflow decides: other tasks, p99 over that of the first"].startswith("met")
    assert verdicts["service killed: other tasks, p50 / that of the first"].startswith("met")
    assert {DEADLINE * 1000, (DEADLINE + SLACK) * 1000} <= set(decider.BINS)
    page = markdown([result], {"cores": "2"}, "make bench")
    of_others = page[page.index("Other tasks, by how long they took, ms:") :]
    (row,) = [line for line in of_others.splitlines() if line.startswith("| service killed |")]
    assert [cell.strip() for cell in row.strip("|").split("|")[1:]].count("·") == len(decider.BINS) + 1 - 2
    assert " 392 " in row and " 8 " in row


def test_an_entry_that_is_measured_alone_changes_its_own_section_of_the_page() -> None:
    def measured(entry: str, value: float) -> Result:
        return Result(entry, "of something", (Figure("speed", Spread.of([value]), "×", None),), ("a note",))

    page = markdown([measured("first", 1.0), measured("second", 2.0)], {"cores": "2"}, "make bench")
    changed = with_sections(page, [measured("first", 7.0), measured("third", 3.0)], {"cores": "4"})
    assert [line for line in changed.splitlines() if line.startswith("## ")] == ["## first", "## second", "## third"]
    assert "| speed | 7 × |" in changed and "| speed | 1 × |" not in changed and "| speed | 2 × |" in changed
    assert changed.count("; cores 4") == 2
    assert "\n\n\n" not in changed
