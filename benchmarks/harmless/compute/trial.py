"""One run of a case: its tasks, what the endpoint's processes do meanwhile, and what became of each task."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.compute.endpoint import Endpoint
from benchmarks.compute.service import ComputeService
from benchmarks.harmless.compute import work
from benchmarks.harmless.compute.case import Case
from benchmarks.harmless.compute.task import Journal, Task

LOOK_PERIOD = 0.25
"""Seconds between two looks at the user endpoints."""

CALL_PERIOD = 10.0
"""Seconds after which another task is sent to an endpoint that has started no user endpoint for the one before."""

STARTUP_LIMIT = 150.0
"""Seconds until all workers must have run something."""


@dataclass
class Trial:
    """A run of a case.

    Attributes:
        case: What runs.
        directory: Of the run.
        web: The stand-in for the web service.
        endpoint: Started.
        executor: That submits to it.
        tasks: What was submitted.
        greeted: Process ids of the workers that ran something before the first task.
        ended_alone: How many user endpoints ended under running tasks with nobody having ended them.
        trouble: Why the run proves nothing.
    """

    case: Case
    directory: Path
    web: ComputeService
    endpoint: Endpoint
    executor: Any
    tasks: list[Task] = field(default_factory=list)
    greeted: set[int] = field(default_factory=set)
    ended_alone: int = 0
    trouble: list[str] = field(default_factory=list)
    _busy: bool = False
    _up: set[int] = field(default_factory=set)
    _taken_down: set[int] = field(default_factory=set)
    _look_at: float = 0.0
    _call_at: float = 0.0

    def __post_init__(self) -> None:
        self.journal = Journal(self.directory / "journal")

    def warm_up(self) -> None:
        """Wait until every worker has run something, so that no system pays for its start within the case.

        Raises:
            TimeoutError: Not within STARTUP_LIMIT.
        """
        deadline = time.monotonic() + STARTUP_LIMIT
        wanted = self.case.blocks * self.case.workers
        while len(self.greeted) < wanted:
            greetings = [self.executor.submit(work.greet, 0.2) for _ in range(wanted)]
            for greeting in greetings:
                self.greeted.add(greeting.result(timeout=max(deadline - time.monotonic(), 0.0)))
        self.look()

    def submit(self) -> None:
        """Submit as many tasks as the case has."""
        for number in range(self.case.tasks):
            key = f"task-{len(self.tasks)}"
            raised = self.case.raised.value if self.case.raised is not None and number % 2 else None
            submitted = time.time()
            future = self.executor.submit(work.work, str(self.journal.directory), key, self.case.seconds, raised)
            task = Task(key, raised, submitted, future)
            future.add_done_callback(task.note_end)
            self.tasks.append(task)

    def call(self) -> Any:
        """Submit a task that counts for nothing: the web service then has a user endpoint started. Its future."""
        self._call_at = time.monotonic() + CALL_PERIOD
        return self.executor.submit(work.greet, 0.0)

    def open(self) -> list[Task]:
        """The tasks that wait for their answer."""
        return [task for task in self.tasks if task.settled is None]

    def queued(self) -> int:
        """How many open tasks the user endpoint has not taken from its queue, as far as the web service has them."""
        known = [self.web.tasks[task.future.task_id] for task in self.open() if task.future.task_id]
        missing = len(self.open()) - len(known)
        return missing + sum(self.web.queued(endpoint) for endpoint in {task.endpoint for task in known})

    def is_busy(self) -> bool:
        """Whether a worker runs an open task."""
        noted = self.journal.lines()
        last = [noted[task.key][-1] for task in self.open() if noted.get(task.key)]
        return any(word == "begin" and psutil.pid_exists(int(pid)) for pid, _, word in last)

    def take_down(self) -> None:
        """Say that the user endpoints that run now are about to be ended from outside."""
        self._taken_down |= {process.pid for process in self.endpoint.user_endpoints()}

    def look(self) -> None:
        """Look at the user endpoints, and have one started where there was one and tasks are open.

        The web service starts none by itself: somebody must submit something. In stock Globus Compute, too.
        """
        self._look_at = time.monotonic() + LOOK_PERIOD
        up = {process.pid for process in self.endpoint.user_endpoints()}
        if self.open():
            self.ended_alone += len(self._up - up - self._taken_down) if self._busy else 0
            if not up and (self._up or self._taken_down) and (self._up or time.monotonic() >= self._call_at):
                self.call()
        self._up, self._busy = up, self.is_busy()

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds; returns whether it does within so many seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            now = time.monotonic()
            if now > deadline:
                return False
            if now >= self._look_at:
                self.look()
            time.sleep(0.01)
        return True

    def rest(self, seconds: float) -> None:
        """Let so many seconds pass."""
        over = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= over, seconds + 1.0)

    def outcome(self) -> dict[str, Any]:
        """What became of the run, as data."""
        noted = {key: [line[-1] for line in lines] for key, lines in self.journal.lines().items()}
        answers = [[(result.is_error, result.data) for result in task.results] for task in self.web.tasks.values()]
        return {
            "tasks": [
                {
                    **task.outcome(),
                    "runs": noted.get(task.key, []).count("begin"),
                    "finished": noted.get(task.key, []).count("end"),
                }
                for task in self.tasks
            ],
            "answered_twice": sum(len(given) > 1 for given in answers),
            "contradicted": sum(len(set(given)) > 1 for given in answers),
            "ended_alone": self.ended_alone,
            "trouble": self.trouble,
        }
