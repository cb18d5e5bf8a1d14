"""Parsl's manager of a node's workers, with a node agent that looks after them."""

from __future__ import annotations

import argparse
import logging
import os
import pathlib
import pickle
import platform
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import SpawnProcess
from typing import Any

from parsl.executors.high_throughput import process_worker_pool as host
from parsl.log_utils import set_file_logger
from parsl.logconfigs.base import oneshot_initialize_logging

from parsl_monitor.agent import Agent
from parsl_monitor.board import VARIABLE, Board
from parsl_monitor.observation import Settings

logger = logging.getLogger("parsl.executors.high_throughput.process_worker_pool")

LOOK_PERIOD = 0.2
"""Seconds between looks at the workers."""


class ObservedManager(host.Manager):
    """Parsl's Manager, but dead workers are found and answered for at once, with the evidence.

    It overrides ``start`` and ``worker_watchdog``.

    Args:
        settings: What the submit side says.
        **options: As Parsl's Manager takes them.
    """

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self._board = Board.create(self.worker_count)
        if self._board is not None:
            os.environ[VARIABLE] = self._board.path  # which the workers inherit
        place = {"host": platform.node(), "block": options["block_id"], "manager": self.uid, "worker_id": None}
        self._agent = Agent(
            settings,
            place,
            self._board,
            self._tasks_in_progress,
            self.pending_result_queue.put,
            self._start_worker,
            float(self.heartbeat_period),
        )

    def start(self) -> None:
        """Run until the interchange says that it is over."""
        try:
            super().start()
        finally:
            if self._board is not None:
                self._board.close()

    def worker_watchdog(self, procs: dict[int, SpawnProcess]) -> None:
        """Keep workers alive; takes the place of Parsl's, which looks once per heartbeat period."""
        complained = False
        while not self._stop_event.wait(LOOK_PERIOD):
            try:
                self._agent.look(procs)
            except Exception:
                # The pool would go on without anybody who replaces its workers.
                if not complained:
                    complained = True
                    logger.exception("The node agent failed, and goes on (said once)")


def run(
    argv: Sequence[str],
    settings: tuple[str, str, float, float],
    readers: Mapping[str, Callable[[argparse.Namespace], Any] | None],
) -> None:
    """Run a worker pool, as Parsl's script does.

    Args:
        argv: The arguments of Parsl's script.
        settings: See Settings.
        readers: How each option of the manager is read from the arguments.
    """
    args = host.get_arg_parser().parse_args(argv)
    host.args = args  # as in Parsl's script, where its workers' start looks for them
    log_config = None
    if args.logconf in (None, "None"):
        directory = pathlib.Path(args.logdir) / f"block-{args.block_id}" / args.uid
        directory.mkdir(parents=True, exist_ok=True)
        set_file_logger(str(directory / "manager.log"), level=logging.DEBUG if args.debug else logging.INFO)
    else:
        with pathlib.Path(args.logconf).open("rb") as file:
            log_config = pickle.load(file)
        directory = pathlib.Path(args.logdir) / f"block-{args.block_id}" / args.uid
        oneshot_initialize_logging(log_config=log_config, log_dir=directory, log_name="manager")
    logger.info("Octopus worker pool with arguments %s", " ".join(argv))
    try:
        options = {name: read(args) if read else log_config for name, read in readers.items()}
        ObservedManager(Settings(*settings), **options).start()
    except Exception:
        logger.critical("Process worker pool exiting with an exception", exc_info=True)
        raise
    logger.info("Process worker pool exiting normally")
