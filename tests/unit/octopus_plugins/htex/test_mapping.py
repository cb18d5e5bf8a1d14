"""Shared memory that keeps no descriptor open."""

from __future__ import annotations

import mmap
import os

import pytest

from octopus_plugins.htex.mapping import mapped

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux's memfd_create")


def test_what_is_written_there_is_in_the_file_and_no_descriptor_stays() -> None:
    kept = os.memfd_create("kept")
    try:
        os.ftruncate(kept, mmap.PAGESIZE + 10)
        handed = os.dup(kept)
        memory = memoryview(mapped(handed)).cast("B")
        assert len(memory) == mmap.PAGESIZE + 10
        memory[-3:] = b"abc"
        assert os.pread(kept, 3, mmap.PAGESIZE + 7) == b"abc"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handed)
    finally:
        os.close(kept)


def test_an_empty_file_is_refused_and_its_descriptor_closed() -> None:
    handed = os.memfd_create("empty")
    with pytest.raises(OSError, match="Invalid argument"):
        mapped(handed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handed)
