"""The tasks that an endpoint has at the moment, and what is known of the current try of each."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from octopus_plugins.htex.steering import Steering


@dataclass(slots=True, eq=False)
class Attempt:
    """A task and its current try; filled in as it is learnt.

    Attributes:
        task_id: Globus Compute's id of the task.
        function_id: Globus Compute's id of its function.
        resources: Its resource specification.
        submitted: When the endpoint received it, Unix seconds.
        try_id: The number of the try.
        number: The executor's own number of the try; None while it is not there.
        mark: The number of the try on its pool's board; None where no worker of ours runs it.
        launched: When the try went to the executor, Unix seconds.
        place: Where it runs: host, block, manager, worker_id, pid.
        started: When its worker began, Unix seconds, worker's clock.
        ended: When its worker ended, Unix seconds, worker's clock.
        usage: What it used in all, or the last sample of it.
        announced: Whether ``running`` was told.
        charged: What its failures were charged so far.
        errors: What the engine raised for it, try after try.
        observed: Whether its worker is to observe it.
        steering: Where the executor is to put the try; None is anywhere.
    """

    task_id: str
    function_id: str | None
    resources: dict[str, Any]
    submitted: float
    try_id: int = 0
    number: Any = None
    mark: int | None = None
    launched: float | None = None
    place: dict[str, Any] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    usage: dict[str, Any] | None = None
    announced: bool = False
    charged: float = 0.0
    errors: list[BaseException] = field(default_factory=list)
    observed: bool = True
    steering: Steering | None = None

    def next_try(self, steering: Steering | None = None) -> None:
        """Forget what was seen of the try that failed.

        Args:
            steering: Where the executor is to put the next one.
        """
        self.try_id += 1
        self.steering = steering
        self.number = self.mark = self.launched = self.started = self.ended = self.usage = None
        self.place, self.announced = {}, False


class Attempts:
    """The tasks that are under way. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_task: dict[str, Attempt] = {}
        self._by_number: dict[Any, Attempt] = {}
        self._by_mark: dict[int | None, Attempt] = {}

    def open(self, attempt: Attempt) -> None:
        """A task was received."""
        with self._lock:
            self._by_task[attempt.task_id] = attempt

    def marked(self, attempt: Attempt, mark: int) -> None:
        """The try stands on its pool's board under this number."""
        with self._lock:
            attempt.mark = mark
            if attempt.task_id in self._by_task:
                self._by_mark[mark] = attempt

    def sent(self, attempt: Attempt, number: Any) -> None:
        """The executor knows the try by this number."""
        with self._lock:
            attempt.number = number
            if attempt.task_id in self._by_task:  # it may be over by now
                self._by_number[number] = attempt

    def returned(self, attempt: Attempt) -> None:
        """The executor has nothing more to do with the try."""
        with self._lock:
            self._by_number.pop(attempt.number, None)
            self._by_mark.pop(attempt.mark, None)

    def close(self, attempt: Attempt) -> None:
        """The task is over."""
        with self._lock:
            self._by_task.pop(attempt.task_id, None)
            self._by_number.pop(attempt.number, None)
            self._by_mark.pop(attempt.mark, None)

    def of_task(self, task_id: str) -> Attempt | None:
        """A task that is under way."""
        return self._by_task.get(task_id)

    def of_number(self, number: Any) -> Attempt | None:
        """The task whose try the executor knows by this number."""
        return self._by_number.get(number)

    def of_mark(self, mark: int) -> Attempt | None:
        """The task whose try stands on its pool's board under this number."""
        return self._by_mark.get(mark)

    def __len__(self) -> int:
        return len(self._by_task)
