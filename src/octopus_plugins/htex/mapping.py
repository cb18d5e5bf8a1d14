"""Shared memory as a worker has it: mapped, and no file descriptor left open that its tasks would see.

Python's ``mmap`` keeps a copy of the descriptor, for as long as the memory is mapped (before 3.13 always).
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any


def mapped(descriptor: int, size: int = 0) -> Any:
    """Map a file of shared memory for the rest of this process's life; closes the descriptor.

    Args:
        descriptor: The file's.
        size: Bytes; 0 for the whole of it.

    Returns:
        The memory, as a buffer that can be written.

    Raises:
        OSError: It cannot be mapped, or is empty.
    """
    try:
        size = size or os.fstat(descriptor).st_size
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        address = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0)
        if address in (None, ctypes.c_void_p(-1).value):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return (ctypes.c_char * size).from_address(address)
    finally:
        os.close(descriptor)
