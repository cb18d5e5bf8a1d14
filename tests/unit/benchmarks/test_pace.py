"""How quick the machine is."""

from __future__ import annotations

import time

from benchmarks.pace import Pace


def test_a_time_shorter_than_the_one_between_two_looks_has_one() -> None:
    with Pace() as pace:
        begin = time.monotonic()
    assert pace.between(begin, begin) > 0


def test_where_no_look_was_in_time_the_nearest_counts() -> None:
    with Pace() as pace:
        now = time.monotonic()
    assert pace.between(0.0, 1.0) == pace.between(now, now)
