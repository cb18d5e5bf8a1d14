"""What a pool's workers use, looked at from outside, and told together: one message for all tries of the node.

A sampler in each worker would want Python's lock there, which the task may hold, and cost a message each.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from octopus_plugins.htex import broadcasts
from octopus_plugins.htex.observation import Settings
from octopus_plugins.htex.worker_table import BUSY, Board, Slot
from octopus_plugins.nodes import process
from octopus_plugins.nodes.node import limits

MAX_TOGETHER = 512
"""Samples in one message."""


class Measured(NamedTuple):
    """The last measurement of a worker's try.

    Attributes:
        number: The executor's number of the try.
        usage: What it used; keys as in events.Usage, CPU seconds since the try began.
        limits: What it may use; keys as in events.Limits.
        sequence: Number of the next sample of it that is told.
    """

    number: int
    usage: dict[str, Any]
    limits: dict[str, Any]
    sequence: int


class Sampler:
    """Measures the busy workers of a pool, and tells what it measured.

    It measures once per ``sample_period``, so that the last measurement of a worker that dies is no older. It tells as
    often, or less often where the submit side asks for it: see `octopus_plugins.fabric.produce.budget`.

    Args:
        settings: What the submit side says: run, executor, periods.
        place: Host, block and manager of the pool.
        board: Where the workers write what they do; None where there is none.
        send: Takes a message for the submit side.
    """

    def __init__(
        self, settings: Settings, place: Mapping[str, Any], board: Board | None, send: Callable[[dict[str, Any]], None]
    ) -> None:
        self._settings = settings
        self._place = {name: place[name] for name in ("host", "block", "manager")}
        self._board = board
        self._send = send
        self._last: dict[int, Measured] = {}
        self._next_look: float | None = None
        self._next_told = 0.0
        self._stretch = 1.0
        self._told_stretch = 1.0
        broadcasts.received.listen(broadcasts.PACE, self._pace)

    def look(self, workers: Mapping[int, BaseProcess], now: float) -> None:
        """Measure and tell, as far as it is time for it.

        Args:
            workers: The worker processes by number.
            now: Seconds of the monotonic clock.
        """
        period = self._settings.sample_period
        if self._board is None or period <= 0 or (self._next_look is not None and now < self._next_look):
            return
        if self._next_look is None:
            # Pools that were started together would speak at the same moment ever after: a minute's samples of all
            # nodes at once are more than a budget of bytes a second lets through.
            self._next_look = now + random.random() * period
        else:
            self._next_look = _next(self._next_look, period, now)
        stretch = self._stretch  # another thread may change it
        if stretch != self._told_stretch:
            # All nodes hear of it at the same time: each waits for a part of its period, so that they do not speak
            # at the same time ever after.
            self._told_stretch = stretch
            self._next_told = now + random.random() * period * stretch
        tells = stretch <= 1.0 or now >= self._next_told
        if tells:
            self._next_told = _next(self._next_told, period * stretch, now)
        told = [
            {
                "number": slot.number,
                "subject": (slot.task, slot.try_id) if slot.named else None,
                "app": slot.app.decode("utf-8", "replace") or None,
                "worker_id": number,
                "pid": slot.pid,
                "started": slot.started,
                "sequence": measured.sequence,
                "usage": measured.usage,
            }
            for number, slot, measured in self._measure(workers, tells)
        ]
        if tells:
            self._tell(told, period * stretch, stretch)

    def take(self, worker: int) -> Measured | None:
        """The last measurement of a worker that is gone; None where there is none."""
        return self._last.pop(worker, None)

    def _pace(self, stretch: float) -> None:
        self._stretch = max(float(stretch), 1.0)

    def _measure(self, workers: Mapping[int, BaseProcess], tells: bool) -> list[tuple[int, Slot, Measured]]:
        assert self._board is not None
        found = []
        for number, worker in workers.items():
            slot = self._board.read(number)
            if slot.state != BUSY or worker.pid is None or slot.pid != worker.pid:
                continue
            last = self._last.get(number)
            if last is not None and last.number != slot.number:
                last = None
            try:
                usage = process.usage(worker.pid)
                bounds = limits(worker.pid) if last is None else last.limits
            except OSError:
                continue  # it has just ended
            now = self._board.read(number)
            if now._replace(deadline=slot.deadline, ticked=slot.ticked, app=slot.app) != slot:
                continue  # it has gone on to something else meanwhile, or one of the two was read while it was written
            if (peak := process.peak_rss(worker.pid)) is not None:
                usage["peak_rss"] = peak
            # The kernel counts in hundredths of a second, and the worker noted it to the microsecond.
            usage["cpu_user"] = max(round(usage["cpu_user"] - slot.cpu_user, 6), 0.0)
            usage["cpu_system"] = max(round(usage["cpu_system"] - slot.cpu_system, 6), 0.0)
            measured = Measured(slot.number, usage, bounds, last.sequence if last is not None else 0)
            self._last[number] = measured._replace(sequence=measured.sequence + tells)
            found.append((number, now, measured))
        return found

    def _tell(self, told: list[dict[str, Any]], period: float, stretch: float) -> None:
        for begin in range(0, len(told), MAX_TOGETHER):
            self._send(
                {
                    "kind": "samples",
                    "executor": self._settings.executor,
                    "place": self._place,
                    "time": time.time(),
                    "period": period,
                    "stretch": stretch,
                    "tries": told[begin : begin + MAX_TOGETHER],
                }
            )


def _next(due: float, period: float, now: float) -> float:
    """When something is due again; what was late does not make it come sooner after."""
    return due + period if due + period > now else now + period
