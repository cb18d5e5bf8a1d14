"""The processes of one run, wherever they hang: Parsl's worker pools are nobody's children for long."""

from __future__ import annotations

import time
from pathlib import Path

import psutil


def of_run(run_dir: Path) -> list[psutil.Process]:
    """The processes that were started with this run directory in their command, and their children."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if any(str(run_dir) in word for word in process.cmdline()):
                found[process.pid] = process
                found.update({child.pid: child for child in process.children(recursive=True)})
        except psutil.Error:
            continue
    return [process for process in found.values() if process.is_running() and not _is_dead(process)]


def wait_until_gone(run_dir: Path, seconds: float = 60.0) -> None:
    """Wait until the run has no process left; those that stay are killed, and reported."""
    deadline = time.monotonic() + seconds
    while left := of_run(run_dir):
        if time.monotonic() > deadline:
            kill(left)
            raise AssertionError(f"the run left behind: {left}")
        time.sleep(0.05)


def kill(processes: list[psutil.Process]) -> None:
    """Kill them, and wait until they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=5)


def _is_dead(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
