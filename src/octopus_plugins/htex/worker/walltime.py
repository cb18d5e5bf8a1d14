"""Ends a try that outlives its walltime where Parsl's own timer cannot.

Parsl's timer leaves an exception for the main thread of the worker, which meets it when it next runs Python code. A
blocking system call never does. So, shortly after that timer has gone off, the main thread gets a signal: the call is
interrupted, and the exception that waits is raised. Code that returns to the interpreter not even then is ended with
its process. Walltime keeps Parsl's meaning: it counts from the call of the function (what comes before is not
counted), and a function that has caught the exception may take its time to clean up.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from parsl.utils import AutoCancelTimer

SIGNAL = signal.SIGURG
"""Ignored unless somebody handles it: one that comes too late hurts nobody."""

GRACE = 5.0
"""Seconds between the first signal and the end of a process that does not return to the interpreter."""

POLL_PERIOD = 0.2
"""Seconds between looks, once the walltime is over. A signal that comes just before a blocking call is lost: hence
more than one."""


def margin(walltime: float) -> float:
    """Seconds that Parsl's own timer gets first."""
    return max(0.2, min(1.0, 0.05 * walltime))


class Guard:
    """Watches over one try that has a walltime; used around it, in the main thread of the worker.

    Args:
        walltime: Seconds.
        tick: Called every POLL_PERIOD once the walltime is over: the process still runs Python code.
        calm: Called when the exception was delivered: from here on the try is on its own.
        end: Called when nothing helped; ends the process.
    """

    def __init__(
        self,
        walltime: float,
        *,
        tick: Callable[[], None],
        calm: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._walltime = walltime
        self._tick, self._calm, self._end = tick, calm, end
        self._over = threading.Event()
        self._delivered = threading.Event()
        self._subject = threading.get_ident()
        self._previous: Any = None
        self._armed = False

    def __enter__(self) -> Guard:
        # Handlers can be set in the main thread only; None is one that was not set by Python and could not be restored.
        self._previous = signal.getsignal(SIGNAL)
        if threading.current_thread() is threading.main_thread() and self._previous is not None:
            signal.signal(SIGNAL, self._interrupted)
            self._armed = True
            threading.Thread(target=self._watch, name="octopus-walltime", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        # A task may have set a handler of its own, which then stays.
        if self._armed and signal.getsignal(SIGNAL) == self._interrupted:
            signal.signal(SIGNAL, self._previous)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self._delivered.set()
        for _ in range(3):
            # Here the interpreter looks for the exception that Parsl's timer has left, and raises it.
            pass

    def _watch(self) -> None:
        if self._over.wait(self._walltime + margin(self._walltime)) or not self._timer_went_off():
            return
        given_up = time.monotonic() + GRACE
        while not self._over.is_set():
            if self._delivered.is_set():
                self._calm()
                return
            if time.monotonic() > given_up:
                self._end()
                return
            self._tick()
            signal.pthread_kill(self._subject, SIGNAL)
            self._over.wait(POLL_PERIOD)

    def _timer_went_off(self) -> bool:
        """Wait until Parsl's timer has gone off and had its time; False where the try ended before."""
        quiet = 0.0
        while quiet < margin(self._walltime):
            # Not inside: arguments are being read, or the result written, or it is a bash app, with a timer of its own.
            counting = _inside_parsl_s_timer(self._subject) and not _timers()
            quiet = quiet + POLL_PERIOD if counting else 0.0
            self._tick()
            if self._over.wait(POLL_PERIOD):
                return False
        return True


def _timers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, AutoCancelTimer)]


def _inside_parsl_s_timer(thread: int) -> bool:
    """Whether a thread is inside the wrapper of ``parsl.app.python.timeout``; its code may have come by pickle."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_name == "wrapper" and "inject_exception" in frame.f_code.co_varnames:
            return True
        frame = frame.f_back
    return False
