"""What a try leaves behind: when it began and ended and where, a line each in one file that all workers append to."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

JOURNAL = "HARMLESS_JOURNAL"
"""Environment variable with the path of the file. Workers inherit it."""

MARKERS = "HARMLESS_MARKERS"
"""Environment variable with a directory for what tasks remember from one try to the next."""


class Mark(NamedTuple):
    """A line of the journal."""

    key: str
    host: str
    begins: bool
    time: float


def note(key: str, word: str) -> None:
    """Append a line. Lines this short are written whole, also by several processes at a time."""
    line = f"{key}\t{socket.gethostname()}\t{word}\t{time.time():.6f}\n"
    number = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(number, line.encode())
    finally:
        os.close(number)


def read(journal: Path) -> list[Mark]:
    """All lines, in the order in which they were written."""
    if not journal.exists():
        return []
    marks = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        key, host, word, moment = line.split("\t")
        marks.append(Mark(key, host, word == "begin", float(moment)))
    return marks


def recorded(body: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    """A function for ``python_app`` that does what ``body`` does and leaves its lines.

    Args:
        body: A function of a module, so that workers import it.
        name: Of the app, where it is not that of the function.
    """

    def run(*args: Any, key: str, walltime: float | None = None, **kwargs: Any) -> Any:
        note(key, "begin")
        try:
            return body(*args, **kwargs)
        finally:
            note(key, "end")

    run.__name__ = name or body.__name__
    return run


def recorded_command(body: Callable[..., str], name: str | None = None) -> Callable[..., str]:
    """A function for ``bash_app`` whose command is the one of ``body`` and leaves its lines."""

    def run(*args: Any, key: str, walltime: float | None = None, **kwargs: Any) -> str:
        line = f'printf "%s\\t%s\\t%s\\t%s\\n" {key} "$HOSTNAME"'
        append = f'"$EPOCHREALTIME" >> "${JOURNAL}"'
        return f"trap '{line} end {append}' EXIT\n{line} begin {append}\n{body(*args, **kwargs)}"

    run.__name__ = name or body.__name__
    return run


def next_try(key: str) -> int:
    """Count a try of a task.

    Returns:
        Which one it is; the first is 1.
    """
    path = os.path.join(os.environ[MARKERS], key)  # noqa: PTH118 - also what bash apps write
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(number, b"x")
        return os.fstat(number).st_size
    finally:
        os.close(number)
