"""Decider services as processes of their own, for the entries that measure them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def serving(environment: Mapping[str, str], log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """``octopus wrath serve`` for one block.

    Args:
        environment: With its settings.
        log: Where its output goes.
        options: More words of its command line.
    """
    with log.open("wb") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", "octopus_plugins.cli", "wrath", "serve", *options],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield service
    finally:
        service.kill()
        service.wait()


def check(service: subprocess.Popen[bytes], log: Path) -> None:
    """Raise where a service has ended.

    Raises:
        RuntimeError: It has; the message has the end of its output.
    """
    if service.poll() is not None:
        raise RuntimeError(f"the decider service ended:\n{log.read_text(errors='replace')[-2000:]}")
