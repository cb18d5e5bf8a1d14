"""The end of everything that a run started."""

from __future__ import annotations

import contextlib
import os
import time

import psutil


def end_session(session: int, seconds: float = 10.0) -> None:
    """Kill every process of a session, and wait until they are gone.

    Worker pools have process groups of their own and outlive a hanging Parsl; the session is what they all share.
    """
    deadline = time.monotonic() + seconds
    while left := _of_session(session):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of session {session} do not end: {left}")
        time.sleep(0.02)


def _of_session(session: int) -> list[psutil.Process]:
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(psutil.Process(pid))
    return found
