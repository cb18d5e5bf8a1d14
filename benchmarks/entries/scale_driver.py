"""A Parsl run of any number of no-op tasks, of which a bounded number is on its way; a process of its own.

The command line says the variant (``none`` or ``octopus``), where Parsl writes, how many tasks may be on their way, and
after how many results to say so (``mark N``); the first mark is where counting begins. Nothing of a task that has ended
is held here, and Parsl forgets it too (``garbage_collect``). The Octopus settings come from ``OCTOPUS_*``.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future
from typing import Any

import parsl
from parsl import python_app

from benchmarks.entries.parsl_config import config

PATIENCE = 300.0
"""Seconds without any result after which the run is given up."""


@python_app
def no_op() -> None:
    """What the tasks do."""


def main(variant: str, run_dir: str, window: int, marks: list[int]) -> None:
    """Run the tasks.

    Args:
        variant: ``none`` or ``octopus``.
        run_dir: Where Parsl writes.
        window: Tasks on their way at once.
        marks: Numbers of results, ascending; the last one ends the run.
    """
    room = threading.Semaphore(window)
    failed: list[BaseException] = []
    ended = 0

    def end(future: Future[Any]) -> None:
        # Called by Parsl's one thread that takes in results.
        nonlocal ended
        error = future.exception()
        if error is not None:
            failed.append(error)
        ended += 1
        if ended in wanted:
            print(f"mark {ended}", flush=True)
        room.release()

    wanted = set(marks)
    with parsl.load(config(variant, run_dir, initialize_logging=False)):
        for _ in range(marks[-1]):
            _await(room)
            no_op().add_done_callback(end)
        for _ in range(window):
            _await(room)
        print("ended", flush=True)
    if failed:
        raise RuntimeError(f"{len(failed)} tasks failed, as in: {failed[0]!r}")


def _await(room: threading.Semaphore) -> None:
    if not room.acquire(timeout=PATIENCE):
        raise RuntimeError(f"no task ended within {PATIENCE:g} s")


if __name__ == "__main__":
    _variant, _run_dir, _window, *_marks = sys.argv[1:]
    main(_variant, _run_dir, int(_window), [int(mark) for mark in _marks])
