"""A failure and its decision against a round trip of the bare client."""

from __future__ import annotations

from benchmarks.entries.round_trip import result


def test_each_quantile_is_held_against_that_of_the_same_round() -> None:
    bare = [[0.001] * 99 + [0.010], [0.002] * 99 + [0.020]]
    decided = [[0.002] * 99 + [0.050], [0.004] * 99 + [0.100]]
    middle, worst, *rest = result(bare, decided).figures
    assert (middle.value.low, middle.value.high) == (2, 2)
    assert (worst.value.low, worst.value.high) == (5, 5)
    assert middle.goal is not None and middle.goal.verdict(middle.value.median).startswith("met")
    assert worst.goal is not None and worst.goal.verdict(worst.value.median).startswith("missed")
    assert {figure.name: round(figure.value.high) for figure in rest}["failure to decision, p99"] == 100
