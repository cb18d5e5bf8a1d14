"""Walltimes, workers that are killed, pools that stand still, blocks that die."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from benchmarks.harmless.recording import next_try
from benchmarks.harmless.trial import Trial
from benchmarks.harmless.workload import Blocks, IdleRule, Size, Workload

QUICK = {"heartbeat_period": 2, "heartbeat_threshold": 60}
"""Parsl looks once in a period whether its workers live: 30 s would make each run as long."""

LOST = {"heartbeat_period": 2, "heartbeat_threshold": 6}


def nap(number: int, seconds: float) -> int:
    """Works, in small steps: a walltime cannot end a system call."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
    return number


def nap_command(number: int, seconds: float) -> str:
    """A command that works for a while."""
    return f"sleep {seconds}"


def killed_once(number: int, dies: bool, seconds: float) -> int:
    """May be killed in its first try, as the kernel's out-of-memory killer does it."""
    time.sleep(seconds)
    if dies and next_try(f"killed-{number}") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def exits(number: int, seconds: float) -> int:
    """May end its worker, as it thinks that it is a script."""
    time.sleep(seconds)
    if number % 10 == 1:
        sys.exit("no input left")
    return number


def walltimes(trial: Trial) -> None:
    """Half of the tasks take longer than their walltime."""
    python, bash = trial.app(nap), trial.app(nap_command, bash=True)
    for number in range(trial.size.tasks):
        late = number % 2 == 1
        app = bash if number % 4 > 1 else python
        error = "AppTimeout" if late else None
        value = 0 if app is bash else number
        trial.submit(app, number, 2.0 if late else 0.2, walltime=0.5, value=value, error=error)


def kills(trial: Trial) -> None:
    """Some tasks take their worker with them, once."""
    app = trial.app(killed_once)
    for number in range(trial.size.tasks):
        trial.submit(app, number, number % 8 == 1, 0.4, value=number)


def system_exits(trial: Trial) -> None:
    """Some tasks call ``sys.exit``: Parsl loses a worker each time."""
    app = trial.app(exits)
    for number in range(trial.size.tasks):
        trial.submit(app, number, 0.4, value=number, error="WorkerLost" if number % 10 == 1 else None)


def stands_still(seconds: float) -> Callable[[Trial], None]:
    """A body in which one node's pool is stopped for so long while its workers compute.

    Short tasks of the same app come first: what takes long is then longer than usual, too.
    """

    def body(trial: Trial) -> None:
        app = trial.app(nap)
        short = 4 * trial.size.nodes * trial.size.workers
        for number in range(short):
            trial.submit(app, number, 0.3, value=number)
        trial.wait()
        keys = {f"t{short + number}" for number in range(trial.size.tasks)}
        for number in range(trial.size.tasks):
            trial.submit(app, number, seconds / 2, value=number)
        trial.until(lambda: any(key in keys and host == "h-0" for key, host in trial.begun().items()))
        time.sleep(3.0)  # so that what samples running tasks has seen them
        stopped = trial.managers("0")
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        # How long a migration or a file server keeps it: that is what is measured, and not waited for.
        time.sleep(seconds)
        for process in stopped:
            process.send_signal(signal.SIGCONT)

    return body


def loses_block(trial: Trial) -> None:
    """One block is killed with all its processes while the run goes on."""
    app = trial.app(nap)
    for number in range(trial.size.tasks):
        trial.submit(app, number, 0.4, value=number)
    trial.until(lambda: sum(task.settled is not None for task in trial.tasks) > trial.size.tasks // 5)
    for process in trial.managers("1"):
        for each in [*process.children(recursive=True), process]:
            each.send_signal(signal.SIGKILL)


def naps(seconds: float) -> Callable[[Trial], None]:
    """A body of tasks with which nothing is wrong."""

    def body(trial: Trial) -> None:
        app = trial.app(nap)
        for number in range(trial.size.tasks):
            trial.submit(app, number, seconds, value=number)

    return body


WORKLOADS = (
    Workload("walltime", "half of the tasks exceed their walltime, python and bash", walltimes, Size(3, 2, 120)),
    Workload("walltime-retried", "half of the tasks exceed their walltime", walltimes, Size(3, 2, 48), retries=2),
    Workload(
        "workers-killed",
        "one task in eight kills its worker in its first try",
        kills,
        Size(3, 2, 80),
        retries=3,
        pool=QUICK,
        short=Size(1, 2, 12),
    ),
    Workload("system-exit", "one task in ten calls sys.exit", system_exits, Size(3, 2, 80), pool=QUICK),
    Workload(
        "still",
        "a pool stands still for 40 s while its workers compute",
        stands_still(40.0),
        Size(1, 2, 2),
        idle=IdleRule.NOT_JUDGED,
    ),
    Workload(
        "still-retried",
        "one pool of three stands still for 36 s, with retries",
        stands_still(36.0),
        Size(3, 1, 4),
        retries=3,
        idle=IdleRule.NOT_JUDGED,
    ),
    Workload(
        "block-killed",
        "one block of three is killed in mid-run",
        loses_block,
        Size(3, 2, 90),
        retries=3,
        pool=LOST,
    ),
    Workload(
        "block-dies-at-start",
        "worker_init fails for the first block of two",
        naps(0.4),
        Size(1, 2, 60),
        retries=1,
        blocks=Blocks(2, 2, 2),
        worker_init='case "$0" in *.block-0.*) echo "conda: command not found" >&2; exit 1 ;; esac',
        warm=False,
    ),
)
