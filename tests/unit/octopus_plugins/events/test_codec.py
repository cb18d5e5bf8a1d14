"""The codec: what goes out comes back, and nothing that comes in can hurt."""

from __future__ import annotations

import random
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from octopus_plugins.errors import SchemaError
from octopus_plugins.events import (
    EVENT_CLASSES,
    Block,
    Decision,
    Event,
    ExceptionInfo,
    Failure,
    Heartbeat,
    ResourceSample,
    Run,
    Task,
    Usage,
    decode,
    encode,
    read_envelope,
)
from octopus_plugins.events.base import LATEST_TIME, MAX_NAME
from octopus_plugins.events.codec import MAX_DEPTH, MAX_INPUT_BYTES

from ....hostile import HUGE, any_event, any_json, decoded, events_of, fuzzed, mutated, mutations


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
def test_every_event_comes_back_as_it_was_sent(cls: type[Event]) -> None:
    @settings(deadline=None)
    @given(events_of(cls))
    def round_trip(event: Event) -> None:
        assert decode(encode(event)) == event

    round_trip()


@settings(deadline=None)
@given(any_event)
def test_the_envelope_says_what_the_event_is(event: Event) -> None:
    envelope = read_envelope(encode(event))
    assert (envelope.id, envelope.source, envelope.type) == (event.id, event.source, event.TYPE)
    assert (envelope.specversion, envelope.datacontenttype) == ("1.0", "application/json")
    assert envelope.time is not None
    assert envelope.time.timestamp() == pytest.approx(event.time, abs=1e-5)


@settings(deadline=None)
@given(any_event, any_json)
def test_unknown_fields_are_skipped(event: Event, extra: Any) -> None:
    record = msgspec.json.decode(encode(event))
    record["data"]["a_field_of_the_future"] = extra
    record["anattributeofthefuture"] = "x"
    assert decode(msgspec.json.encode(record)) == event


@settings(deadline=None)
@given(any_json)
def test_unknown_types_are_skipped(data: Any) -> None:
    record = {"specversion": "1.0", "id": "1", "source": "/x", "type": "octopus.failure/v99", "data": data}
    assert decode(msgspec.json.encode(record)) is None


def test_the_data_of_types_to_skip_is_not_read() -> None:
    task = encode(Task(run_id="r", time=1.0, task_id="1", state="running"))
    assert decode(task, skip={Task.TYPE}) is None
    assert decode(task, skip={Failure.TYPE}) == decode(task)
    unreadable = {"specversion": "1.0", "id": "1", "source": "/x", "type": Task.TYPE, "data": {"run_id": 1}}
    assert decode(msgspec.json.encode(unreadable), skip={Task.TYPE}) is None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_an_event_or_a_schema_error(value: bytes) -> None:
    _decode_or_schema_error(value)


@settings(deadline=None)
@given(any_event, st.data())
def test_a_damaged_record_gives_an_event_or_a_schema_error(event: Event, data: st.DataObject) -> None:
    value = bytearray(encode(event))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_schema_error(bytes(value[: data.draw(st.integers(0, len(value)))]))


@fuzzed(2_000)
@given(mutations)
def test_a_hostile_record_gives_an_event_or_a_schema_error(value: bytes) -> None:
    _decode_or_schema_error(value)


@fuzzed(100)
@given(any_event, st.integers(0, 2**32))
def test_any_event_made_hostile_gives_an_event_or_a_schema_error(event: Event, seed: int) -> None:
    _decode_or_schema_error(mutated(event, random.Random(seed)))


@pytest.mark.parametrize("value", [HUGE, b"[" * 10_000_000, b'{"a":' * 2_000_000], ids=["text", "list", "object"])
def test_ten_megabytes_in_any_place_take_neither_long_nor_much_memory(value: bytes) -> None:
    record = msgspec.json.decode(encode(_task(app="f", labels={"note": "x"})))
    for holder, key in ((record, "id"), (record, "data"), (record["data"], "app"), (record["data"]["labels"], "note")):
        before, holder[key] = holder[key], msgspec.Raw(value)
        encoded = msgspec.json.encode(record)
        begin = time.process_time()
        tracemalloc.start()
        try:
            _decode_or_schema_error(encoded)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * len(encoded)
        assert time.process_time() - begin < 5
        holder[key] = before


@settings(deadline=None)
@given(st.sampled_from(EVENT_CLASSES), any_json)
def test_any_data_in_a_right_envelope_gives_an_event_or_a_schema_error(cls: type[Event], data: Any) -> None:
    record = {"specversion": "1.0", "id": "1", "source": "/x", "type": cls.TYPE, "data": data}
    _decode_or_schema_error(msgspec.json.encode(record))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[" * 200_000,
        b'{"data":' * 50_000,
        b'\xff\xfe{"specversion": "1.0"}',
        b'{"specversion":"0.3","id":"1","source":"/x","type":"octopus.task/v1"}',
        b'{"specversion":"1.0","id":1,"source":"/x","type":"octopus.task/v1"}',
        b" " * (MAX_INPUT_BYTES + 1),
    ],
    ids=["empty", "null", "deep list", "deep object", "not UTF-8", "old version", "id of another kind", "too large"],
)
def test_what_is_no_event_is_a_schema_error(value: bytes) -> None:
    with pytest.raises(SchemaError):
        decode(value)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("time", [0.0, LATEST_TIME], [-1.0, LATEST_TIME + 1, 1e300]),
        ("app", ["x" * MAX_NAME], ["x" * (MAX_NAME + 1)]),
        ("try_id", [-(2**63), 2**63 - 1], [2**63, -(2**63) - 1, 10**30]),
    ],
)
def test_a_value_out_of_bounds_makes_a_record_no_event_and_the_error_names_the_field(
    field: str, good: list[Any], bad: list[Any]
) -> None:
    record = msgspec.json.decode(encode(_task()))
    for value in good:
        record["data"][field] = value
        assert getattr(decode(msgspec.json.encode(record)), field) == value
    for value in bad:
        record["data"][field] = value
        with pytest.raises(SchemaError, match=rf"octopus\.task/v1 with unexpected data.*\$\.{field}"):
            decode(msgspec.json.encode(record))


def test_a_policy_may_be_nested_to_a_bound() -> None:
    def nested(levels: int) -> dict[str, Any]:
        policy: dict[str, Any] = {}
        for level in range(levels - 1):
            policy = {"a": [policy]} if level % 2 else {"a": policy, "b": 1}
        return policy

    def depth(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    for levels in range(1, 60):
        run = Run(run_id="r", time=1.0, state="configured", policy=nested(levels))
        if depth(run.policy) <= MAX_DEPTH:
            assert decode(encode(run)) == run
        else:
            with pytest.raises(SchemaError, match=r"more than 32 levels - at `\$\.policy`"):
                decode(encode(run))


def test_what_is_said_of_a_bad_record_is_short_however_long_that_is() -> None:
    for value in (
        b'{"specversion":"' + b"\\u001b" * 100_000 + b'","id":"1","source":"/x","type":"octopus.task/v1"}',
        b'{"specversion":"1.0","id":"1","source":"/x","type":"octopus.task/v1","data":{"' + b"x" * 100_000 + b'":1}}',
    ):
        with pytest.raises(SchemaError) as caught:
            decode(value)
        assert len(str(caught.value)) < 300
        assert str(caught.value).isprintable()


@settings(deadline=None)
@given(events_of(Failure), st.integers(10_000, 30_000), st.integers(0, 100_000))
@example(Failure(run_id="", time=0.0, task_id="", try_id=-(2**63), exception=ExceptionInfo(type="")), 10_000, 50_000)
def test_a_large_event_is_cut_to_the_bound_and_says_so(event: Failure, max_bytes: int, length: int) -> None:
    # Three bytes a character in UTF-8, and two of them escaped in JSON: the bound is one of bytes.
    large = msgspec.structs.replace(event, traceback="–" * length, stderr_tail='"\n' * length)
    encoded = encode(large, max_bytes=max_bytes)
    assert len(encoded) <= max_bytes
    decoded = decode(encoded)
    assert isinstance(decoded, Failure)
    assert decoded.id == large.id
    assert decoded == large or decoded.truncated


def test_what_json_cannot_say_is_a_schema_error() -> None:
    for event in (Task(run_id="r", time=float("nan"), task_id="1", state="x"), _task(app="\ud800"), _task(time=1e300)):
        with pytest.raises(SchemaError):
            encode(event)


@pytest.mark.parametrize(
    "event",
    [
        Task(run_id="r", time=1.0, task_id="7", try_id=2, state="running"),
        Run(run_id="r", time=1.0, state="started"),
        Block(run_id="r", time=1.0, executor="e", block="0", state="RUNNING"),
        ResourceSample(run_id="r", time=1.0, task_id="7", sequence=3, usage=Usage(time=1.0)),
        Failure(run_id="r", time=1.0, task_id="7", exception=ExceptionInfo(type="ValueError")),
        Decision(run_id="r", time=1.0, task_id="7", action="retry"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_the_id_depends_on_what_happened_and_not_on_when_it_was_said(event: Event) -> None:
    again = msgspec.structs.replace(event, time=event.time + 5, labels={"note": "copied"}, truncated=True)
    assert again.id == event.id
    assert again.key == event.key


def test_different_happenings_have_different_ids() -> None:
    happenings = [
        _task(state="pending"),
        _task(state="running"),
        _task(state="running", try_id=1),
        _task(state="running", task_id="8"),
        _task(state="running", run_id="s"),
        Failure(run_id="r", time=1.0, task_id="7", exception=ExceptionInfo(type="ValueError")),
        Decision(run_id="r", time=1.0, task_id="7", action="retry"),
        Decision(run_id="r", time=1.0, task_id="7", action="retry", decider="service"),
        Heartbeat(run_id="r", time=1.0, host="n"),
        Heartbeat(run_id="r", time=2.0, host="n"),
    ]
    assert len({event.id for event in happenings}) == len(happenings)


def _task(**changes: Any) -> Task:
    return Task(**{"run_id": "r", "time": 1.0, "task_id": "7", "state": "running", **changes})


def _decode_or_schema_error(value: bytes) -> None:
    event = decoded(value)
    assert event is None or isinstance(event, EVENT_CLASSES)


def test_a_name_that_is_too_long_is_cut_and_the_texts_beside_it_are_not() -> None:
    traceback = "t" * 20_000
    info = ExceptionInfo(type="ValueError", message="m" * 3000)
    failure = Failure(
        run_id="run", task_id="1", time=1.0, app="n" * 2_000_000, host="h" * 1025, exception=info, traceback=traceback
    )
    found = decode(encode(failure))
    assert isinstance(found, Failure) and found.app is not None and found.host is not None
    assert (len(found.app), len(found.host)) == (1024, 1024)
    assert found.truncated and found.id == failure.id
    assert (found.traceback, found.exception) == (traceback, info)


def test_a_short_event_with_a_long_name_is_read_by_every_reader() -> None:
    found = decode(encode(Task(run_id="run", task_id="1", time=1.0, state="running", app="n" * 1025)))
    assert isinstance(found, Task) and found.truncated


def test_a_number_beyond_64_bits_beside_a_long_text_is_bounded() -> None:
    info = ExceptionInfo(type="ValueError", message="m" * 3000)
    found = decode(encode(Failure(run_id="run", task_id="1", time=1.0, exit_code=2**70, exception=info)))
    assert isinstance(found, Failure) and found.truncated
    assert (found.exit_code, found.exception) == (2**63 - 1, info)
