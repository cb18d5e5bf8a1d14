"""The template of a pool's workers: a process that has imported what they all need, and forks one when asked.

Parsl starts each worker as a fresh interpreter, that imports Parsl anew: a second or two of CPU, much more on a busy
parallel file system, and again for each worker that died. The template (Python's own fork server) pays that once per
pool. It runs no thread and no task, so that forking it is safe.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

from parsl.multiprocessing import SpawnContext

from octopus_plugins.htex import clean_path
from octopus_plugins.htex.board import adopt

_PRELOADED = "parsl.executors.high_throughput.process_worker_pool"


class Template:
    """Starts workers from a template, or where there can be none as Parsl does.

    Args:
        worker: The module whose function the workers will call; empty where they import it by themselves.
    """

    def __init__(self, worker: str) -> None:
        """Begin to make the template; returns at once."""
        self._context: Any = SpawnContext
        if _is_safe():
            from multiprocessing import forkserver

            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload([clean_path.__name__, _PRELOADED, *([worker] if worker else [])])
            with _marked():
                forkserver.ensure_running()

    def start(self, name: str, board: str | None, work: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
        """Start a worker.

        Args:
            name: Of the process.
            board: Where the pool's board is; None where it has none.
            work: Parsl's function that a worker runs.
            arguments: What it takes.
        """
        process: BaseProcess = self._context.Process(target=_begin, args=(board, work, arguments), name=name)
        process.start()
        return process


@contextmanager
def _marked() -> Iterator[None]:
    """Have Python's processes that are started meanwhile leave the working directory off their module path."""
    if clean_path.VARIABLE in os.environ:
        yield
        return
    os.environ[clean_path.VARIABLE] = clean_path.MARK
    try:
        yield
    finally:
        del os.environ[clean_path.VARIABLE]


def _is_safe() -> bool:
    """Whether there are fork servers here that only this user can ask.

    Python before 3.11.1 (3.10.9) had them listen on an abstract socket, which any user of the node can reach.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return False
    try:
        address: str = multiprocessing.connection.arbitrary_address("AF_UNIX")  # type: ignore[attr-defined]
    except OSError:
        return False
    return os.path.isabs(address)  # noqa: PTH117 - a socket's address, which need not be a path


def _begin(board: str | None, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    adopt(board)
    work(*arguments)
