"""How records stand in a journal file: length, checksum, topic, key, value."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import msgspec

_HEADER = struct.Struct("<II")  # length and CRC-32 of the body
_LENGTHS = struct.Struct("<BI")  # lengths of topic and key; the value is the rest of the body

HEADER_BYTES = _HEADER.size
MAX_BODY_BYTES = 64 * 1024 * 1024


class Record(msgspec.Struct, frozen=True, gc=False):
    """What goes to Kafka: the topic without its namespace, the key, the value.

    Made in C, and nothing for the garbage collector to follow: there is one for each event that is under way.
    """

    topic: str
    key: bytes
    value: bytes


class Scan(NamedTuple):
    """What was found in a piece of a journal.

    Attributes:
        records: The whole records, in order.
        end: Where the last whole record ends.
        corrupt: Whether what follows cannot be a record; otherwise it is the beginning of one, or nothing.
    """

    records: list[Record]
    end: int
    corrupt: bool


def encode_frame(record: Record) -> bytes:
    """Write one record as a frame."""
    topic = record.topic.encode()
    body = _LENGTHS.pack(len(topic), len(record.key)) + topic + record.key + record.value
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def frame_bytes(header: bytes) -> int:
    """The length of the frame that begins with these ``HEADER_BYTES`` bytes, header included."""
    length: int = _HEADER.unpack_from(header)[0]
    return HEADER_BYTES + length


def scan(data: bytes) -> Scan:
    """Read whole frames from the start of ``data`` until it ends or one is damaged."""
    records: list[Record] = []
    start, size = 0, len(data)
    while start + HEADER_BYTES <= size:
        length, checksum = _HEADER.unpack_from(data, start)
        if not _LENGTHS.size <= length <= MAX_BODY_BYTES:
            return Scan(records, start, True)
        end = start + HEADER_BYTES + length
        if end > size:
            break
        body = data[start + HEADER_BYTES : end]
        topic_bytes, key_bytes = _LENGTHS.unpack_from(body)
        key_start = _LENGTHS.size + topic_bytes
        value_start = key_start + key_bytes
        if zlib.crc32(body) != checksum or value_start > length:
            return Scan(records, start, True)
        topic = body[_LENGTHS.size : key_start].decode("utf-8", "replace")
        records.append(Record(topic, body[key_start:value_start], body[value_start:]))
        start = end
    return Scan(records, start, False)
