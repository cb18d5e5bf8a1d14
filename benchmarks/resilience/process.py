"""One run in a process of its own, and the end of everything that it started."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.resilience.outcomes import Run
from benchmarks.session import end_session

ROOT = Path(__file__).resolve().parents[2]

STARTUP_LIMIT = 300.0
CLOSING_LIMIT = 30.0
"""Seconds that a run may take beside its tasks."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts runs one at a time.

    Attributes:
        broker: Where ours streams to.
        directory: For what the runs write; each has a directory of its own below.
        limit: Seconds after which a task counts as hung.
        streams: Directory for the events of our runs; None keeps none.
        keep: Whether to leave the directories of the runs.
    """

    broker: str
    directory: Path
    limit: float
    streams: Path | None = None
    keep: bool = False

    def run(self, scenario: str, system: str, seed: int) -> Run:
        """Run once, and leave no process and no file behind."""
        name = f"{scenario}-{seed}-{system}"
        out, log, home = (self.directory / f"{name}{ending}" for ending in (".json", ".log", ""))
        words = ["--scenario", scenario, "--system", system, "--seed", str(seed), "--limit", str(self.limit)]
        words += ["--out", str(out), "--directory", str(home), "--broker", self.broker]
        if self.streams is not None and system == "ours":
            words += ["--stream", str(self.streams / f"{scenario}-{seed}.jsonl")]
        home.mkdir()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.resilience.workload", *words],
                cwd=home,
                env=environment(importable(self.directory), home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            late = False
            try:
                process.wait(STARTUP_LIMIT + self.limit + CLOSING_LIMIT)
            except subprocess.TimeoutExpired:
                late = True
            finally:
                end_session(process.pid)
                process.wait()
        told = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        said = log.read_text(encoding="utf-8", errors="replace")[-600:].strip()
        if not self.keep:
            shutil.rmtree(home, ignore_errors=True)
        return Run(scenario, system, seed, told, _trouble(told, late, said))


def _trouble(told: dict[str, Any], late: bool, said: str) -> str:
    if not told:
        return f"wrote no result: {said}"
    if late:
        return "did not close within its time"
    # A peer that hangs is not closed: that could take for ever.
    if "closing" not in told and not told["hung"]:
        return f"ended while it closed: {said}"
    return ""


def environment(path: Path, home: Path) -> dict[str, str]:
    """The environment of a run.

    Args:
        path: Put behind PYTHONPATH.
        home: Of the run.
    """
    # The workers inherit all of it: what they import, where they find Parsl's worker pool, an empty home of settings.
    inherited = os.environ.get("PYTHONPATH", "")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (inherited, str(path)))),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
    }


def importable(directory: Path) -> Path:
    """A directory from which ``benchmarks`` can be imported and nothing else: the packages are those installed."""
    path = directory / "path"
    path.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (path / "benchmarks").symlink_to(ROOT / "benchmarks")
    return path
