"""What a long run costs at each size."""

from __future__ import annotations

import pytest

from benchmarks.entries.scale import Amounts, Mark, Sent, result, sizes_up_to, stages


@pytest.mark.parametrize(
    ("top", "sizes"),
    [
        (1_000, (1_000,)),
        (5_000, (1_000, 5_000)),
        (100_000, (1_000, 10_000, 100_000)),
        (1_000_000, (1_000, 10_000, 100_000, 1_000_000)),
    ],
)
def test_the_cost_is_told_at_each_decade_up_to_the_top(top: int, sizes: tuple[int, ...]) -> None:
    assert sizes_up_to(top) == sizes


def test_the_cost_at_a_size_is_that_of_the_last_tasks_before_it_of_all_processes() -> None:
    amounts = Amounts(10, (1_000, 20_000))
    assert amounts.marks == [0, 1_000, 18_000, 20_000]
    marks = [
        Mark(0, 0.0, (10.0, 5.0, 1.0, 0.0), (1 << 20, 0, 0)),
        Mark(1_000, 1.0, (11.0, 5.5, 1.5, 0.5), (2 << 20, 1 << 20, 0)),
        Mark(18_000, 30.0, (40.0, 20.0, 3.0, 2.0), (3 << 20, 0, 0)),
        Mark(20_000, 36.0, (46.0, 24.0, 4.0, 3.0), (4 << 20, 8 << 20, 2 << 20)),
    ]
    first, last = stages(marks, amounts.sizes, lambda begin, end: 100.0 if begin else 50.0)
    assert (first.cpu, first.run, first.wall, first.memory) == (2_000, 1_000, 1_000, (2, 1, 0))
    assert (last.run, last.submitting, last.broker, last.service) == (3_000, 2_000, 500, 500)
    assert (last.tasks, last.cpu, last.wall, last.memory) == (2_000, 4_000, 3_000, (4, 8, 2))
    sent = Sent(100_100, 60_060_000, 10_010_000)
    said = result({"octopus": [first, last], "none": [first, first]}, amounts, sent, ["one is missing"])
    flat, paced, least, of_none, *_ = said.figures
    assert flat.value.median == 2 and flat.goal is not None and flat.goal.verdict(2).startswith("missed")
    assert (paced.value.median, least.value.median, of_none.value.median) == (1, 1, 1), "the machine was half as quick"
    figures = {figure.name: figure.value.median for figure in said.figures}
    assert figures["records per task"] == 5
    assert figures["bytes per task, keys and values, before compression"] == 3_000
    assert figures["bytes per task that the broker keeps on its disk"] == 500
    assert said.notes[-1] == "one is missing"
