from __future__ import annotations

import random

from octopus_plugins.fabric.kafka import merge as merging
from octopus_plugins.fabric.kafka.merge import Merge


def test_what_comes_from_several_places_is_given_in_the_order_of_time() -> None:
    merge: Merge[str, int] = Merge("ab")
    merge.put("a", 1.0, 1)
    merge.put("a", 3.0, 3)
    assert list(merge.take()) == [], "b may still have something older"
    merge.put("b", 2.0, 2)
    assert list(merge.take()) == [1, 2]
    merge.end("b")
    assert list(merge.take()) == [3]
    assert not merge.ended
    merge.end("a")
    assert merge.ended


def test_each_place_keeps_its_own_order_whatever_its_clock_says() -> None:
    merge: Merge[str, int] = Merge("ab")
    for number, time in enumerate((5.0, 1.0, 9.0)):
        merge.put("a", time, number)
    merge.put("b", 4.0, 10)
    merge.end("a")
    merge.end("b")
    assert list(merge.take()) == [10, 0, 1, 2]


def test_nothing_is_lost_in_any_interleaving() -> None:
    chance = random.Random(7)
    merge: Merge[int, int] = Merge(range(5))
    given: list[int] = []
    left = dict.fromkeys(range(5), 200)
    while left:
        place = chance.choice(list(left))
        merge.put(place, 200.0 - left[place], len(given))
        left[place] -= 1
        if not left[place]:
            merge.end(place)
            del left[place]
        given += merge.take()
    assert len(given) == 1000
    assert merge.ended


def test_a_place_that_is_far_ahead_is_full_until_little_is_left_of_it() -> None:
    merge: Merge[str, int] = Merge("ab")
    for number in range(merging.FULL):
        assert "a" not in merge.full()
        merge.put("a", float(number), number)
    assert merge.full() == {"a"}
    assert merge.low() == {"b"}
    merge.put("b", merging.FULL - merging.LOW - 0.5, -1)
    assert len(list(merge.take())) == merging.FULL - merging.LOW + 1
    assert merge.low() == {"a", "b"}


def test_what_comes_after_the_end_of_a_place_is_given_too() -> None:
    merge: Merge[str, int] = Merge("ab")
    merge.end("a")
    merge.put("a", 1.0, 1)
    merge.put("c", 2.0, 2)
    assert list(merge.take()) == []
    merge.end("b")
    assert list(merge.take()) == [1, 2]
