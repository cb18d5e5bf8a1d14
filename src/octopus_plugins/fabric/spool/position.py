"""Up to where a journal has been delivered, and the small file that remembers it."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

_PLACE = struct.Struct("<QQ")
_CHECKSUM = struct.Struct("<I")


class Position(NamedTuple):
    """A place in a journal: number of the segment and offset in it, in bytes."""

    segment: int
    offset: int


class PositionFile:
    """The file ``acked``: a position and its checksum, rewritten in place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def read(self) -> Position:
        """Read the position; the very start where there is none, or half of one.

        To begin too early costs second copies, which readers take for the same events.
        """
        try:
            data = self._path.read_bytes()
            checksum = _CHECKSUM.unpack_from(data, _PLACE.size)[0]
        except (OSError, struct.error):
            return Position(0, 0)
        place = data[: _PLACE.size]
        return Position(*_PLACE.unpack(place)) if zlib.crc32(place) == checksum else Position(0, 0)

    def write(self, position: Position) -> None:
        """Write the position, in one call.

        Raises:
            OSError: The disk does not take it.
        """
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        place = _PLACE.pack(*position)
        os.pwrite(self._descriptor, place + _CHECKSUM.pack(zlib.crc32(place)), 0)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
