"""The corpus as data: one file per scene, one line per event."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.corpus.cases import Case
from octopus_plugins.events import Decision, Event, Failure, Heartbeat, ResourceSample, decode, encode

DATA = Path(__file__).parent / "data"
CHECKOUT = Path(__file__).resolve().parents[2]


class Label(msgspec.Struct, frozen=True):
    """What was injected.

    Attributes:
        category: The category that it must get.
        layer: That category's layer.
        structured: Whether the cause shows in more than words; see `Case`.
    """

    category: str
    layer: str
    structured: bool


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    event: msgspec.Raw
    case: str = ""
    label: Label | None = None
    made: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One event of a recorded run.

    Attributes:
        event: What was told.
        case: Name of the case, for a failure that was injected; else empty.
        label: What was injected.
        made: How.
    """

    event: Event
    case: str
    label: Label | None
    made: str

    @property
    def held_out(self) -> bool:
        """Whether it belongs to the third that is never looked at while rules are written."""
        return zlib.crc32(self.case.encode()) % 3 == 0


def write(scene: str, events: list[Event], labels: dict[str, Case]) -> int:
    """Write a scene's file.

    Args:
        scene: Its name.
        events: All events, in the order in which they were told.
        labels: The case of each task that was made to fail.

    Returns:
        How many labelled failures it has.
    """
    lines, count = [], 0
    for event in _needed(events):
        case = None
        if isinstance(event, Failure):
            event = msgspec.structs.replace(event, categorization=None)  # noqa: PLW2901
            case = labels.get(event.task_id)
        raw = msgspec.Raw(_anonymous(encode(event)))
        if case is None:
            lines.append(_Line(raw))
        else:
            count += 1
            label = Label(case.category.value, case.category.layer.value, case.structured)
            lines.append(_Line(raw, case.name, label, case.made))
    encoder = msgspec.json.Encoder()
    DATA.mkdir(exist_ok=True)
    (DATA / f"{scene}.jsonl").write_bytes(b"".join(encoder.encode(line) + b"\n" for line in lines))
    return count


def _anonymous(encoded: bytes) -> bytes:
    """With the checkout and the home of whoever made it under the names of nobody: paths say enough without them."""
    checkout, home = os.fspath(CHECKOUT).encode(), os.fspath(Path.home()).encode()
    return encoded.replace(checkout, b"/home/user/octopus-plugins").replace(home + b"/", b"/home/user/")


def _needed(events: list[Event]) -> list[Event]:
    """Without what today's rules said, what no rule asks for, and signs of life that later ones replace.

    Of each speaker's heartbeats the last before each failure is kept, and all that tell of a death, of a loss, or of
    another count of out-of-memory kills.
    """
    kept: list[Event] = []
    heard: dict[tuple[str, str, str | None], int | None] = {}
    for event in reversed(events):
        if isinstance(event, (Decision, ResourceSample)):
            continue
        if isinstance(event, Failure):
            heard.clear()
        if isinstance(event, Heartbeat):
            speaker = (event.host, event.component, event.manager)
            kills = event.node.oom_kills if event.node else None
            told = heard.get(speaker, ...) == kills
            if told and event.state == "up" and all(worker.alive for worker in event.workers):
                continue
            heard[speaker] = kills
        kept.append(event)
    return kept[::-1]


def scenes() -> list[str]:
    """The names of the scenes that are kept."""
    return sorted(path.stem for path in DATA.glob("*.jsonl"))


def read(scene: str) -> Iterator[Record]:
    """A scene's events, in the order in which they were told."""
    decoder = msgspec.json.Decoder(_Line)
    for row in (DATA / f"{scene}.jsonl").read_bytes().splitlines():
        line = decoder.decode(row)
        event = decode(bytes(line.event))
        if event is not None:
            yield Record(event, line.case, line.label, line.made)
