from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octopus_plugins.fabric.record import HEADER_BYTES, Record, encode_frame, frame_bytes, scan

topics = st.text("abcdefghij-", min_size=1, max_size=30)
records = st.lists(st.builds(Record, topics, st.binary(max_size=50), st.binary(max_size=300)), max_size=8)


@given(records)
def test_frames_round_trip(written: list[Record]) -> None:
    data = b"".join(map(encode_frame, written))
    found = scan(data)
    assert found.records == written
    assert (found.end, found.corrupt) == (len(data), False)


@given(records, st.data())
def test_a_torn_tail_ends_the_reading_after_the_last_whole_record(written: list[Record], data: st.DataObject) -> None:
    frames = list(map(encode_frame, written))
    whole = b"".join(frames)
    cut = data.draw(st.integers(0, len(whole)))
    found = scan(whole[:cut])
    assert not found.corrupt
    assert found.records == written[: len(found.records)]
    assert found.end == sum(map(len, frames[: len(found.records)])) <= cut
    if len(found.records) < len(written):
        assert found.end + len(frames[len(found.records)]) > cut


@given(records.filter(bool), st.data())
def test_a_changed_byte_never_yields_a_record_that_was_not_written(written: list[Record], data: st.DataObject) -> None:
    frames = list(map(encode_frame, written))
    whole = bytearray(b"".join(frames))
    where = data.draw(st.integers(0, len(whole) - 1))
    whole[where] ^= data.draw(st.integers(1, 255))
    found = scan(bytes(whole))
    assert found.records == written[: len(found.records)]
    assert found.end <= where, "reading stops at the damaged record"


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_read_without_an_exception(data: bytes) -> None:
    assert 0 <= scan(data).end <= len(data)


def test_the_length_of_a_frame_stands_in_its_header() -> None:
    frame = encode_frame(Record("failures", b"key", b"value"))
    assert frame_bytes(frame[:HEADER_BYTES]) == len(frame)
