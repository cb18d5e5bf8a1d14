"""The codec: what goes out comes back, and nothing that comes in can hurt."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
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
from octopus_plugins.events.codec import MAX_INPUT_BYTES

LATEST = 4_000_000_000.0  # Unix seconds, in 2096


finite_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9) | st.text("aé😀", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aé", max_size=5), inner, max_size=3),
    max_leaves=5,
)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        return st.one_of(*[values_of(argument) for argument in arguments])
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=3)
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return events_of(annotation)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        type(None): st.none(),
        Any: finite_json,
    }
    return plain[annotation]


def events_of(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Instances of an event class, or of one that an event contains."""
    fields = {field.name: values_of(field.type) for field in msgspec.structs.fields(struct)}
    if issubclass(struct, Event):
        fields["time"] = st.floats(0, LATEST)
    return st.builds(struct, **fields)


any_event = st.one_of(*[events_of(cls) for cls in EVENT_CLASSES])
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


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


@settings(deadline=None)
@given(events_of(Failure), st.integers(10_000, 30_000), st.integers(0, 100_000))
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
    try:
        event = decode(value)
    except SchemaError:
        return
    assert event is None or isinstance(event, EVENT_CLASSES)
