"""States of one try in one record: nothing is lost by it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from octopus_plugins.errors import SchemaError
from octopus_plugins.events import Task, Usage, decode, encode
from octopus_plugins.events.task import MAX_EARLIER, with_earlier
from octopus_plugins.wrath import History

PLACE: dict[str, Any] = {"app": "square", "executor": "small", "host": "node-a", "worker_id": 3, "pid": 17}
USED = Usage(time=3.0, cpu_user=0.5)


def task(state: str, order: int, **more: Any) -> Task:
    return Task(run_id="run", task_id="4", state=state, time=float(order), order=order, **{**PLACE, **more})


def end(**more: Any) -> list[Task]:
    """What is told at the end of a try."""
    return [task("running", 7), task("running_ended", 8, usage=USED), task("exec_done", 9, **more)]


@pytest.mark.parametrize("begin", [0, 1, 2])
def test_the_states_of_a_try_are_one_record_and_read_as_they_were_told(begin: int) -> None:
    told = end(depends=("1", "2"), stdout="out.txt", labels={})[begin:]
    event = decode(encode(with_earlier(told[-1], told[:-1])))
    assert event is not None
    assert list(event.unfolded()) == told
    assert event.states == len(told)
    assert event.id == told[-1].id, "a reader that knows nothing of it sees the last state"


def test_what_was_never_given_an_order_has_none_afterwards() -> None:
    event = msgspec.structs.replace(with_earlier(end()[-1], end()[:-1]), order=0)
    assert [each.order for each in event.unfolded()] == [0, 0, 0]


def test_it_takes_less_than_half_of_the_bytes() -> None:
    told = end()
    assert 2 * len(encode(with_earlier(told[-1], told[:-1]))) < sum(map(len, map(encode, told)))


@pytest.mark.parametrize("begin", [0, 1])
def test_a_history_learns_the_same_from_the_record_and_from_the_states(begin: int) -> None:
    told = end()
    one_by_one, at_once = History(), History()
    for event in (task("launched", 6, host=None), *told):
        one_by_one.observe(event)
    for event in (task("launched", 6, host=None), *told[:begin], with_earlier(told[-1], told[begin:-1])):
        at_once.observe(event)
    for history in (one_by_one, at_once):
        times = history.run_times("square")
        assert times is not None
        assert len(times) == 1
    assert one_by_one.hosts("run", "small") == at_once.hosts("run", "small")
    assert one_by_one.succeeded_elsewhere("run", "square", "node-b")
    assert at_once.succeeded_elsewhere("run", "square", "node-b")
    assert one_by_one.standing("run", "small", 9.0) == at_once.standing("run", "small", 9.0)


def test_a_record_that_tells_of_too_many_states_is_no_event() -> None:
    earlier = msgspec.json.encode([["running", 1.0]] * (MAX_EARLIER + 1))
    hostile = encode(task("exec_done", 9)).replace(b'"state"', b'"earlier":' + earlier + b',"state"')
    with pytest.raises(SchemaError, match="earlier"):
        decode(hostile)
