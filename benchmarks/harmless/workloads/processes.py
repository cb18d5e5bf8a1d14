"""Tasks that start processes and threads, and change what is theirs: a worker looks as stock Parsl's does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from benchmarks.harmless.trial import Trial
from benchmarks.harmless.workload import Size, Workload


def pools(number: int) -> tuple[str | None, str | None, str]:
    """Sets variables and starts pools: the children must see this task's own."""
    import multiprocessing

    os.environ["HARMLESS_SETTING"] = os.environ["OMP_NUM_THREADS"] = str(number)
    with ProcessPoolExecutor(1) as pool:
        setting = pool.submit(os.getenv, "HARMLESS_SETTING").result(timeout=60)
    with multiprocessing.Pool(1) as children:
        threads = children.apply(os.getenv, ("OMP_NUM_THREADS",))
    return setting, threads, str(multiprocessing.get_start_method())


def threaded(number: int) -> tuple[int, str | None]:
    """Numpy, with its own threads and ours."""
    import numpy

    matrix = numpy.ones((200, 200))
    with ThreadPoolExecutor(4) as pool:
        found = [each.result() for each in [pool.submit(numpy.matmul, matrix, matrix) for _ in range(4)]]
    time.sleep(0.4)
    return int(sum(each[0, 0] for each in found)) + number, os.environ.get("OMP_NUM_THREADS")


def tree(number: int) -> str:
    """A process that starts others."""
    inner = f"import subprocess; print(subprocess.check_output(['sh', '-c', 'sleep 0.3; echo {number}'], text=True))"
    return subprocess.check_output([sys.executable, "-S", "-c", inner], text=True).strip()


def leave_changed(number: int) -> int:
    """Leaves its worker with another variable, mask, directory and handler."""
    import resource
    import signal

    os.environ[f"HARMLESS_LEFT_{number}"] = "1"
    os.umask(0o027)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    time.sleep(0.2)
    return number


def surroundings() -> dict[str, Any]:
    """What a task sees of its worker."""
    import multiprocessing
    import signal

    import psutil

    import __main__

    me = psutil.Process()
    main_file = getattr(__main__, "__file__", None)
    return {
        "start method": multiprocessing.get_start_method(allow_none=True),
        "main file": os.path.basename(main_file) if main_file else None,  # noqa: PTH119 - as the task sees it
        "parent": _program(me.parent()),
        "children": sorted(_program(child) for child in me.children(recursive=True)),
        "process name": multiprocessing.current_process().name.rpartition("-")[0],
        "daemon": multiprocessing.current_process().daemon,
        "SIGINT": str(signal.getsignal(signal.SIGINT)),
        "SIGTERM": str(signal.getsignal(signal.SIGTERM)),
        "hash seed": os.environ.get("PYTHONHASHSEED"),
        "standard input": os.path.realpath("/proc/self/fd/0").split("[")[0],
        "environment": sorted(os.environ),
        "in the main thread": threading.current_thread() is threading.main_thread(),
    }


def _program(process: Any) -> str:
    """Which program a process is, in the words that stock Parsl's and ours share."""
    words = " ".join(process.cmdline())
    known = ("process_worker_pool", "multiprocessing.forkserver", "multiprocessing.resource_tracker", "spawn_main")
    return next((name for name in known if name in words), words[-60:]) if "pool" not in words else known[0]


def hash_of_worker() -> tuple[int, int]:
    """The worker, and a hash of a string in it."""
    time.sleep(0.3)
    return os.getpid(), hash("harmless")


def process_pools(trial: Trial) -> None:
    """Tasks with multiprocessing and ProcessPoolExecutor, one after the other on the same workers."""
    app = trial.app(pools)
    for number in range(1, trial.size.tasks + 1):
        trial.submit(app, number, value=(str(number), str(number), "spawn"))


def threads_and_trees(trial: Trial) -> None:
    """Threads, OpenMP, and trees of processes."""
    numbers, trees = trial.app(threaded), trial.app(tree)
    for number in range(trial.size.tasks // 2):
        trial.submit(numbers, number, value=(800 + number, "1"))
        trial.submit(trees, number, value=str(number))


def changes(trial: Trial) -> None:
    """Tasks that change their worker, then some that look around."""
    change, look, hashed = trial.app(leave_changed), trial.app(surroundings), trial.app(hash_of_worker)
    seen = trial.submit(look)
    trial.wait()
    for number in range(trial.size.tasks):
        trial.submit(change, number, value=number)
    hashes = [trial.submit(hashed) for _ in range(4 * trial.size.nodes * trial.size.workers)]
    trial.wait()
    if seen.exception() is None:
        trial.facts.update(seen.result())
    found = {each.result() for each in hashes if each.done() and each.exception() is None}
    workers, values = {pid for pid, _ in found}, {value for _, value in found}
    trial.facts["each worker has its own hash seed"] = len(workers) == len(values)


WORKLOADS = (
    Workload(
        "process-pools",
        "multiprocessing pools in tasks that set variables",
        process_pools,
        Size(1, 1, 4),
        short=Size(1, 1, 2),
    ),
    Workload("threads", "threads, numpy and trees of processes in tasks", threads_and_trees, Size(1, 4, 80)),
    Workload("surroundings", "what tasks change of their worker, and what they see", changes, Size(1, 4, 60)),
)
