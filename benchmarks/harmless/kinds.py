"""Kinds of failure, each with a real cause where there is a cheap one. Workers import them by name."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

NOWHERE = "/nonexistent/harmless"


class ServerBusyError(Exception):
    """An exception of the user's own."""


def value(number: int) -> None:
    raise ValueError("empty answer of the server")


def key(number: int) -> None:
    {"alpha": 1}["omega"]


def type_(number: int) -> None:
    number + "1"  # type: ignore[operator]


def attribute(number: int) -> None:
    number.real_part  # type: ignore[attr-defined]  # noqa: B018


def index(number: int) -> None:
    [][number]


def assertion(number: int) -> None:
    raise AssertionError("residual above the tolerance")


def runtime(number: int) -> None:
    raise RuntimeError("no licence")


def not_implemented(number: int) -> None:
    raise NotImplementedError("not ready")


def own_class(number: int) -> None:
    raise ServerBusyError("try again")


def unserialisable(number: int) -> None:
    # One that cannot be unpickled ends stock Parsl's thread for results, and with it the run: nothing to compare.
    raise ValueError(number for _ in range(number))


def zero_division(number: int) -> None:
    number // 0


def singular(number: int) -> None:
    import numpy

    numpy.linalg.inv([[0, 0], [0, 0]])


def no_json(number: int) -> None:
    json.loads("")


def memory(number: int) -> None:
    raise MemoryError


def large_array(number: int) -> None:
    bytearray(1 << 62)


def plugin(number: int) -> None:
    __import__(f"harmless_plugin_{number}")


def library(number: int) -> None:
    raise ImportError("libfoo.so.1: cannot open shared object file: No such file or directory")


def no_file(number: int) -> None:
    Path(f"{NOWHERE}/{number}.csv").read_bytes()


def permission(number: int) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"/data/{number}.csv")


def disk_full(number: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch/out")


def open_files(number: int) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/scratch/in")


def input_output(number: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO), f"/data/{number}")


def stale_handle(number: int) -> None:
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), "/shared/table")


def refused(number: int) -> None:
    import socket

    socket.create_connection(("127.0.0.1", 1), timeout=5)


def timeout(number: int) -> None:
    raise TimeoutError("database did not answer")


def broken_pipe(number: int) -> None:
    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def exit_status(number: int) -> None:
    subprocess.run(["sh", "-c", "exit 1"], check=True)


def killed_child(number: int) -> None:
    subprocess.run(["sh", "-c", "kill -9 $$"], check=True)


def no_program(number: int) -> None:
    subprocess.run(["harmless-missing-tool"], check=True)


KINDS: dict[str, tuple[Callable[[int], None], str]] = {
    "value": (value, "ValueError"),
    "key": (key, "KeyError"),
    "type": (type_, "TypeError"),
    "attribute": (attribute, "AttributeError"),
    "index": (index, "IndexError"),
    "assertion": (assertion, "AssertionError"),
    "runtime": (runtime, "RuntimeError"),
    "not_implemented": (not_implemented, "NotImplementedError"),
    "own_class": (own_class, "ServerBusyError"),
    "zero_division": (zero_division, "ZeroDivisionError"),
    "singular": (singular, "LinAlgError"),
    "no_json": (no_json, "JSONDecodeError"),
    "unserialisable": (unserialisable, "TypeError"),
    "memory": (memory, "MemoryError"),
    "large_array": (large_array, "MemoryError"),
    "plugin": (plugin, "ModuleNotFoundError"),
    "library": (library, "ImportError"),
    "no_file": (no_file, "FileNotFoundError"),
    "permission": (permission, "PermissionError"),
    "disk_full": (disk_full, "OSError"),
    "open_files": (open_files, "OSError"),
    "input_output": (input_output, "OSError"),
    "stale_handle": (stale_handle, "OSError"),
    "refused": (refused, "ConnectionRefusedError"),
    "timeout": (timeout, "TimeoutError"),
    "broken_pipe": (broken_pipe, "BrokenPipeError"),
    "exit_status": (exit_status, "CalledProcessError"),
    "killed_child": (killed_child, "CalledProcessError"),
    "no_program": (no_program, "FileNotFoundError"),
}
"""Kinds by name: what fails, and the type of exception that stock Parsl ends such a task with."""

PASSING = tuple(kind for kind in KINDS if kind != "unserialisable")
"""The kinds that may pass by themselves. What the serializer itself refuses twice ends the task, for certain."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "code": tuple(KINDS)[: tuple(KINDS).index("memory")],
    "outside": tuple(KINDS)[tuple(KINDS).index("memory") :],
}
"""The kinds, in groups that one run has all of: what is wrong with code and data, and with what is around it."""
