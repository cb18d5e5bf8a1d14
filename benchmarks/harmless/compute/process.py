"""Starts the runs, each in a process of its own, and ends everything that they started."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compute.endpoint import end, processes_of
from benchmarks.harmless.compute.case import Case
from benchmarks.harmless.compute.disturbing import MOMENT_LIMIT
from benchmarks.harmless.compute.judging import Run
from benchmarks.harmless.compute.trial import STARTUP_LIMIT
from benchmarks.resilience.process import environment, importable
from benchmarks.session import run_in_session

OWN_MOUNTS = ("unshare", "--mount", "--propagation", "private")
"""Begins a command whose mounts end with it."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts runs.

    Attributes:
        amqp: URL of RabbitMQ.
        directory: For what the runs write; each has a directory of its own below.
        keep: Whether to leave the directories of the runs.
    """

    amqp: str
    directory: Path
    keep: bool = False

    def run(self, case: Case, system: str, pair: int) -> Run:
        """Run once, and leave no process and no file behind."""
        home, out, log = (self.directory / f"{case.name}-{pair}-{system}{ending}" for ending in ("", ".json", ".log"))
        words = ["--case", case.name, "--system", system, "--amqp", self.amqp]
        words += ["--out", str(out), "--directory", str(home)]
        prefix = OWN_MOUNTS if case.disk is not None else ()
        shutil.rmtree(home, ignore_errors=True)  # what an earlier evaluation has kept
        out.unlink(missing_ok=True)
        home.mkdir()
        began = time.monotonic()
        late = self._wait_for(
            [*prefix, sys.executable, "-m", "benchmarks.harmless.compute.driver", *words], case, home, log
        )
        wall = time.monotonic() - began
        told = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        # In one line, for the table.
        said = " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-300:]
        if not self.keep:
            shutil.rmtree(home, ignore_errors=True)
        return Run.of(case.name, system, pair, told, wall, _trouble(told, late, said))

    def _wait_for(self, command: list[str], case: Case, home: Path, log: Path) -> bool:
        """Wait for a run; returns whether it took too long."""
        variables = {
            name: value
            for name, value in environment(importable(self.directory), home).items()
            # What is measured is the engine and the executor, and nothing else.
            if not name.startswith("OCTOPUS_")
        }
        steps = sum(MOMENT_LIMIT + step.after + step.seconds for step in case.steps)
        status = run_in_session(
            command,
            cwd=home,
            environment=variables,
            log=log,
            seconds=2 * STARTUP_LIMIT + steps + case.limit,
            also=lambda: end(lambda: processes_of(str(home))),  # an endpoint has a session of its own
        )
        return status is None


def _trouble(told: dict[str, Any], late: bool, said: str) -> str:
    if late:
        return "did not close within its time"
    return "" if told else f"wrote no result: {said}"
