from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octopus_plugins.fabric.produce.queues import BoundedQueue, total_bytes
from octopus_plugins.fabric.record import Record


def record(number: int, size: int = 100) -> Record:
    return Record("heartbeats", str(number).encode(), b"x" * size)


def test_the_oldest_goes_when_the_queue_is_full() -> None:
    queue = BoundedQueue(total_bytes(list(map(record, range(3)))))
    dropped = [each for number in range(5) for each in queue.put(record(number))]
    assert dropped == [record(0), record(1)]
    assert queue.take(10_000)[0] == [record(2), record(3), record(4)]


def test_the_least_important_goes_first_and_the_most_important_is_taken_first() -> None:
    queue = BoundedQueue(total_bytes(list(map(record, range(2)))), levels=2)
    queue.put(record(0), 0)
    queue.put(record(1), 1)
    assert queue.put(record(2), 0) == [record(1)]
    assert queue.put(record(3), 1) == [record(3)]
    assert queue.put(record(4), 0) == [record(0)]
    assert queue.take(10_000)[0] == [record(2), record(4)]


def test_what_was_taken_and_not_acknowledged_comes_back_in_order() -> None:
    queue = BoundedQueue(10_000)
    for number in range(4):
        queue.put(record(number))
    first, token = queue.take(1)
    assert first == [record(0)]
    assert queue.take(700)[0] == [record(1), record(2)]
    assert len(queue) == 4
    queue.acknowledge(token, 1)
    assert len(queue) == 3
    assert queue.rewind() == []
    assert queue.take(10_000)[0] == [record(1), record(2), record(3)]


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 1)), max_size=60))
def test_it_never_holds_more_than_it_may_and_loses_nothing_silently(puts: list[tuple[int, int]]) -> None:
    queue = BoundedQueue(5000, levels=2)
    dropped: list[Record] = []
    for number, (size, level) in enumerate(puts):
        dropped += queue.put(record(number, size), level)
    held = queue.drain()
    assert total_bytes(held) <= 5000
    assert sorted(int(each.key) for each in dropped + held) == list(range(len(puts)))
    assert len(queue) == 0
