"""Processes of brokers: how they end, by themselves with ours or because they are asked to."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # prctl(2)
# Loaded now: little may be done between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def _ask_to_end_with_parent() -> None:
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


end_with_parent: Callable[[], None] | None = None if _libc is None else _ask_to_end_with_parent
"""For ``preexec_fn``: ends the process with the thread that starts it, also when that is killed. Linux only."""


def stop(process: subprocess.Popen[bytes], *, kill: bool, seconds: float) -> None:
    """End a process and wait until it is gone.

    Args:
        process: The process.
        kill: At once, by SIGKILL.
        seconds: How long it may take where it is asked to end.
    """
    if process.poll() is None:
        if kill:
            process.kill()
        else:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a stopped process sees SIGTERM when it goes on
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            process.kill()
    process.wait()


def free_ports(number: int) -> list[int]:
    """TCP ports on loopback that nobody listens on at the moment, each another one."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at the moment."""
    return free_ports(1)[0]
