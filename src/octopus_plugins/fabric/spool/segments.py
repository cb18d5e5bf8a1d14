"""One file of a journal, as the process writes it that owns it.

Where the file system can promise room, the file is mapped into memory: a record is then two copies, and no system
call, for which a thread of the host would have to give up its turn. Such a file is longer than what is in it, and its
last eight bytes say how much that is. They are written after the record: whatever is cut short by the death of the
process does not count. Pages of a mapped file belong to the kernel and outlive the process as written ones do.

Elsewhere a record is one ``write`` to the end of the file. When it is finished, a mapped file looks like that, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import struct
import sys
from pathlib import Path

_STEP_BYTES = 256 * 1024  # of room asked for at a time; a small disk is not to be filled by what is not needed yet
_USED = struct.Struct("<II")  # the bytes in use, and the same inverted: no text ends like that
_INVERTED = 0xFFFFFFFF
_MAX_USED = 2**31

_FULL = {errno.ENOSPC, errno.EDQUOT}
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, since Linux 5.14

# Those that overwrite in place what they have once promised (ext4, XFS, tmpfs): elsewhere the next page may find the
# disk full, which would kill the process. As statfs(2) numbers them.
_KEEPING = {0xEF53, 0x58465342, 0x01021994}

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class MappedSegment:
    """A file of fixed size, mapped into memory."""

    def __init__(self, path: Path, capacity: int) -> None:
        """Make the file.

        Args:
            path: Where; there must be nothing yet.
            capacity: Bytes that fit.

        Raises:
            OSError: It cannot be made, or not be mapped; there is no file then.
        """
        self.capacity = capacity
        self._used = self._allocated = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if not _keeps_promises(self._descriptor):
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), str(path))
            os.pwrite(self._descriptor, _USED.pack(0, _INVERTED), capacity)
            self._memory = mmap.mmap(self._descriptor, capacity + _USED.size)
            self._allocate(1)
        except BaseException:
            os.close(self._descriptor)
            path.unlink(missing_ok=True)
            raise

    def append(self, data: bytes) -> None:
        """Write at the end.

        Raises:
            OSError: The disk does not take it; nothing is written then.
        """
        start = self._used
        end = start + len(data)
        if end > self._allocated:
            self._allocate(end)
        memory = self._memory
        memory[start:end] = data
        # One store of the processor: it is there, or not.
        memory[self.capacity :] = _USED.pack(end, end ^ _INVERTED)
        self._used = end

    def finish(self) -> None:
        """Give back the room that was not needed, and close."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._used)
        self.abandon()

    def abandon(self) -> None:
        """Close, without a word to the disk."""
        with contextlib.suppress(BufferError):  # forked while another thread had pages made
            self._memory.close()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _allocate(self, end: int) -> None:
        """Have room up to ``end`` at least, and some more if there is."""
        ample = min(max(end, self._allocated + _STEP_BYTES), self.capacity)
        try:
            _reserve(self._descriptor, self._allocated, ample)
        except OSError:
            _reserve(self._descriptor, self._allocated, end)
            ample = end
        # Page by page it would happen in `append`, and hold up all threads of the process while the disk is slow.
        _populate(self._memory, self._allocated // mmap.PAGESIZE * mmap.PAGESIZE, ample)
        self._allocated = ample


class WrittenSegment:
    """A file that is written to its end."""

    def __init__(self, path: Path, capacity: int) -> None:
        """Make the file.

        Args:
            path: Where; there must be nothing yet.
            capacity: Bytes that are to be written to it at most.

        Raises:
            OSError: It cannot be made.
        """
        self.capacity = capacity
        self._used = 0
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)

    def append(self, data: bytes) -> None:
        """Write at the end.

        Raises:
            OSError: The disk does not take it; nothing is written then.
        """
        written = -1
        try:
            written = os.write(self._descriptor, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        except OSError:
            if written > 0:
                os.ftruncate(self._descriptor, self._used)
            raise
        self._used += written

    def finish(self) -> None:
        """Close."""
        self.abandon()

    def abandon(self) -> None:
        """Close."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def new_segment(path: Path, capacity: int) -> MappedSegment | WrittenSegment:
    """Make a file of a journal.

    Args:
        path: Where; there must be nothing yet.
        capacity: Bytes that fit.

    Raises:
        OSError: It cannot be made; there is no file then.
    """
    if capacity < _MAX_USED:
        try:
            return MappedSegment(path, capacity)
        except OSError as error:
            if error.errno in _FULL:
                raise
    return WrittenSegment(path, capacity)


def used_bytes(path: Path) -> int:
    """How much of a file of a journal is in use, whoever wrote it.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size >= _USED.size:
            file.seek(-_USED.size, os.SEEK_END)
            used, inverted = _USED.unpack(file.read(_USED.size))
            if used ^ inverted == _INVERTED and used <= size - _USED.size:
                return int(used)
        return size


def _keeps_promises(descriptor: int) -> bool:
    """Whether room that the file system has promised is there for good."""
    if _libc is None:
        return False
    found = ctypes.create_string_buffer(512)
    return not _libc.fstatfs(descriptor, found) and ctypes.c_long.from_buffer(found).value in _KEEPING


def _reserve(descriptor: int, start: int, end: int) -> None:
    # os.posix_fallocate would write zeros where room cannot be promised.
    assert _libc is not None
    if end > start and _libc.fallocate(descriptor, 0, ctypes.c_long(start), ctypes.c_long(end - start)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _populate(memory: mmap.mmap, start: int, end: int) -> None:
    """Have pages of mapped memory writable now; where that is not known it happens when they are written."""
    assert _libc is not None
    first = ctypes.c_char.from_buffer(memory, start)
    _libc.madvise(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(end - start), _POPULATE_WRITE)
