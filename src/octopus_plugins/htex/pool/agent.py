"""The node agent: what a worker pool that is ours does for its workers and says of its node.

It runs in the pool's own process, in the thread in which Parsl looks for dead workers: it ends with its pool, always.
Parsl looks once per heartbeat period, 30 s by default, and reports a lost worker without saying how it ended. The
agent looks several times a second, and the answer that it gives for a lost worker's task tells exit code or signal,
the last sample, limits, and the node's state with the kernel's count of out-of-memory kills.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from parsl.app.errors import RemoteExceptionWrapper
from parsl.executors.high_throughput.errors import WorkerLost
from parsl.serialize import serialize

from octopus_plugins.htex.observation import TAG, WATCHED, Settings, lost_task, overtime_error, versions
from octopus_plugins.htex.pool.sampling import Measured, Sampler
from octopus_plugins.htex.worker.walltime import GRACE
from octopus_plugins.htex.worker_table import BUSY, OVERTIME, Board, Slot
from octopus_plugins.nodes import process
from octopus_plugins.nodes.node import limits, node_state

logger = logging.getLogger("parsl.executors.high_throughput.process_worker_pool")

SHORT_LIFE = 10.0
"""Seconds: a worker that ended sooner, without ever a task, may not be able to start; its successor waits."""


class Tasks(Protocol):
    """Who does what: Parsl's own record, or `octopus_plugins.htex.pool.task_table.InProgress`."""

    def pop(self, worker: int, /) -> Any:
        """The task of a worker, which does it no more; raises KeyError where it has none."""


class Agent:
    """Looks after the workers of one pool.

    Args:
        settings: What the submit side says: run, executor, periods.
        place: Host, block, manager and pid of the pool.
        board: Where the workers write what they do; None where there is none.
        tasks: Who does what.
        sampler: Measures the workers.
        put: Sends one pickled message to the interchange.
        restart: Starts a worker anew, by its number.
        restart_period: Seconds that the successor of a worker waits that died young.
        more: What else the node's heartbeat says.
        tell_start: Says that a worker, by its number, has to be started anew; None where nobody wants to know.
    """

    def __init__(
        self,
        settings: Settings,
        place: dict[str, Any],
        board: Board | None,
        tasks: Tasks,
        sampler: Sampler,
        put: Callable[[bytes], None],
        restart: Callable[[int], BaseProcess],
        restart_period: float,
        more: Callable[[], Mapping[str, Any]] = dict,
        tell_start: Callable[[int], None] | None = None,
    ) -> None:
        self._settings = settings
        self._place = place
        self._board = board
        self._tasks = tasks
        self._sampler = sampler
        self._put = put
        self._restart = restart
        self._restart_period = restart_period
        self._more = more
        self._tell_start = tell_start
        self._born: dict[int, float] = {}
        self._waiting: dict[int, float] = {}
        self._next_beat = 0.0

    def look(self, workers: MutableMapping[int, BaseProcess]) -> None:
        """Look after the workers once: sample, end, answer for, report and replace.

        Args:
            workers: The worker processes by number; dead ones are replaced in place.
        """
        now = time.monotonic()
        self._sampler.look(workers, now)
        self._end_overtime(workers, now)
        dead = []
        for number, worker in workers.items():
            born = self._born.setdefault(number, now)
            if number in self._waiting or worker.is_alive():
                continue
            dead.append(_status(worker))
            if self._tell_start is not None:
                self._tell_start(number)  # before the answer, which makes room for another task
            busy = self._answer(number, worker)
            young = not busy and now - born < SHORT_LIFE
            self._waiting[number] = now + (self._restart_period if young else 0.0)
        for number in [number for number, due in self._waiting.items() if now >= due]:
            workers[number] = self._restart(number)
            del self._waiting[number]
            self._born[number] = now
            logger.info("Worker %s has been restarted", number)
        if dead or now >= self._next_beat:
            self._beat(workers, dead, now)

    def _end_overtime(self, workers: Mapping[int, BaseProcess], now: float) -> None:
        """End workers that are past their task's walltime and do not run Python code any more.

        A task that holds Python's global lock in a call that never returns stops every thread of its worker, Parsl's
        timer and our own watch over the walltime included: only from outside can it be ended.
        """
        if self._board is None:
            return
        for number, worker in workers.items():
            slot = self._board.read(number)
            if slot.state != BUSY or slot.deadline <= 0 or slot.pid != worker.pid:
                continue
            if now < max(slot.deadline, slot.ticked) + GRACE or not worker.is_alive():
                continue
            if self._board.read(number) != slot:
                continue  # it has moved after all
            logger.warning("Worker %s (pid %s) outlived its task's walltime and is ended", number, worker.pid)
            self._board.write(number, slot._replace(state=OVERTIME))
            worker.kill()
            worker.join(timeout=5)

    def _answer(self, number: int, worker: BaseProcess) -> bool:
        """Answer for a dead worker's task, if it had one."""
        slot = self._board.read(number) if self._board is not None else Slot()
        if self._board is not None:
            self._board.write(number, Slot())
        last = self._sampler.take(number)
        logger.error("Worker %s has died (%s)", number, _status(worker))
        try:
            task = self._tasks.pop(number)
        except KeyError:
            return False
        error: Exception = WorkerLost(number, platform.node())
        if (watched := task["context"].get(WATCHED)) is not None:
            mark, walltime = watched
            own = slot.pid == worker.pid and slot.number == mark
            if own and slot.state == OVERTIME and walltime is not None:
                error = overtime_error(walltime)
            mortem = _post_mortem(last if last and last.number == mark else None, worker, walltime)
            place = {**self._place, "worker_id": number, "pid": worker.pid}
            started = slot.started if own else time.time()
            answer = {"result": serialize(lost_task(error, place, started, mortem.get("usage", {}), mortem))}
        else:
            try:
                raise error
            except WorkerLost:
                answer = {"exception": serialize(RemoteExceptionWrapper(*sys.exc_info()))}
        self._put(pickle.dumps({"type": "result", "task_id": task["task_id"], **answer}))
        return True

    def _beat(self, workers: Mapping[int, BaseProcess], dead: list[dict[str, Any]], now: float) -> None:
        period = self._settings.heartbeat_period
        if now >= self._next_beat:
            self._next_beat = now + (period or 60.0)
        if period <= 0:
            return
        alive = [_described(worker) for worker in workers.values() if worker.is_alive()]
        message = {
            "kind": "heartbeat",
            "executor": self._settings.executor,
            "place": {**self._place, "pid": os.getpid()},
            "time": time.time(),
            "period": period,
            "workers": alive + dead,
            "node": node_state(),
            **self._more(),
        }
        self._put(pickle.dumps({"type": "monitoring", "payload": (TAG, message)}))


def _post_mortem(last: Measured | None, worker: BaseProcess, walltime: float | None) -> dict[str, Any]:
    """What is known of the end of a worker and its task: the last measurement, the node's state, how it ended."""
    status = {key: value for key, value in _status(worker).items() if key in ("exit_code", "signal")}
    found: dict[str, Any] = {"versions": versions(), **status}
    # The limits of a dead process cannot be read; its siblings and the pool have those that it began with.
    looks: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("node", node_state),
        ("limits", lambda: (last.limits if last is not None else None) or limits()),
    )
    for name, look in looks:
        try:
            found[name] = look()
        except Exception:
            logger.warning("The %s could not be looked at after a worker's death", name, exc_info=True)
    if walltime is not None:
        found["limits"] = {**found.get("limits", {}), "walltime": walltime}
    if last is not None:
        found["usage"] = last.usage
    return found


def _status(worker: BaseProcess) -> dict[str, Any]:
    code = worker.exitcode
    ended: dict[str, int] = {} if code is None else {"signal": -code} if code < 0 else {"exit_code": code}
    if ended.get("signal") not in (None, *(int(known) for known in signal.valid_signals())):
        ended = {}
    return {"pid": worker.pid, "alive": False, **ended}


def _described(worker: BaseProcess) -> dict[str, Any]:
    described: dict[str, Any] = {"pid": worker.pid}
    with contextlib.suppress(OSError):
        described["rss"] = process.usage(worker.pid or 0)["rss"]
    return described
