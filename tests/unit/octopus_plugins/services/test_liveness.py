from __future__ import annotations

from typing import Any

from octopus_plugins.events import ANY, Heartbeat
from octopus_plugins.services import liveness
from octopus_plugins.services.liveness import LifeSigns


def heartbeat(**changes: Any) -> Heartbeat:
    return Heartbeat(**{"run_id": ANY, "time": 1.0, "host": "h", "component": "decider", "pid": 7, **changes})


def test_a_service_is_alive_for_three_of_its_periods_after_its_heartbeat() -> None:
    life = LifeSigns()
    assert not life.alive(100.0)
    life.hear(heartbeat(period=2.0), 100.0)
    assert life.alive(105.9)
    assert not life.alive(106.0)
    life.hear(heartbeat(period=2.0), 106.0)
    assert life.alive(111.9)


def test_the_clock_of_the_service_does_not_matter() -> None:
    life = LifeSigns()
    life.hear(heartbeat(period=1.0, time=1e12), 100.0)
    assert not life.alive(103.5)


def test_a_service_that_takes_its_leave_is_not_alive_while_another_one_is() -> None:
    life = LifeSigns()
    life.hear(heartbeat(), 0.0)
    life.hear(heartbeat(pid=8), 0.0)
    life.hear(heartbeat(state="draining"), 0.1)
    assert life.alive(0.2)
    life.hear(heartbeat(pid=8, state="draining"), 0.2)
    assert not life.alive(0.2)


def test_a_heartbeat_that_promises_too_much_is_not_believed() -> None:
    life = LifeSigns()
    life.hear(heartbeat(period=1e9), 0.0)
    assert not life.alive(181.0)
    life.hear(heartbeat(period=-5.0), 200.0)
    assert not life.alive(200.0)


def test_however_many_speak_a_bounded_number_is_remembered() -> None:
    life = LifeSigns()
    for pid in range(liveness._MAX_SERVICES + 50):
        life.hear(heartbeat(pid=pid), 0.0)
    assert len(life._until) == liveness._MAX_SERVICES
    life.hear(heartbeat(pid=-1), 10.0)
    assert life.alive(11.0), "those that are silent make room"
    life.forget()
    assert not life.alive(11.0)


def test_a_leave_in_the_millisecond_of_the_last_sign_of_life_is_another_event() -> None:
    last = heartbeat(time=1_796_065_746.6415088)
    leave = heartbeat(time=1_796_065_746.6420856, state="draining")
    at_once = heartbeat(time=last.time, state="draining")
    later = heartbeat(time=1_796_065_746.6420856)
    assert len({each.id for each in (last, leave, at_once, later)}) == 4, "a reader drops what has the same id"
