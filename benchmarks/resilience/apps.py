"""The apps of the scenarios. Each failure has a real cause: a limit, a missing file, a signal, a mistake.

Plain functions, that workers import by name. What happens once happens to the first process that comes by, which
leaves a marker.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

MANY_FILES = 160
SCRATCH_BYTES = 4 << 20
LARGE_BYTES = 2 << 30


def hello(seconds: float) -> str:
    """Say on which node this is; warms the worker up."""
    import platform

    time.sleep(seconds)
    return platform.node()


def measure(number: int, seconds: float) -> int:
    """A task that nothing can go wrong with."""
    time.sleep(seconds)
    return number * number


def analyse(number: int, seconds: float) -> int:
    """Needs a module that one node may lack."""
    import resilience_kernels

    time.sleep(seconds)
    value: int = resilience_kernels.kernel(number)
    return value


def gather(number: int, seconds: float) -> int:
    """Needs many open files at once."""
    with contextlib.ExitStack() as stack:
        for _ in range(MANY_FILES):
            stack.enter_context(open(os.devnull, "rb"))  # noqa: PTH123 - a path object would add nothing
        time.sleep(seconds)
    return number * number


def spill(number: int, seconds: float) -> int:
    """Needs room in the node's scratch directory."""
    with tempfile.TemporaryFile(dir=os.environ["RESILIENCE_SCRATCH"]) as file:
        file.write(bytes(SCRATCH_BYTES))
        file.flush()
        time.sleep(seconds)
    return number * number


def look_up(number: int, seconds: float) -> int:
    """Needs the shared file system."""
    offset = int((Path(os.environ["RESILIENCE_SHARED"]) / "offset").read_text(encoding="utf-8"))
    time.sleep(seconds)
    return number * number + offset


def assemble(number: int, seconds: float) -> int:
    """Needs more memory than a small node has."""
    # Its pages are never touched: what is measured is the limit, not how fast this machine finds 2 GiB.
    matrix = bytes(LARGE_BYTES)
    time.sleep(seconds)
    return number * number + matrix[-1]


def fragile(number: int, seconds: float, marker: str) -> int:
    """Its worker is killed once, as the kernel's out-of-memory killer does."""
    time.sleep(seconds / 2)
    if _first(marker):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds / 2)
    return number * number


def stuck_once(number: int, seconds: float, marker: str, pipe: str, walltime: float = 1.0) -> int:
    """Blocks in a system call for ever, once: nobody writes to the pipe."""
    if _first(marker):
        Path(pipe).read_bytes()
    time.sleep(seconds)
    return number * number


def stuck(pipe: str, walltime: float = 1.0) -> bytes:
    """Blocks in a system call for ever, each time. Doomed."""
    return Path(pipe).read_bytes()


def wrong_key(number: int) -> Any:
    """A mistake. Doomed."""
    return {"alpha": number}["omega"]


def wrong_name(number: int) -> Any:
    """Another mistake. Doomed."""
    return number.real_part  # type: ignore[attr-defined]


def wrong_shape(number: int) -> Any:
    """A third mistake. Doomed."""
    first, second = [number] * 3
    return first + second


def add(*parts: int) -> int:
    """What depends on the others."""
    time.sleep(0.05)
    return sum(parts)


def _first(marker: str) -> bool:
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
