"""Apps that end their worker."""

from __future__ import annotations

import os
import signal
import time

from parsl import python_app


@python_app
def allocate_and_die(number: int, seconds: float) -> None:
    """Use memory for a while, and be killed with it."""
    block = b"x" * number
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL if block else 0)
