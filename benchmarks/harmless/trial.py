"""One run of a workload: what its body submits by, and what becomes of each task."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from parsl import bash_app, python_app

from benchmarks.harmless import recording
from benchmarks.harmless.configuring import LABEL
from benchmarks.harmless.workload import Size, Workload
from benchmarks.session import manager_processes

STARTUP_LIMIT = 150.0
"""Seconds until all workers must have been heard of."""

POLL_PERIOD = 0.5
"""Seconds between two looks at which nodes are connected."""

ANY = object()
"""Any result is right."""


@dataclass(slots=True)
class Task:
    """A task that the body submitted.

    Attributes:
        key: Its name in the journal.
        future: Parsl's.
        value: What it must return.
        error: Name of the exception's type that it must end with; None where it must end well.
        needs: Futures among its arguments.
        submitted: When.
        settled: When its future was.
    """

    key: str
    future: Any
    value: Any
    error: str | None
    needs: list[Future[Any]]
    submitted: float
    settled: float | None = None

    def done(self, future: Future[Any]) -> None:
        """Note when its future is settled."""
        self.settled = time.time()

    def told(self, settled: dict[int, float]) -> dict[str, Any]:
        """What became of it, as data.

        Args:
            settled: When the futures were that tasks may need, by their ids.
        """
        finished = self.future.done()
        error = self.future.exception() if finished else None
        name = type(error).__name__ if error is not None else None
        right = finished and error is None and (self.value is ANY or same(self.future.result(), self.value))
        return {
            "key": self.key,
            "executor": self.future.task_record["executor"],
            "submitted": self.submitted,
            "runnable": max([self.submitted, *(settled.get(id(need), self.submitted) for need in self.needs)]),
            "settled": self.settled,
            "well": right,
            "expected": right if self.error is None else name == self.error,
            "error": f"{name}: {error}"[:200] if name else None if right else "wrong result" if finished else "hung",
            "failed_tries": self.future.task_record["fail_count"],
        }


@dataclass(slots=True)
class Trial:
    """A run of a workload.

    Attributes:
        workload: What runs.
        size: Of it.
        seed: The same for both systems of a pair.
        directory: Of the run.
        dfk: The loaded DataFlowKernel.
        tasks: What was submitted.
        facts: What both systems must agree on.
        nodes: When which nodes were connected: name, executor, from, until, and whether they were warm by then.
    """

    workload: Workload
    size: Size
    seed: int
    directory: Path
    dfk: Any
    tasks: list[Task] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    nodes: list[list[Any]] = field(default_factory=list)

    @property
    def journal(self) -> Path:
        """Where the tasks leave their lines."""
        return Path(os.environ[recording.JOURNAL])

    def app(self, body: Callable[..., Any], *, name: str | None = None, bash: bool = False, **options: Any) -> Any:
        """An app; a python app unless ``bash``. Options are those of Parsl's decorators."""
        if bash:
            return bash_app(recording.recorded_command(body, name), data_flow_kernel=self.dfk, **options)
        return python_app(recording.recorded(body, name), data_flow_kernel=self.dfk, **options)

    def submit(
        self,
        app: Callable[..., Any],
        *args: Any,
        value: Any = ANY,
        error: str | None = None,
        key: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Submit a task.

        Args:
            app: Made by ``app``.
            *args: Its arguments.
            value: What it returns.
            error: With which exception it ends; the name of its type.
            key: Its name; by default a number.
            **kwargs: More arguments.

        Returns:
            Its future.
        """
        key = key or f"t{len(self.tasks)}"
        needs = [each for each in [*args, *kwargs.values(), *kwargs.get("inputs", ())] if isinstance(each, Future)]
        submitted = time.time()
        return self.watch(Task(key, app(*args, key=key, **kwargs), value, error, needs, submitted))

    def watch(self, task: Task) -> Any:
        """Count a task that was submitted otherwise; returns its future."""
        self.tasks.append(task)
        task.future.add_done_callback(task.done)
        return task.future

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until all that was submitted is settled, or so many seconds are over."""
        wait_for_futures([task.future for task in self.tasks], timeout=seconds)

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Wait until a condition holds; returns whether it does within so many seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def begun(self) -> dict[str, str]:
        """On which node the tasks began that did, by their keys."""
        return {mark.key: mark.host for mark in recording.read(self.journal) if mark.begins}

    def managers(self, block: str, label: str = LABEL) -> list[psutil.Process]:
        """The process of a node that speaks to Parsl, not those that it started."""
        found = manager_processes(os.getsid(0), label, block)
        pids = {process.pid for process in found}
        return [process for process in found if process.ppid() not in pids]

    def warm_up(self) -> None:
        """Wait until every worker has run something, so that no system pays for its start within the makespan.

        Raises:
            TimeoutError: Not within STARTUP_LIMIT.
        """
        deadline = time.monotonic() + STARTUP_LIMIT
        pools = [executor for executor in self.dfk.executors.values() if hasattr(executor, "connected_managers")]
        for executor in pools:
            hello = python_app(greet, data_flow_kernel=self.dfk, executors=[executor.label])
            wanted = self.size.nodes * self.size.workers
            seen: set[tuple[str, int]] = set()
            while len(seen) < wanted:
                hellos = [hello(0.05) for _ in range(wanted)]
                wait_for_futures(hellos, timeout=max(deadline - time.monotonic(), 0.0))
                if not all(each.done() for each in hellos) or time.monotonic() > deadline:
                    raise TimeoutError(f"{len(seen)} of {wanted} workers came within {STARTUP_LIMIT:g} s")
                seen |= {each.result() for each in hellos}

    @contextlib.contextmanager
    def nodes_watched(self) -> Any:
        """Note which nodes are connected while the block runs."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch_nodes, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(10)

    def _watch_nodes(self, over: threading.Event) -> None:
        up: dict[tuple[str, str], list[Any]] = {}
        warm = self.workload.warm
        while True:
            now = time.time()
            for executor in list(self.dfk.executors.values()):
                if not hasattr(executor, "connected_managers"):
                    continue
                label = executor.label
                try:
                    managers = executor.connected_managers()
                except Exception:  # noqa: BLE001 - a run that breaks down is judged by its tasks
                    return
                names = {f"{label}-{each['block_id']}" for each in managers if not each["draining"]}
                for name in names:
                    if (label, name) not in up:
                        up[label, name] = [name, label, now, now, warm]
                        self.nodes.append(up[label, name])
                    up[label, name][3] = now
                for key in [key for key in up if key[0] == label and key[1] not in names]:
                    del up[key]
            warm = False
            if over.wait(POLL_PERIOD):
                return


def greet(seconds: float) -> tuple[str, int]:
    """Say which worker this is."""
    import platform

    time.sleep(seconds)
    return platform.node(), os.getpid()


def same(left: Any, right: Any) -> bool:
    """Whether two results are the same."""
    return bool(left == right)
