"""The tasks that an endpoint has taken and not yet answered, on disk: the next session finds out what is lost.

A line is one write to the operating system, and survives the process. Where the file may not say all, it says nothing:
a task that was answered must never be told lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from pathlib import Path

import msgspec

logger = logging.getLogger("octopus_plugins")

NAME = "octopus-tasks.jsonl"
"""The file, in the endpoint's directory."""

MAX_BYTES = 4 << 20
"""Size from which on the file is written anew, with what is still open."""


_OPEN, _DONE = b'{"open":', b'"done":'
"""How the two kinds of lines are told from each other where no more can be read."""


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
    """Keeps the file. Thread-safe.

    Args:
        directory: The endpoint's.

    Raises:
        OSError: The file cannot be read or written.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._file = Path(directory) / NAME
        self._lock = threading.Lock()
        self._left = _read(self._file)
        self._open = dict(self._left)
        self._failed = False
        self._descriptor = self._anew()

    @property
    def left(self) -> int:
        """How many tasks an earlier session left open that this one has not got since."""
        return len(self._left)

    def claim(self) -> Entry | None:
        """Take a task that an earlier session left open; it stays in the file until it is `done`."""
        with self._lock:
            return self._left.popitem()[1] if self._left else None

    def note(self, entry: Entry) -> None:
        """A task is taken, or more is known of it. One that was left open has come again."""
        with self._lock:
            self._left.pop(entry.task_id, None)
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
            if self._failed or self._size + len(text) > max(MAX_BYTES, 2 * self._least):
                fresh = self._anew()
                os.close(self._descriptor)
                self._descriptor = fresh
                if self._failed:
                    self._failed = False
                    logger.info("%s can be written again", self._file)
                return
            if os.write(self._descriptor, text) != len(text):
                raise OSError("no room for a whole line")
            self._size += len(text)
        except OSError as error:
            self._empty(error)

    def _empty(self, error: OSError) -> None:
        """Leave nothing in a file that cannot be kept up to date; each further line is an attempt to write it anew."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)  # takes no room
        if not self._failed:
            self._failed = True
            logger.warning("%s cannot be written (%s): tasks are not told lost until it can be", self._file, error)

    def _anew(self) -> int:
        lines = b"".join(msgspec.json.encode(_Line(open=entry)) + b"\n" for entry in self._open.values())
        fresh = self._file.with_name(f"{NAME}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            if os.write(descriptor, lines) != len(lines):
                raise OSError("no room for all tasks that are open")
            fresh.replace(self._file)
        except BaseException:
            os.close(descriptor)
            fresh.unlink(missing_ok=True)
            raise
        self._size = self._least = len(lines)
        return descriptor


def _read(file: Path) -> dict[str, Entry]:
    """What a session left open, as far as the file leaves no doubt."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, Entry] = {}
    for text in lines:
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.DecodeError:
            found = _without(found, text)
            continue
        if line.open is not None:
            found[line.open.task_id] = line.open
        if line.done is not None:
            found.pop(line.done, None)
    return found


def _without(found: dict[str, Entry], torn: bytes) -> dict[str, Entry]:
    """The tasks of which a line that cannot be read did not say that they were done."""
    if torn.startswith(_OPEN) and _DONE not in torn:
        return found
    begun = re.match(rb'{"done":"([0-9a-f-]+)', torn)
    if begun is None:
        return {}
    return {task_id: entry for task_id, entry in found.items() if not task_id.startswith(begun[1].decode())}
