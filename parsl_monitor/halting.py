"""What of a run was stopped, by a person, a decider service or the run's circuit breaker."""

from __future__ import annotations

import threading

from parsl_monitor.errors import RunHaltedError

MAX_TASKS = 100_000
"""Stopped tasks remembered; a person stops few."""


class Halts:
    """The stops that are in force. Thread-safe; they are never lifted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run: str | None = None
        self._tasks: dict[str, str] = {}

    def stop_run(self, reason: str) -> bool:
        """Stop the whole run.

        Args:
            reason: Who stopped it, and why, for people.

        Returns:
            False where it was stopped before: the first reason stays.
        """
        with self._lock:
            if self._run is not None:
                return False
            self._run = reason
            return True

    def stop_task(self, task_id: str, reason: str) -> bool:
        """Stop one task.

        Args:
            task_id: Parsl's task.
            reason: Who stopped it, and why, for people.

        Returns:
            False where it was stopped before.
        """
        with self._lock:
            if task_id in self._tasks or len(self._tasks) >= MAX_TASKS:
                return False
            self._tasks[task_id] = reason
            return True

    def reason(self, task_id: str | None = None) -> str | None:
        """Why the run, or this task of it, was stopped; None where it was not."""
        if self._run is not None or task_id is None:
            return self._run
        return self._tasks.get(task_id)

    def refuse(self) -> None:
        """Let nothing more into a run that was stopped.

        Raises:
            RunHaltedError: The run was stopped.
        """
        if self._run is not None:
            raise RunHaltedError(self._run)
