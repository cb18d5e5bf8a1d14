"""How quick the machine is."""

from __future__ import annotations

import time

import pytest

from benchmarks.pace import Pace


def test_a_time_shorter_than_the_one_between_two_looks_has_one() -> None:
    with Pace() as pace:
        begin = time.monotonic()
    assert pace.between(begin, begin) > 0


def test_only_looks_of_the_time_count() -> None:
    with Pace() as pace:
        pass
    with pytest.raises(ValueError, match="no median"):
        pace.between(0.0, 1.0)
