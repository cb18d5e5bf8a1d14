"""Apps that block, each in its own way. Parsl reads the walltime from the call."""

from __future__ import annotations

import ctypes
import socket
import subprocess
import time
from pathlib import Path

from parsl import python_app
from parsl.app.errors import AppTimeout


@python_app
def sleep_on(seconds: float, walltime: float = 1) -> None:
    time.sleep(seconds)


@python_app
def read_socket(walltime: float = 1) -> bytes:
    here, there = socket.socketpair()
    with here, there:
        return here.recv(1)


@python_app
def open_pipe(path: str, walltime: float = 1) -> str:
    return Path(path).read_text(encoding="utf-8")


@python_app
def sleep_in_c(seconds: int, walltime: float = 1) -> int:
    """C code that lets other threads of Python run, and returns when it is interrupted."""
    return int(ctypes.CDLL(None).sleep(seconds))


@python_app
def shell_out(command: str, walltime: float = 1) -> int:
    return subprocess.run(command, shell=True, check=False).returncode


@python_app
def lock_up_in_c(walltime: float = 1) -> None:
    """C code that lets other threads of Python run, and waits for a lock on which no signal has an effect."""
    libc = ctypes.CDLL(None)
    lock = ctypes.create_string_buffer(128)
    libc.pthread_mutex_init(lock, None)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)


@python_app
def hold_the_interpreter(seconds: int, walltime: float = 1) -> None:
    """C code that holds Python's global lock: no other thread of the worker runs until it returns."""
    libc = ctypes.PyDLL(None)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        libc.sleep(seconds)


@python_app
def clean_up_slowly(walltime: float = 1) -> str:
    try:
        time.sleep(60)
    except AppTimeout:
        time.sleep(2)
        return "cleaned up"
    return "not ended"


@python_app
def patient(seconds: float, walltime: float = 1) -> str:
    time.sleep(seconds)
    return "in time"
