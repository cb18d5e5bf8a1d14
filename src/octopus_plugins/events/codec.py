"""Events to bytes and back: CloudEvents 1.0, structured mode, JSON.

Rules of evolution (see ``docs/events.md``): fields are only ever added, with a default; a change of
meaning makes a new type (``…/v2``); readers skip unknown fields and unknown types.
"""

from __future__ import annotations

import functools
from collections.abc import Container
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from octopus_plugins.errors import SchemaError
from octopus_plugins.events.base import MAX_NAME, Event
from octopus_plugins.events.decision import Decision
from octopus_plugins.events.failure import Failure
from octopus_plugins.events.heartbeat import Heartbeat
from octopus_plugins.events.resource import ResourceSample, ResourceSamples
from octopus_plugins.events.task import Block, Run, Task
from octopus_plugins.exception_description import LARGEST, LEAST

EVENT_CLASSES: tuple[type[Event], ...] = (
    Task,
    Run,
    Block,
    ResourceSample,
    ResourceSamples,
    Heartbeat,
    Failure,
    Decision,
)

MAX_EVENT_BYTES = 900_000
"""Default bound of an encoded event; Kafka brokers take 1,048,588 bytes (``message.max.bytes``)."""

MAX_INPUT_BYTES = 16 * 1024 * 1024
"""A record larger than this is refused unread."""

MAX_DEPTH = 32
"""Lists and objects within each other in a run's policy, the one place where an event is free in its form."""


class _Outgoing(msgspec.Struct, frozen=True):
    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    datacontenttype: str
    data: Event


class Envelope(msgspec.Struct, frozen=True):
    """The CloudEvents attributes of a record, with its data not yet read.

    Attributes:
        id: Identifies the event; two records with the same id and source are one event.
        source: The run that it came from.
        type: Versioned type, such as ``octopus.failure/v1``.
        specversion: Always ``1.0``.
        time: When it happened.
        datacontenttype: Always ``application/json``.
        data: The event's data, as JSON bytes.
    """

    id: str
    source: str
    type: str
    specversion: str
    time: datetime | None = None
    datacontenttype: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_encoder = msgspec.json.Encoder()
_envelope_decoder = msgspec.json.Decoder(Envelope)
_data_decoders: dict[str, msgspec.json.Decoder[Any]] = {cls.TYPE: msgspec.json.Decoder(cls) for cls in EVENT_CLASSES}

# msgspec reports deep nesting as RecursionError and bad text as UnicodeDecodeError.
_UNREADABLE = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)


def encode(event: Event, *, max_bytes: int = MAX_EVENT_BYTES) -> bytes:
    """Encode an event as one CloudEvents JSON object.

    Args:
        event: What to say.
        max_bytes: Bound of the result; longer text inside the event is cut, and ``truncated`` set.

    Returns:
        The JSON bytes, at most ``max_bytes`` long.

    Raises:
        SchemaError: A value in the event cannot be written as JSON, or it cannot be cut to the bound.
    """
    encoded = _encode(event)
    # Whatever is too long for a reader makes the whole longer than itself and all that stands around it.
    if len(encoded) > max_bytes or (len(encoded) > _LONG and not _is_readable(event, encoded)):
        encoded = _shrink(event, max_bytes)
    return encoded


def _is_readable(event: Event, encoded: bytes) -> bool:
    decoder = _data_decoders.get(event.TYPE)
    if decoder is None:
        return True
    try:
        decoder.decode(_envelope_decoder.decode(encoded).data)
    except _UNREADABLE:
        return False
    return True


def _encode(event: Event) -> bytes:
    try:
        return _encoder.encode(
            _Outgoing(
                "1.0",
                event.id,
                event.source,
                event.TYPE,
                _EPOCH + timedelta(0, event.time),  # half the time of datetime.fromtimestamp, the same result
                "application/json",
                event,
            )
        )
    except (TypeError, ValueError, OverflowError, OSError, RecursionError, msgspec.MsgspecError) as error:
        raise SchemaError(f"{type(event).__name__} cannot be written as JSON: {error}") from error


_LONG = MAX_NAME + len(
    _encoder.encode(_Outgoing("1.0", "", "/", "", _EPOCH, "application/json", Event(run_id="", time=0)))
)


def _shrink(event: Event, max_bytes: int) -> bytes:
    if isinstance(event, ResourceSamples) and event.states > 1:
        # To cut it would leave out samples. Each by itself is small.
        raise SchemaError(f"ResourceSamples of {event.states} tries cannot be cut to {max_bytes} bytes")
    plain = msgspec.to_builtins(event)
    plain["truncated"] = True
    for name in plain.keys() & _names(type(event)):
        plain[name] = _cut(plain[name], MAX_NAME)
    limit = 2 * max_bytes
    reason = ""
    while limit >= 16:
        limit //= 2
        try:
            cut = msgspec.convert(_cut(plain, limit), type(event))
        except msgspec.ValidationError as error:
            reason = f": {error}"
            continue
        encoded = _encode(cut)
        if len(encoded) <= max_bytes:
            return encoded
    raise SchemaError(f"{type(event).__name__} cannot be cut to {max_bytes} bytes{reason}")


@functools.cache
def _names(cls: type[Event]) -> frozenset[str]:
    """The fields of an event that are names, which are bounded more narrowly than texts."""
    import msgspec.inspect

    found = []
    for field in msgspec.structs.fields(cls):
        kind = msgspec.inspect.type_info(field.type)
        kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
        if any(isinstance(each, msgspec.inspect.StrType) and each.max_length == MAX_NAME for each in kinds):
            found.append(field.encode_name)
    return frozenset(found)


def _cut(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= limit else value[: limit - 1] + "…"
    if isinstance(value, dict):
        return {key: _cut(item, limit) for key, item in list(value.items())[: max(limit, 16)]}
    if isinstance(value, (list, tuple)):
        return [_cut(item, limit) for item in value[: max(limit // 64, 1)]]
    if isinstance(value, int):
        return min(max(value, LEAST), LARGEST)
    return value


def read_envelope(value: bytes) -> Envelope:
    """Read the CloudEvents attributes of a record.

    Raises:
        SchemaError: The bytes are no CloudEvents 1.0 JSON object.
    """
    if len(value) > MAX_INPUT_BYTES:
        raise SchemaError(f"record of {len(value):,} bytes is larger than the {MAX_INPUT_BYTES:,} that are read")
    try:
        envelope = _envelope_decoder.decode(value)
    except _UNREADABLE as error:
        raise SchemaError(f"not a CloudEvents JSON object: {error}") from error
    if envelope.specversion != "1.0":
        raise SchemaError(f"CloudEvents specversion {envelope.specversion!r:.40}; only '1.0' is read")
    return envelope


def decode(value: bytes, skip: Container[str] = ()) -> Event | None:
    """Decode one record.

    Args:
        value: The record's value; untrusted input.
        skip: Types whose data is not read.

    Returns:
        The event, or None where its type is one of these, or one that this version does not know.

    Raises:
        SchemaError: The bytes are no event. Nothing else is ever raised for ``bytes``.
    """
    envelope = read_envelope(value)
    decoder = _data_decoders.get(envelope.type)
    if decoder is None or envelope.type in skip:
        return None
    try:
        event: Event = decoder.decode(envelope.data)
    except _UNREADABLE as error:
        raise SchemaError(f"{envelope.type} with unexpected data: {error}") from error
    if type(event) is Run and _is_deeper(event.policy, MAX_DEPTH):
        raise SchemaError(f"{envelope.type} with unexpected data: more than {MAX_DEPTH} levels - at `$.policy`")
    return event


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested deeper than so many levels; needs no more stack than that."""
    if isinstance(value, dict):
        return not levels or any(_is_deeper(item, levels - 1) for item in value.values())
    return isinstance(value, list) and (not levels or any(_is_deeper(item, levels - 1) for item in value))


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every event type's ``data``, by type."""
    return {cls.TYPE: msgspec.json.schema(cls) for cls in EVENT_CLASSES}
