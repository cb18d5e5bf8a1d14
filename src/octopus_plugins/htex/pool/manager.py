"""Parsl's manager of a node's workers, with a node agent that looks after them."""

from __future__ import annotations

import argparse
import logging
import pathlib
import pickle
import platform
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from parsl.executors.high_throughput import process_worker_pool as host
from parsl.log_utils import set_file_logger
from parsl.logconfigs.base import oneshot_initialize_logging

from octopus_plugins.htex.fast_log import quicken
from octopus_plugins.htex.log_levels import skip_unheard
from octopus_plugins.htex.observation import READY, STARTING, TAG, Settings
from octopus_plugins.htex.pool.agent import Agent
from octopus_plugins.htex.pool.node_producer import NodeProducer
from octopus_plugins.htex.pool.sampling import Sampler
from octopus_plugins.htex.pool.task_table import InProgress, PromptResults
from octopus_plugins.htex.worker_table import Board

logger = logging.getLogger("parsl.executors.high_throughput.process_worker_pool")

LOOK_PERIOD = 0.2
"""Seconds between looks at the workers, at most."""


class ObservedManager(host.Manager):
    """Parsl's Manager, but dead workers are found and answered for at once, with the evidence.

    It overrides ``start``, ``worker_watchdog`` and ``_start_worker``. Parsl's own code starts the workers.

    Args:
        settings: What the submit side says.
        **options: As Parsl's Manager takes them.
    """

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self._settings = settings
        self._board = Board.create(self.worker_count)
        self._progress = InProgress.create(self.worker_count, self._board.path if self._board is not None else None)
        self._tasks_in_progress: Any = self._progress or self._tasks_in_progress
        self._place = {"host": platform.node(), "block": options["block_id"], "manager": self.uid, "worker_id": None}
        # Without a hub, which the periods come with, Parsl's interchange takes no such messages.
        has_hub = settings.heartbeat_period > 0 or settings.sample_period > 0
        self._tells_starts = has_hub and PromptResults.fit(self.pending_result_queue)
        put: Callable[[bytes], None] = self.pending_result_queue.put
        self._producer = NodeProducer(settings, lambda message: put(_monitoring(message)))
        self._look_period = min(LOOK_PERIOD, settings.sample_period or LOOK_PERIOD)
        self._agent = Agent(
            settings,
            self._place,
            self._board,
            self._tasks_in_progress,
            Sampler(settings, self._place, self._board, self._producer.send),
            put,
            self._replace_worker,
            float(self.heartbeat_period),
            self._report,
            self._tell_start if self._tells_starts else None,
        )

    def _report(self) -> dict[str, Any]:
        return {"direct": told} if (told := self._producer.report()) else {}

    def start(self) -> None:
        """Run until the interchange says that it is over."""
        try:
            super().start()
        finally:
            self._producer.close()
            for memory in (self._board, self._progress):
                if memory is not None:
                    memory.close()

    def _start_worker(self, worker_id: int) -> BaseProcess:
        # Parsl's method, which reads everything that a worker takes from its manager.
        process: BaseProcess = host.Manager._start_worker(_ToWorkers(self), worker_id)
        return process

    def _replace_worker(self, worker_id: int) -> BaseProcess:
        greeting = self._about(READY, worker_id) if self._tells_starts else None
        process: BaseProcess = host.Manager._start_worker(_ToWorkers(self, greeting), worker_id)
        return process

    def _tell_start(self, worker_id: int) -> None:
        self.pending_result_queue.put(self._about(STARTING, worker_id))

    def _about(self, kind: str, worker_id: int) -> bytes:
        """What the interchange is told of a worker."""
        place = {**self._place, "worker_id": worker_id}
        return _monitoring({"kind": kind, "executor": self._settings.executor, "place": place})

    def worker_watchdog(self, procs: dict[int, BaseProcess]) -> None:
        """Keep workers alive; takes the place of Parsl's, which looks once per heartbeat period."""
        complained = False
        while not self._stop_event.wait(self._look_period):
            try:
                self._agent.look(procs)
            except Exception:
                # The pool would go on without anybody who replaces its workers.
                if not complained:
                    complained = True
                    logger.exception("The node agent failed, and goes on (said once)")


class _ToWorkers:
    """A manager as its workers get to know it: with a queue into which they put their results themselves.

    Args:
        manager: The manager.
        greeting: What they say when they have come; None for nothing.
    """

    def __init__(self, manager: ObservedManager, greeting: bytes | None = None) -> None:
        self._manager = manager
        queue = manager.pending_result_queue
        self.pending_result_queue = PromptResults(queue, greeting) if PromptResults.fit(queue) else queue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)


def _monitoring(message: dict[str, Any]) -> bytes:
    """A message of ours as it goes through Parsl's monitoring channel."""
    return pickle.dumps({"type": "monitoring", "payload": (TAG, message)})


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
    skip_unheard()
    quicken()
    logger.info("Octopus worker pool with arguments %s", " ".join(argv))
    try:
        options = {name: read(args) if read else log_config for name, read in readers.items()}
        ObservedManager(Settings(*settings), **options).start()
    except Exception:
        logger.critical("Process worker pool exiting with an exception", exc_info=True)
        raise
    logger.info("Process worker pool exiting normally")
    print("Process worker pool exiting normally")  # noqa: T201 - as in Parsl's script
