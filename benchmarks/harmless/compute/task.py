"""A task of a run: what becomes of it, and what it notes of its tries."""

from __future__ import annotations

import re
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|task-\d+")
_PLACE = re.compile(r"(?:/[\w.+-]+)+/")
"""Directories: they are those of one machine."""


class Begin(NamedTuple):
    """A try of a task, as the task itself notes it."""

    key: str
    pid: int
    time: float


@dataclass(frozen=True, slots=True)
class Journal:
    """What the tasks note: each in a file of its own, which has its key as name.

    Attributes:
        directory: Of the files.
    """

    directory: Path

    def lines(self) -> dict[str, list[list[str]]]:
        """By task: process id, time, and whether a try begins or ends, in this order."""
        files = {file.name: file.read_text(encoding="utf-8") for file in self.directory.iterdir()}
        return {key: [line.split() for line in text.splitlines()] for key, text in files.items()}

    def begins(self) -> list[Begin]:
        """All tries so far, the oldest first."""
        found = []
        for key, lines in self.lines().items():
            found += [Begin(key, int(pid), float(moment)) for pid, moment, word in lines if word == "begin"]
        return sorted(found, key=lambda begin: begin.time)


@dataclass(slots=True)
class Task:
    """A task that was submitted.

    Attributes:
        key: Its name, and that of its file.
        raised: What it raises; None where it ends well.
        submitted: When.
        future: The SDK's.
        settled: When its future was.
    """

    key: str
    raised: str | None
    submitted: float
    future: Any
    settled: float | None = None

    def note_end(self, future: Future[Any]) -> None:
        """Note when its future is settled."""
        self.settled = time.time()

    def outcome(self) -> dict[str, Any]:
        """What became of it, as data: well is what returns what it must, or raises what it must."""
        if self.settled is None:
            return {"key": self.key, "submitted": self.submitted, "settled": None, "well": False, "error": "no answer"}
        error = self.future.exception()
        if error is None:
            well = self.raised is None and self.future.result() == self.key[::-1]
        else:
            well = self.raised is not None and f"{self.raised}" in str(error)
        said = None if error is None else shortened(f"{type(error).__name__}: {error}")
        return {"key": self.key, "submitted": self.submitted, "settled": self.settled, "well": well, "error": said}


def shortened(text: str) -> str:
    """How an error begins and ends, in one line, without what makes each of its kind another."""
    words = [_PLACE.sub("…/", _ID.sub("…", word)) for word in text.split() if word.strip("+")]
    line = " ".join(words)
    return line if len(line) <= 200 else f"{line[:100]} … {line[-100:]}"
