"""The samples of a node in one record: nothing is lost by it."""

from __future__ import annotations

import msgspec
import pytest

from octopus_plugins.errors import SchemaError
from octopus_plugins.events import ResourceSample, ResourceSamples, TrySample, Usage, decode, encode
from octopus_plugins.events.resource import MAX_SAMPLES


def usage(number: int) -> Usage:
    return Usage(time=100.0 + number, rss=150_000_000 + number, peak_rss=160_000_000, vms=900_000_000, open_files=14)


def samples(count: int = 3, **more: object) -> ResourceSamples:
    tries = tuple(
        TrySample(task_id=str(number), try_id=1, app="nap", worker_id=number, pid=17, sequence=4, usage=usage(number))
        for number in range(count)
    )
    about = {"framework": "parsl", "labels": {"site": "a"}, "executor": "small", "block": "0", "manager": "m"}
    return ResourceSamples(run_id="run", time=100.0, host="node", period=5.0, stretch=5.0, tries=tries, **about, **more)  # type: ignore[arg-type]


def test_they_are_read_one_by_one_as_if_each_had_been_told_alone() -> None:
    event = decode(encode(samples(order=9)))
    assert event is not None
    assert event.states == 3
    assert event.unfolded() == tuple(
        ResourceSample(
            run_id="run",
            time=100.0 + number,
            labels={"site": "a"},
            order=7 + number,
            task_id=str(number),
            try_id=1,
            app="nap",
            executor="small",
            block="0",
            manager="m",
            host="node",
            worker_id=number,
            pid=17,
            sequence=4,
            usage=usage(number),
            period=5.0,
            stretch=5.0,
        )
        for number in range(3)
    )


def test_what_was_never_given_an_order_has_none_afterwards() -> None:
    assert [each.order for each in samples().unfolded()] == [0, 0, 0]


def test_the_next_record_of_a_node_is_another_event_under_the_same_key() -> None:
    first = samples()
    later = msgspec.structs.replace(first, tries=tuple(msgspec.structs.replace(t, sequence=5) for t in first.tries))
    assert first.id != later.id
    assert first.key == later.key == "run/resources/m"


def test_a_hundred_workers_take_less_than_half_of_the_bytes_in_one_record() -> None:
    event = samples(100)
    assert 2 * len(encode(event)) < sum(len(encode(each)) for each in event.unfolded())


def test_a_record_with_too_many_is_no_event() -> None:
    one = msgspec.json.encode(TrySample(task_id="1", usage=usage(1)))
    many = b'"tries":[' + b",".join([one] * (MAX_SAMPLES + 1)) + b"]"
    whole = encode(samples(0))
    assert whole.count(b'"tries":[]') == 1
    with pytest.raises(SchemaError, match="tries"):
        decode(whole.replace(b'"tries":[]', many))


def test_a_record_with_none_says_nothing() -> None:
    event = decode(encode(samples(0)))
    assert event is not None
    assert event.unfolded() == ()


def test_a_record_that_is_too_long_is_refused_rather_than_robbed_of_samples() -> None:
    event = samples(100)
    with pytest.raises(SchemaError, match="100 tries"):
        encode(event, max_bytes=10_000)
    assert all(len(encode(each, max_bytes=10_000)) < 10_000 for each in event.unfolded())
    long = msgspec.structs.replace(event.tries[0], app="x" * 20_000)
    alone = decode(encode(msgspec.structs.replace(event, tries=(long,)), max_bytes=10_000))
    assert alone is not None and alone.truncated and alone.states == 1
