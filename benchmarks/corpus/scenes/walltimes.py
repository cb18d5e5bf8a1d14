"""Time that runs out."""

from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category

TIME = Category.walltime_exceeded
CASES = Cases()


def _busy(seconds: float) -> None:
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


@CASES.python(TIME, walltime=1)
def python_app_walltime(walltime: float = 1) -> Any:
    """A python app runs beyond its walltime of 1 s."""
    _busy(20)


@CASES.python(TIME, walltime=1)
def walltime_in_a_handler(walltime: float = 1) -> Any:
    """A python app runs beyond its walltime inside a try whose handler wraps every exception."""
    try:
        _busy(20)
    except Exception as error:
        raise RuntimeError("integration failed") from error


CASES.bash("bash_app_walltime", TIME, "sleep 30", structured=True, walltime=1)
CASES.bash("bash_app_walltime_busy", TIME, "while true; do :; done", structured=True, walltime=1)
CASES.bash("cpu_seconds", TIME, "ulimit -St 1; while true; do :; done", structured=True)
CASES.bash("cpu_seconds_unseen", TIME, "ulimit -St 1; python3 -c 'while True: pass'", structured=True, stderr=False)
CASES.bash("timeout_command", TIME, "timeout 0.3 sleep 30", structured=True)
CASES.bash("timeout_command_kills", TIME, "timeout -s KILL 0.3 sleep 30; test $? -ne 137 || exit 124", structured=True)


@CASES.python(TIME)
def subprocess_times_out() -> Any:
    """A program runs beyond the timeout that subprocess.run was given."""
    import subprocess

    return subprocess.run(["sleep", "30"], check=True, timeout=0.3)


@CASES.python(TIME)
def future_times_out() -> Any:
    """Waits for a thread's result beyond a timeout."""
    import concurrent.futures
    import time

    pool = concurrent.futures.ThreadPoolExecutor(1)
    future = pool.submit(time.sleep, 2)
    return future.result(timeout=0.2)


@CASES.python(TIME)
def asyncio_times_out() -> Any:
    """Waits for a coroutine beyond a timeout."""
    import asyncio

    return asyncio.run(asyncio.wait_for(asyncio.sleep(30), 0.2))


@CASES.python(TIME)
def alarm_times_out() -> Any:
    """The task's own alarm handler raises TimeoutError."""
    import signal

    def over(*_: Any) -> None:
        raise TimeoutError("solver exceeded 1 s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        _busy(20)
    finally:
        signal.signal(signal.SIGALRM, before)


BLOCK = Cases()


@BLOCK.python(TIME)
def outlives_its_block() -> Any:
    """Runs when the walltime of its block (90 s) ends: the scheduler kills the job."""
    _busy(200)


SCENES = [
    Scene("walltimes", CASES),
    Scene("block_walltime", BLOCK, [Place("short", blocks=1, walltime="00:01:30")]),
]
