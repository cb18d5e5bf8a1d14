"""The tasks that an endpoint has taken and not yet answered, on disk: the next one tells them lost."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import msgspec

logger = logging.getLogger("octopus_plugins")

NAME = "octopus-tasks.jsonl"
"""The file, in the endpoint's directory."""

MAX_BYTES = 4 << 20
"""Size from which on the file is written anew, with what is still open."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task that was taken, as far as it was known when it was put down.

    Attributes:
        task_id: Globus Compute's id of the task.
        run_id: The session that took it.
        executor: The endpoint.
        submitted: When it was received, Unix seconds.
        try_id: The number of its try.
        app: Its function.
        place: Where it ran.
    """

    task_id: str
    run_id: str
    executor: str
    submitted: float
    try_id: int = 0
    app: str | None = None
    place: dict[str, str | int | None] = {}


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the file: a task is open, or done."""

    open: Entry | None = None
    done: str | None = None


class Ledger:
    """Keeps the file. Thread-safe; a line is one write to the operating system, and survives the process.

    Args:
        directory: The endpoint's.

    Raises:
        OSError: The file cannot be read or written.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._file = Path(directory) / NAME
        self._lock = threading.Lock()
        self.left = _read(self._file)
        """What an earlier session left open; stays so until it is `done`."""
        self._open = {entry.task_id: entry for entry in self.left}
        self._descriptor = self._anew()

    def note(self, entry: Entry) -> None:
        """A task is taken, or more is known of it."""
        with self._lock:
            self._open[entry.task_id] = entry
            self._write(_Line(open=entry))

    def done(self, task_id: str) -> None:
        """A task is answered."""
        with self._lock:
            if self._open.pop(task_id, None) is not None:
                self._write(_Line(done=task_id))

    def close(self) -> None:
        """Write no more; what is open stays so."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _write(self, line: _Line) -> None:
        if self._descriptor < 0:
            return
        text = msgspec.json.encode(line) + b"\n"
        try:
            if self._size + len(text) > max(MAX_BYTES, 2 * self._least):
                os.close(self._descriptor)
                self._descriptor = self._anew()
            os.write(self._descriptor, text)
            self._size += len(text)
        except OSError as error:
            self._descriptor = -1
            logger.warning(
                "%s cannot be written (%s): if this endpoint dies, its tasks are not told lost", self._file, error
            )

    def _anew(self) -> int:
        lines = b"".join(msgspec.json.encode(_Line(open=entry)) + b"\n" for entry in self._open.values())
        fresh = self._file.with_name(f"{NAME}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.write(descriptor, lines)
        fresh.replace(self._file)
        self._size = self._least = len(lines)
        return descriptor


def _read(file: Path) -> list[Entry]:
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: dict[str, Entry] = {}
    for text in lines:
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.DecodeError:
            continue  # the last one, cut short, or somebody else's
        if line.open is not None:
            found[line.open.task_id] = line.open
        if line.done is not None:
            found.pop(line.done, None)
    return list(found.values())
