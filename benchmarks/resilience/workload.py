"""One run: one scenario, one seed, one system, in a process of its own. Writes what came of it as JSON.

``python -m benchmarks.resilience.workload --system ours --scenario memory --seed 1 --out run.json``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import parsl
from parsl import python_app

from benchmarks.resilience import apps
from benchmarks.resilience.nodes import SMALL_NODES
from benchmarks.resilience.scenarios import FAN_IN, SCENARIOS, Item, Plan, Scenario, plan
from benchmarks.resilience.systems import SYSTEMS
from benchmarks.session import manager_processes
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Topic, encode
from octopus_plugins.fabric import Reader, ensure_topics
from octopus_plugins.local import EmbeddedBroker

STARTUP_LIMIT = 300.0
"""Seconds until all workers must have been heard of."""


@dataclass(slots=True)
class Watched:
    """A task, with the times at which it was submitted and settled (monotonic clock, seconds)."""

    name: str
    app: str
    category: str | None
    future: Any
    submitted: float
    settled: float | None = None

    def __post_init__(self) -> None:
        self.future.add_done_callback(self._done)

    def _done(self, future: Future[Any]) -> None:
        self.settled = time.monotonic()

    def told(self) -> dict[str, Any]:
        """What became of it, as data."""
        done = self.future.done()
        error = self.future.exception() if done else None
        record = self.future.task_record
        return {
            "name": self.name,
            "app": self.app,
            "doomed": self.category,
            "outcome": "hung" if not done else "done" if error is None else "failed",
            "error": f"{type(error).__name__}: {error}"[:300] if error is not None else None,
            "seconds": self.settled - self.submitted if self.settled is not None else None,
            "failed_tries": record["fail_count"],
        }


@dataclass(slots=True)
class Workload:
    """The graph of a plan, running.

    Attributes:
        scenario: What goes wrong.
        plan: What the seed chose.
        directory: Of the run.
        dfk: The loaded DataFlowKernel.
        tasks: Everything that was submitted.
    """

    scenario: Scenario
    plan: Plan
    directory: Path
    dfk: Any
    tasks: list[Watched] = field(default_factory=list)

    def warm_up(self) -> None:
        """Wait until every worker has run something, so that no system pays for imports within its makespan.

        Raises:
            TimeoutError: Not within STARTUP_LIMIT.
        """
        deadline = time.monotonic() + STARTUP_LIMIT
        wanted = {f"small-{number}" for number in range(SMALL_NODES)} | {"large-0"}
        seen: set[str] = set()
        while missing := wanted - seen:
            labels = {name.rpartition("-")[0] for name in missing}
            hellos = [self._app("hello", label)(0.05) for label in sorted(labels) for _ in range(SMALL_NODES)]
            done, _ = wait_for_futures(hellos, timeout=max(deadline - time.monotonic(), 0.0))
            if len(done) < len(hellos):
                raise TimeoutError(f"{sorted(missing)} did not come within {STARTUP_LIMIT:g} s")
            seen |= {hello.result() for hello in hellos}

    def submit(self) -> Any:
        """Submit everything.

        Returns:
            The future of the graph's last task.
        """
        futures = [future for item in self.plan.items if (future := self._submit_item(item)) is not None]
        add = self._app("add")
        partial = [
            self._watch(f"add-{start // FAN_IN}", "add", add(*futures[start : start + FAN_IN]))
            for start in range(0, len(futures), FAN_IN)
        ]
        return self._watch("total", "add", add(*partial))

    def _submit_item(self, item: Item) -> Any:
        """Submit a task, and what is doomed with it; returns the future of one that can end well."""
        app = self._app(item.app)
        pipe = str(self.directory / "pipe")
        marker = str(self.directory / f"marker-{item.name}")
        if item.doomed is None:
            more = {"fragile": (marker,), "stuck_once": (marker, pipe)}.get(item.app, ())
            return self._watch(item.name, item.app, app(item.number, item.seconds, *more))
        future = self._watch(
            item.name, item.app, app(pipe if item.app == "stuck" else item.number), item.doomed.category
        )
        for step in range(item.doomed.dependents):
            name = f"{item.name}-dependent-{step}"
            future = self._watch(name, "add", self._app("add")(future), "dependency_failed")
        return None

    def _watch(self, name: str, app: str, future: Any, category: str | None = None) -> Any:
        self.tasks.append(Watched(name, app, category, future, time.monotonic()))
        return future

    def _app(self, name: str, label: str = "small") -> Any:
        return python_app(getattr(apps, name), data_flow_kernel=self.dfk, executors=[label])

    @contextlib.contextmanager
    def mishaps(self) -> Iterator[None]:
        """What befalls the nodes while the block runs."""
        over = threading.Event()
        threads = []
        if self.scenario.mounted_after is not None:
            threads.append(threading.Thread(target=self._mount, args=(over, self.scenario.mounted_after)))
        if self.scenario.manager_killed:
            threads.append(threading.Thread(target=self._kill_manager, args=(over,)))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _mount(self, over: threading.Event, seconds: float) -> None:
        over.wait(seconds)
        (self.directory / "late").symlink_to(self.directory / "shared")

    def _kill_manager(self, over: threading.Event) -> None:
        while sum(task.settled is not None for task in self.tasks) < self.plan.kill_after:
            if over.wait(0.005):
                return
        for process in manager_processes(os.getsid(0), "small", self.plan.victim):
            process.send_signal(signal.SIGKILL)


def run(options: argparse.Namespace, address: str) -> dict[str, Any]:
    """Run once.

    Returns:
        What became of it.
    """
    directory: Path = options.directory
    for name in ("scratch", "shared"):
        (directory / name).mkdir(parents=True)
    (directory / "shared" / "offset").write_text("0", encoding="utf-8")
    os.mkfifo(directory / "pipe")
    scenario = SCENARIOS[options.scenario]
    chosen = plan(scenario, options.seed)
    octopus = OctopusConfig.load(
        profile="local",
        bootstrap_servers=address,
        namespace=f"resilience-{uuid.uuid4().hex[:12]}",
        spool_dir=directory / "spool",
    )
    if options.system == "ours":
        ensure_topics(octopus)
    began = time.monotonic()
    dfk = parsl.load(SYSTEMS[options.system](chosen.faults, directory, octopus))
    workload = Workload(scenario, chosen, directory, dfk)
    workload.warm_up()
    started = time.monotonic()
    result = {"system": options.system, "scenario": options.scenario, "seed": options.seed, "run_id": dfk.run_id}
    result["startup"] = started - began
    with workload.mishaps():
        total = workload.submit()
        wait_for_futures([task.future for task in workload.tasks], timeout=options.limit)
    tasks = [task.told() for task in workload.tasks]
    hung = any(task["outcome"] == "hung" for task in tasks)
    ends = [task.settled for task in workload.tasks if task.settled is not None]
    result |= {
        "makespan": None if hung else max(ends) - started,
        "hung": hung,
        "right": total.done() and total.exception() is None and total.result() == chosen.expected,
        "tasks": tasks,
    }
    # Now, and again at the end: a system that hangs while it closes has run nevertheless.
    write(options.out, result)
    if hung and options.system != "ours":
        return result
    closing = time.monotonic()
    dfk.cleanup()
    result["closing"] = time.monotonic() - closing
    write(options.out, result)
    if options.stream is not None and options.system == "ours":
        keep_stream(octopus, options.stream)
    return result


def keep_stream(octopus: OctopusConfig, file: Path) -> None:
    """Write the run's events as they were sent, one CloudEvent a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        for topic in Topic:
            for event in Reader(octopus, topic):
                stream.write(encode(event) + b"\n")


def write(file: Path, result: dict[str, Any]) -> None:
    """Write the result, whole or not at all."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(result), encoding="utf-8")
    fresh.replace(file)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", required=True, choices=list(SYSTEMS))
    parser.add_argument("--scenario", required=True, choices=list(SCENARIOS))
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--directory", required=True, type=Path, help="new directory for everything else")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds after which a task counts as hung")
    parser.add_argument("--broker", help="host:port; default: an embedded one for this run")
    parser.add_argument("--stream", type=Path, help="file for the events of our run, one a line")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        address = options.broker or stack.enter_context(EmbeddedBroker()).address
        result = run(options, address)
    sys.stdout.flush()
    # Threads of a system that hangs must not keep the process; the driver ends what it started.
    os._exit(0 if result["right"] else 1)


if __name__ == "__main__":
    main()
