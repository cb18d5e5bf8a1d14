"""What of a run was stopped, by a person, a decider service or the run's circuit breaker."""

from __future__ import annotations

import threading
from typing import Any

from parsl.dataflow.states import States

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


def end_unlaunched(dfk: Any, task_id: str, error: BaseException) -> bool:
    """End a task that no executor has: it waits for its dependencies, or it is a join app that waits for its tasks.

    Parsl has no call for that. It is done as Parsl does it, under the lock with which Parsl itself finds out whether
    such a task goes on: what it waited for comes too late then.

    Args:
        dfk: Parsl's DataFlowKernel.
        task_id: The task.
        error: What it fails with.

    Returns:
        Whether it was such a task, and has ended.
    """
    record = dfk.tasks.get(int(task_id)) if task_id.isdecimal() else None
    if record is None:
        return False
    return any(
        _end(dfk, record, name, state, error)
        for name, state in (("task_launch_lock", States.pending), ("join_lock", States.joining))
    )


def _end(dfk: Any, record: Any, lock: str, state: States, error: BaseException) -> bool:
    if lock not in record:  # a task that never joined
        return False
    with record[lock]:
        if record["status"] is not state:
            return False
        record["fail_history"].append(repr(error))
        record["fail_count"] += 1
        dfk._complete_task_exception(record, States.failed, error)
        return True
