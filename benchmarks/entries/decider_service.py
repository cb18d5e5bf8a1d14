"""Decider services as processes of their own, for the entries that measure them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from octopus_plugins.events import Pool, Run

_POOLS = (Pool(label="small", observed=True, steerable=True), Pool(label="large", observed=True, steerable=True))


def configured(run_id: str) -> Run:
    """What a run tells that has its failures decided by a service."""
    labels = {"decider": "service"}
    return Run(run_id=run_id, time=time.time(), state="configured", retries=3, pools=_POOLS, labels=labels)


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
