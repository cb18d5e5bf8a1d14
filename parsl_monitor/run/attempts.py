"""Which task is it? Ties what an executor sees of a submission to Parsl's task and try.

``executor.submit`` is not told the task's id. Parsl calls it and then, in the same thread, reports the
task's state ``launched``: so the submission a thread made last is the one that its next ``launched`` names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from parsl.app.errors import RemoteExceptionWrapper

if TYPE_CHECKING:
    from parsl_monitor.run.globus_compute import Remote


@dataclass(slots=True, eq=False)
class Attempt:
    """One submission of a task to an executor; filled in as it is learnt.

    Attributes:
        executor: Label of the executor.
        number: The executor's own number of the submission; None while it waits to be sent.
        task_id: Parsl's task, once ``launched`` was reported.
        try_id: Parsl's try.
        place: Where it ran: host, block, manager, worker_id, pid.
        started: When its worker began, Unix seconds.
        ended: When its worker ended, Unix seconds.
        usage: What it used in all, or the last sample of it.
        post_mortem: Limits, node state, versions at the time of a failure.
        failed: What it failed with; what a worker raised, as the worker wrapped it.
        unreadable: Whether its result or exception could not be read on the submit side.
        announced: Whether the event ``running`` was emitted.
        settled: Whether all that its worker reported was emitted.
        outer: The future that Parsl holds; whoever settles it first has the last word on the try.
        launched: When it was handed to the executor, Unix seconds.
        app: Name of the app, once ``launched`` was reported.
        walltime: Seconds that the task may run, where its app says so.
        record: Parsl's own record of the task, once Parsl waits for the try.
        again: Starts a second copy of the try that keeps off a host, where copies are allowed.
        copies: Copies of the try that are under way.
        remote: The try at an endpoint of Globus Compute, where it runs at one.
    """

    executor: str
    number: int | None = None
    task_id: str | None = None
    try_id: int = 0
    place: dict[str, Any] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    usage: dict[str, Any] | None = None
    post_mortem: dict[str, Any] | None = None
    failed: BaseException | RemoteExceptionWrapper | None = None
    unreadable: bool = False
    announced: bool = False
    settled: bool = False
    outer: Future[Any] | None = None
    launched: float | None = None
    app: str | None = None
    walltime: float | None = None
    record: Any = None
    again: Callable[[str], None] | None = None
    copies: int = 1
    remote: Remote | None = None

    def error(self) -> BaseException | None:
        """What it failed with, as an exception; None where it did not."""
        failed = self.failed
        if not isinstance(failed, RemoteExceptionWrapper):
            return failed
        try:
            return cast(BaseException, failed.get_exception())
        except BaseException:  # noqa: BLE001 - a class of the user's that takes no traceback
            return cast(BaseException, failed.e_value)

    def forget(self) -> None:
        """Keep nothing of a try that is over: the frames of an exception that the user keeps keep the attempt."""
        self.usage = self.post_mortem = self.failed = self.record = self.again = None

    def speculate(self, host: str) -> bool:
        """Start a second copy of the try elsewhere, once.

        Args:
            host: Where the first copy runs.

        Returns:
            Whether one was started.
        """
        again, self.again = self.again, None
        if again is None or self.outer is None or self.outer.done():
            return False
        again(host)
        return True


class Attempts:
    """The submissions that are under way. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._by_task: dict[str, Attempt] = {}
        self._by_number: dict[tuple[str, int], Attempt] = {}

    def open(self, executor: str) -> Attempt:
        """A new attempt, made by the thread that submits a task."""
        attempt = Attempt(executor)
        self._thread.latest = attempt
        return attempt

    def sent(self, attempt: Attempt, number: int) -> None:
        """The attempt went to its executor under this number."""
        with self._lock:
            attempt.number = number
            self._by_number[attempt.executor, number] = attempt

    def unsent(self, attempt: Attempt) -> None:
        """The attempt did not go to its executor after all."""
        with self._lock:
            if attempt.number is not None:
                self._by_number.pop((attempt.executor, attempt.number), None)
            attempt.number = None

    def claim(self, task_id: str, try_id: int, executor: str, app: str | None = None) -> Attempt | None:
        """The attempt that this thread just made is the one of this task and try.

        None where the executor makes no attempts; one that another executor made and could not submit is dropped.
        """
        attempt: Attempt | None = getattr(self._thread, "latest", None)
        self._thread.latest = None
        if attempt is None or attempt.executor != executor:
            return None
        with self._lock:
            attempt.task_id, attempt.try_id, attempt.app = task_id, try_id, app
            self._by_task[task_id] = attempt
        return attempt

    def of_task(self, task_id: str) -> Attempt | None:
        """The current attempt of a task."""
        return self._by_task.get(task_id)

    def of_number(self, executor: str, number: int) -> Attempt | None:
        """The attempt that an executor knows by this number, while it is under way."""
        return self._by_number.get((executor, number))

    def outstanding(self) -> list[Attempt]:
        """The attempts of all tasks whose try is not over, those that wait for their delay included."""
        with self._lock:
            return list(self._by_task.values())

    def close(self, task_id: str) -> None:
        """The task's try is over."""
        with self._lock:
            attempt = self._by_task.pop(task_id, None)
            if attempt is not None and attempt.number is not None:
                self._by_number.pop((attempt.executor, attempt.number), None)

    def __len__(self) -> int:
        return len(self._by_task)
