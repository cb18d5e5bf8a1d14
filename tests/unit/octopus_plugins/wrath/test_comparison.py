"""Whether an app fails more often on one node than on the others."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octopus_plugins.wrath.history.comparison import MAX_SPELLS, Comparison, fisher


def by_hand(bad, good, bad_elsewhere, good_elsewhere):
    """The same by whole numbers: all ways to put so many failures, or more, on this side."""
    here, failed = bad + good, bad + bad_elsewhere
    total = here + bad_elsewhere + good_elsewhere
    ways = sum(
        math.comb(failed, count) * math.comb(total - failed, here - count)
        for count in range(bad, min(here, failed) + 1)
    )
    return ways / math.comb(total, here)


@pytest.mark.parametrize(
    ("table", "p"),
    [
        ((3, 1, 1, 3), 17 / 70),  # Fisher's own: the lady and her tea, one cup in four wrong
        ((4, 0, 0, 4), 1 / 70),
        ((5, 0, 0, 5), 1 / 252),
        ((5, 0, 0, 10), 1 / 3003),
        ((6, 0, 0, 6), 1 / 924),
        ((7, 0, 0, 7), 1 / 3432),
    ],
)
def test_tables_of_which_the_probability_is_known(table, p):
    assert fisher(*table) == pytest.approx(p, rel=1e-5)


counts = st.integers(0, 60)


@given(counts, counts, counts, counts)
def test_it_is_what_counting_by_hand_gives(bad, good, bad_elsewhere, good_elsewhere):
    found = fisher(bad, good, bad_elsewhere, good_elsewhere)
    if bad * good_elsewhere <= bad_elsewhere * good:
        assert found == 1.0
    else:
        assert found == pytest.approx(by_hand(bad, good, bad_elsewhere, good_elsewhere), rel=1e-4)


def test_a_node_that_breaks_after_long_service_stands_out_soon():
    assert fisher(7, 1_000, 0, 2_000) == pytest.approx(by_hand(7, 1_000, 0, 2_000), rel=1e-4)
    assert fisher(7, 1_000, 0, 2_000) < 0.001


def test_large_counts_cost_no_more():
    began = time.process_time()
    for _ in range(100):
        assert 0.0 <= fisher(600_000, 400_000, 5_000_000, 5_000_000) < 1e-9
        assert fisher(500_400, 499_600, 5_000_000, 5_000_000) > 0.1
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "table", [(0, 0, 0, 0), (0, 5, 5, 0), (5, 5, 5, 5), (5, 0, 5, 0), (0, 5, 0, 5), (9, 1, 90, 10)]
)
def test_what_is_no_worse_than_elsewhere_never_stands_out(table):
    assert fisher(*table) == 1.0


def compared(*, bad, good, bad_elsewhere, good_elsewhere):
    """An app on a node and on another one, in the same stretch of time."""
    comparison = Comparison()
    comparison.fail("here")
    comparison.succeed("elsewhere")
    for count, end in ((bad - 1, comparison.fail), (good, comparison.succeed)):
        for _ in range(count):
            end("here")
    for count, end in ((bad_elsewhere, comparison.fail), (good_elsewhere - 1, comparison.succeed)):
        for _ in range(count):
            end("elsewhere")
    return comparison


def test_a_node_stands_out_where_the_test_says_so_and_both_sides_have_tries_enough():
    clear = compared(bad=7, good=0, bad_elsewhere=0, good_elsewhere=7)
    assert clear.stands_out("here", level=0.001, minimum=5)
    assert not clear.stands_out("here", level=0.0001, minimum=5)
    assert not clear.stands_out("here", level=0.001, minimum=8)
    assert not clear.stands_out("elsewhere", level=0.001, minimum=5)
    assert not clear.stands_out("unknown", level=0.001, minimum=5)
    few = compared(bad=20, good=0, bad_elsewhere=0, good_elsewhere=4)
    assert not few.stands_out("here", level=0.01, minimum=5)


def test_failures_before_anything_ended_elsewhere_do_not_count():
    """Whoever comes first gets the first inputs, which may all be bad."""
    comparison = Comparison()
    for _ in range(60):
        comparison.fail("early")
    for _ in range(60):
        comparison.succeed("late")
    assert comparison.nodes["early"].bad == 1
    assert not comparison.stands_out("early", level=0.001, minimum=1)


def test_what_ended_well_before_a_node_first_failed_counts_for_neither_side():
    comparison = Comparison()
    comparison.fail("other")
    for _ in range(100):
        comparison.succeed("here")
        comparison.succeed("other")
    for _ in range(3):
        comparison.fail("here")
    assert comparison.elsewhere(comparison.nodes["here"]) == (0, 0)
    for _ in range(5):
        comparison.fail("here")
        comparison.fail("other")
    assert not comparison.stands_out("here", level=0.001, minimum=1)


def test_a_node_that_is_well_again_begins_anew():
    comparison = compared(bad=9, good=0, bad_elsewhere=0, good_elsewhere=9)
    comparison.forgive("here")
    comparison.fail("here")
    assert not comparison.stands_out("here", level=0.5, minimum=1)


def test_a_success_of_which_the_node_is_not_known_counts_elsewhere():
    comparison = compared(bad=2, good=0, bad_elsewhere=0, good_elsewhere=1)
    comparison.succeed(None)
    assert comparison.elsewhere(comparison.nodes["here"]) == (2, 0)


def test_of_many_nodes_those_that_failed_last_are_remembered():
    comparison = Comparison()
    for number in range(3 * MAX_SPELLS):
        comparison.fail(f"n{number}")
        comparison.succeed(f"n{number}")
    assert len(comparison.nodes) == MAX_SPELLS
    assert f"n{3 * MAX_SPELLS - 1}" in comparison.nodes


hosts = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(st.booleans(), hosts), max_size=60))
def test_the_other_nodes_never_have_fewer_than_none(ends):
    comparison = Comparison()
    for well, host in ends:
        (comparison.succeed if well else comparison.fail)(host)
    assert all(min(comparison.elsewhere(spell)) >= 0 for spell in comparison.nodes.values())
    assert comparison.good + comparison.bad == len(ends)
