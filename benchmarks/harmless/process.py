"""Starts the runs, each in a process of its own, and ends everything that they started."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harmless.judging import Run
from benchmarks.harmless.trial import STARTUP_LIMIT
from benchmarks.harmless.workload import Workload
from benchmarks.resilience.process import CLOSING_LIMIT, environment, importable
from benchmarks.session import run_in_session


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts runs.

    Attributes:
        directory: For what the runs write; each has a directory of its own below.
        limit: Seconds from the first submission after which a task counts as hung.
        short: Whether to run the short forms.
        keep: Whether to leave the directories of the runs.
    """

    directory: Path
    limit: float
    short: bool = False
    keep: bool = False

    def run(self, workload: Workload, system: str, pair: int) -> Run:
        """Run once, and leave no process and no file behind."""
        home, out, log = (self.directory / f"{workload.name}-{pair}-{system}{end}" for end in ("", ".json", ".log"))
        words = ["--workload", workload.name, "--system", system, "--seed", str(pair), "--out", str(out)]
        words += ["--directory", str(home), "--limit", str(self.limit), *(["--short"] if self.short else [])]
        home.mkdir()
        began = time.monotonic()
        late = self._wait_for([sys.executable, "-m", "benchmarks.harmless.driver", *words], home, log)
        wall = time.monotonic() - began
        told = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        # In one line, for the table.
        said = " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-300:]
        if not self.keep:
            shutil.rmtree(home, ignore_errors=True)
        return Run.of(workload.name, system, pair, told, workload.idle, wall, _trouble(told, late, said))

    def _wait_for(self, command: list[str], home: Path, log: Path) -> bool:
        """Wait for a run; returns whether it took too long."""
        variables = {
            name: value
            for name, value in environment(importable(self.directory), home).items()
            # What is measured is `enable(config)` and nothing else.
            if not name.startswith("OCTOPUS_")
        }
        seconds = STARTUP_LIMIT + self.limit + CLOSING_LIMIT
        return run_in_session(command, cwd=home, environment=variables, log=log, seconds=seconds) is None


def _trouble(told: dict[str, Any], late: bool, said: str) -> str:
    if not told:
        return f"wrote no result: {said}"
    if late:
        return "did not close within its time"
    if told["hung"]:
        return f"{told['hung']} tasks never ended"
    return "" if "closing" in told else f"ended while it closed: {said}"
