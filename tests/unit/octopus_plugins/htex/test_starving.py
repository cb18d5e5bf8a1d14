from __future__ import annotations

import pytest

from octopus_plugins.htex.interchange.starving import CALM_SECONDS, PROBE_FIRST, PROBE_SHORTEST, IdleSlots, Starvation


def probes(starvation: Starvation, begin: float, seconds: float, lasts: float = 60.0) -> list[float]:
    """When a node that starves all the time gets probes, which take some time, in seconds since it began to."""
    given: list[float] = []
    for tick in range(round(seconds * 100)):
        now = begin + tick / 100
        starvation.observe("node", now)
        if starvation.is_due("node", now, [number for number, at in enumerate(given) if now < begin + at + lasts]):
            starvation.probe("node", now, len(given))
            given.append(round(now - begin, 2))
    return given


def test_probes_that_last_come_at_a_growing_rate() -> None:
    assert probes(Starvation(), 100.0, 2.6) == pytest.approx([1.0, 1.5, 1.75, 2.0, 2.25, 2.5], abs=0.06)
    assert len(probes(Starvation(), 100.0, 20.0)) == pytest.approx(20 / PROBE_SHORTEST, abs=6)


def test_a_node_that_fails_at_once_gets_ever_fewer() -> None:
    given = probes(Starvation(), 100.0, 33.0, lasts=0.1)
    assert given == pytest.approx([1.0, 3.0, 7.0, 15.0, 23.0, 31.0], abs=0.3)


def test_a_moment_without_starving_changes_nothing_and_some_seconds_begin_it_again() -> None:
    starvation = Starvation()
    probes(starvation, 100.0, 5.0)
    assert probes(starvation, 105.0 + CALM_SECONDS - 0.1, 0.5)[0] == 0.0
    assert probes(starvation, 110.0 + CALM_SECONDS, 3.0)[0] == pytest.approx(PROBE_FIRST, abs=0.02)


def test_a_node_that_was_filled_starves_on_when_it_has_room_again() -> None:
    starvation = Starvation()
    assert starvation.observe("node", 100.0) == 0.0
    for second in range(60):
        starvation.keep(100.0 + second, lambda host: host == "node")
    assert starvation.observe("node", 160.0) == 60.0
    starvation.keep(165.0, lambda host: False)
    assert starvation.observe("node", 165.0) == 0.0


def test_idle_slots_are_added_up_over_the_time_that_they_were_seen_to_be_idle() -> None:
    idle = IdleSlots()
    for now, slots in ((100.0, 4), (100.5, 2), (101.0, 0), (101.5, 3), (200.0, 1), (200.5, 0)):
        idle.observe(b"a", "node", slots, now)
    assert idle.of("node") == 4 * 0.5 + 2 * 0.5 + 1 * 0.5
    idle.observe(b"b", "node", 10, 300.0)
    idle.keep([])
    idle.observe(b"b", "node", 10, 300.5)
    assert idle.of("node") == 3.5
    assert idle.of("other") == 0.0
