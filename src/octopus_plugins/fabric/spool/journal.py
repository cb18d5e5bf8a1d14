"""The journal of one session: a directory of append-only files that is the queue of its records.

    {spool_dir}/{session}/
        session.json     profile, namespace, host, pid, created; no secrets
        lock             held by the process that owns the session, for as long as it lives
        00000001.log …   segments of frames; a segment whose records have all arrived is deleted
        acked            up to where everything has arrived

A record is written to its segment before anything else is done with it and never synced: it survives the death
of the process by whatever signal, not the loss of power of the machine. What was written last is also kept in
memory, up to a bound: as long as the sender keeps up it reads nothing back.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections import deque
from pathlib import Path

from octopus_plugins.fabric.record import HEADER_BYTES, MAX_BODY_BYTES, Record, frame_bytes, scan
from octopus_plugins.fabric.spool.position import Position, PositionFile
from octopus_plugins.fabric.spool.segments import MappedSegment, WrittenSegment, new_segment, used_bytes

log = logging.getLogger("octopus_plugins")

SEGMENT_BYTES = 4 * 1024 * 1024
_TAIL_BYTES = 1024 * 1024  # kept in memory of what was not taken yet
_PIECE_BYTES = 64 * 1024  # of that, taken at once
_ACKED_EVERY = 0.1  # seconds between two writes of the acknowledged position

# POSIX locks do not lock out their own process, which even loses one by closing any descriptor of the file. So the
# lock files of this process are known, by device and inode: a path can be spelt in many ways.
_owned: set[tuple[int, int]] = set()
_owning = threading.Lock()


def _own_nothing() -> None:
    global _owning  # noqa: PLW0603  another thread may have held it when the process was forked
    _owning = threading.Lock()
    _owned.clear()


os.register_at_fork(after_in_child=_own_nothing)


class _Piece:
    """What was appended last, in memory: few objects for many records, or the garbage collector would be kept busy."""

    __slots__ = ("end", "records", "size")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.size = 0
        self.end = (0, 0)


class Journal:
    """The records of one session that have not all arrived yet, in order.

    ``append`` may be called from any thread; the reading side (``take``, ``acknowledge``, ``rewind``) belongs
    to one thread at a time.

    Attributes:
        directory: The session's directory.
        damaged: Segments of which a part could not be read.
    """

    def __init__(self, directory: Path, lock: int, *, max_bytes: int) -> None:
        """Take over a session's directory; see ``create`` and ``claim``.

        Args:
            directory: The session's directory.
            lock: Descriptor of the lock file, which this process has locked.
            max_bytes: Most that may be in the segments.

        Raises:
            OSError: The directory cannot be read.
        """
        self.directory = directory
        self.damaged = 0
        self._lock_file = lock
        self._max_bytes = max_bytes
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // 8)
        self._mutex = threading.Lock()
        self._sizes = {int(file.stem): used_bytes(file) for file in sorted(directory.glob("*.log"))}
        self._total = sum(self._sizes.values())
        self._acked_file = PositionFile(directory / "acked")
        self._acked = self._cursor = self._acked_file.read()
        self._acked_written = 0.0
        self._appended = self._acknowledged = 0
        self._segment = next(reversed(self._sizes), 0)
        self._offset = self._sizes.get(self._segment, 0)
        self._written: MappedSegment | WrittenSegment | None = None
        self._read_file = -1
        self._read_segment = 0
        # What was appended last: without a gap, from the cursor to the end.
        self._tail: deque[_Piece] = deque()
        self._tail_bytes = 0
        _owned.add(_inode(os.fstat(lock)))

    @classmethod
    def create(cls, spool_dir: Path, description: dict[str, str | int | float], *, max_bytes: int) -> Journal:
        """Begin a session.

        Args:
            spool_dir: Where sessions live; made if it is missing.
            description: What ``session.json`` says.
            max_bytes: Most that may be in the segments.

        Raises:
            OSError: The directory cannot be written, or its file system has no locks.
        """
        spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        # Locked before it gets its name, so that nobody takes it for the leavings of a dead process.
        draft = spool_dir / f".{name}"
        draft.mkdir(mode=0o700)
        acked = PositionFile(draft / "acked")
        lock = -1
        try:
            lock = os.open(draft / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with os.fdopen(os.open(draft / "session.json", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                json.dump(description, file)
            # Written now, so that it can be rewritten when the disk is full.
            acked.write(Position(0, 0))
            with _owning:
                _owned.add(_inode(os.fstat(lock)))
            draft.rename(spool_dir / name)
        except OSError:
            # A full disk is tried again and again: what is opened here must not pile up.
            if lock >= 0:
                _release(lock)
            shutil.rmtree(draft, ignore_errors=True)
            raise
        finally:
            acked.close()
        return cls(spool_dir / name, lock, max_bytes=max_bytes)

    @classmethod
    def claim(cls, directory: Path) -> Journal | None:
        """Take over the session of a dead process; None where its owner lives or somebody else was quicker.

        Raises:
            OSError: The directory cannot be read.
        """
        path = directory / "lock"
        with _owning:
            try:
                if _inode(path.stat()) in _owned:
                    return None
                lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had the lock before may have delivered all of it and deleted the directory.
                if _inode(os.fstat(lock)) != _inode(path.stat()):
                    raise FileNotFoundError(errno.ENOENT, "the session is gone", str(directory))
                return cls(directory, lock, max_bytes=0)
            except OSError as error:
                os.close(lock)
                if error.errno in {errno.EACCES, errno.EAGAIN, errno.ENOENT}:
                    return None
                raise

    @property
    def unread_bytes(self) -> int:
        """Bytes of the records that have not arrived."""
        return self._total - (self._acked.offset if self._acked.segment in self._sizes else 0)

    @property
    def waiting(self) -> int:
        """How many of the records that were appended here have not arrived."""
        return self._appended - self._acknowledged

    @property
    def unread(self) -> bool:
        """Whether there is anything that was not taken yet."""
        with self._mutex:
            return self._cursor < (self._segment, self._offset)

    def append(self, data: bytes, records: list[Record]) -> bool:
        """Write whole frames.

        Args:
            data: The frames.
            records: What is in them.

        Returns:
            False where the journal is as large as it may be; nothing is written then.

        Raises:
            OSError: The disk does not take them; nothing is written then.
        """
        size = len(data)
        with self._mutex:
            if self._total + size > self._max_bytes:
                return False
            keeps_up = self._tail or self._cursor == (self._segment, self._offset)
            written = self._written
            if written is None or self._offset + size > written.capacity:
                written = self._next_segment(size)
            written.append(data)
            self._offset = self._sizes[self._segment] = self._offset + size
            if keeps_up:
                self._remember(records, size)
            self._total += size
            self._appended += len(records)
            return True

    def take(self, max_bytes: int) -> tuple[list[Record], Position]:
        """Read on.

        Args:
            max_bytes: How many bytes to read from a file at most; one record is read whatever its size.

        Returns:
            The next records, none at the end, and the position behind them for ``acknowledge``.

        Raises:
            OSError: The files cannot be read.
        """
        while True:
            with self._mutex:
                if self._tail:
                    piece = self._tail.popleft()
                    self._tail_bytes -= piece.size
                    self._cursor = Position(*piece.end)
                    return piece.records, self._cursor
                segment, offset = self._cursor
                size = self._sizes.get(segment, 0)
                later = [number for number in self._sizes if number > segment]
            if offset < size:
                records = self._read(size, max_bytes, last=not later)
                if records:
                    return records, self._cursor
            elif later:
                self._cursor = Position(min(later), 0)
            else:
                return [], self._cursor

    def acknowledge(self, position: Position, count: int) -> None:
        """Everything up to ``position`` has arrived: ``count`` records more than at the last call."""
        with self._mutex:
            self._acked = position
            self._acknowledged += count
            done = [number for number in self._sizes if number < position.segment]
            for number in done:
                self._total -= self._sizes.pop(number)
        now = time.monotonic()
        if done or now - self._acked_written >= _ACKED_EVERY:
            self._acked_written = now
            with contextlib.suppress(OSError):  # then some records are delivered twice after a crash
                self._acked_file.write(self._acked)
        for number in done:
            with contextlib.suppress(OSError):
                self._path(number).unlink()

    def rewind(self) -> list[Record]:
        """Read again from the acknowledged position. Nothing is ever lost by that: an empty list."""
        with self._mutex:
            self._cursor = self._acked
            self._forget()
        return []

    def close(self) -> bool:
        """Give the session up: delete it if everything has arrived, else leave it to the next process.

        Returns:
            Whether it was deleted.
        """
        with self._mutex:
            if self._written is not None:
                self._written.finish()
                self._written = None
            empty = self._acked >= (self._segment, self._offset) or not self._total
        try:
            if empty:
                shutil.rmtree(self.directory, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    self._acked_file.write(self._acked)
        finally:
            self.abandon()
        return empty

    def abandon(self) -> None:
        """Let go of the files without a word, as a forked child must with its parent's.

        Closing a descriptor that was inherited does not release the parent's lock.
        """
        with contextlib.suppress(OSError):
            self._acked_file.close()
        if self._written is not None:
            self._written.abandon()
        if self._read_file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._read_file)
        if self._lock_file >= 0:
            with contextlib.suppress(OSError):
                _release(self._lock_file)
        self._written = None
        self._read_file = self._lock_file = -1

    def _path(self, segment: int) -> Path:
        return self.directory / f"{segment:08}.log"

    def _next_segment(self, size: int) -> MappedSegment | WrittenSegment:
        if self._written is not None:
            self._written.finish()
            self._written = None
        number = self._segment + 1
        self._written = new_segment(self._path(number), max(self._segment_bytes, size))
        self._segment, self._offset = number, 0
        self._sizes[number] = 0
        return self._written

    def _remember(self, records: list[Record], size: int) -> None:
        self._tail_bytes += size
        if self._tail_bytes > _TAIL_BYTES:
            self._forget()
            return
        if not self._tail or self._tail[-1].size + size > _PIECE_BYTES:
            self._tail.append(_Piece())
        piece = self._tail[-1]
        piece.records += records
        piece.size += size
        piece.end = (self._segment, self._offset)

    def _forget(self) -> None:
        self._tail.clear()
        self._tail_bytes = 0

    def _read(self, size: int, max_bytes: int, *, last: bool) -> list[Record]:
        segment, offset = self._cursor
        if self._read_segment != segment:
            if self._read_file >= 0:
                os.close(self._read_file)
            self._read_file = os.open(self._path(segment), os.O_RDONLY | os.O_CLOEXEC)
            self._read_segment = segment
        data = os.pread(self._read_file, min(max_bytes, size - offset), offset)
        found = scan(data)
        if not found.records and not found.corrupt and len(data) >= HEADER_BYTES:
            needed = frame_bytes(data[:HEADER_BYTES])
            if max_bytes < needed <= size - offset:
                found = scan(os.pread(self._read_file, needed, offset))
        end = offset + found.end
        if found.records:
            self._cursor = Position(segment, end)
        else:
            # The beginning of a record at the very end is what a crash leaves; anywhere else it is damage.
            if found.corrupt or not last or size - offset > MAX_BODY_BYTES + HEADER_BYTES:
                self._report_damage(segment, end, size)
            self._cursor = Position(segment, size)
        return found.records

    def _report_damage(self, segment: int, offset: int, size: int) -> None:
        self.damaged += 1
        copy = self.directory.with_name(f"{self.directory.name}-{segment:08}.damaged")
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)
            copy.hardlink_to(self._path(segment))
        log.warning(
            "%s is damaged at byte %d: the %d bytes from there on are skipped and kept in %s; the rest is delivered",
            self._path(segment),
            offset,
            size - offset,
            copy,
        )


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _release(lock: int) -> None:
    # At once: a deleted file's inode can be that of the next session's lock as soon as it is closed.
    with _owning:
        _owned.discard(_inode(os.fstat(lock)))
        os.close(lock)
