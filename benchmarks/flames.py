"""Flame graphs of the processes of a Parsl run with everything on, by py-spy.

    python -m benchmarks.flames --out docs/performance/after

The submitting process is sampled where a thread of it holds Python's lock: all others wait for it. The interchange and
a worker have one thread that counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.entries.parsl_perf_runs import CONFIG, TIMEOUT
from benchmarks.session import environment, watched
from octopus_plugins.local import EmbeddedBroker

SPY = Path(sys.executable).with_name("py-spy")
SAMPLES = 250
"""Samples a second."""


def record(out: Path, variant: str, tasks: int, seconds: int) -> None:
    """Run parsl-perf, and sample its processes while it works off its tasks.

    Args:
        out: Beginning of the names of the files.
        variant: See `benchmarks.entries.parsl_config`.
        tasks: How many; they must last longer than the samples.
        seconds: For how long each process is sampled, all at the same time.

    Raises:
        RuntimeError: The run failed, or py-spy did.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    spies: list[subprocess.Popen[bytes]] = []

    def hear(session: int, line: str) -> None:
        if line != "==== Iteration 2 ====":
            return
        for name, pid, options in _subjects(session):
            file = out.with_name(f"{out.name}-{name}.svg")
            command = [SPY, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(SAMPLES)]
            command += ["--output", str(file), "--function", *options]
            spies.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))

    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
        home = Path(directory)
        settings = {
            "BENCH_VARIANT": variant,
            "BENCH_RUN_DIR": str(home / "run"),
            "BENCH_WORKERS": "2",
            "BENCH_TASK_SECONDS": "0",
        }
        command = [sys.executable, "-m", "parsl.benchmark.perf", "--config", str(CONFIG), "--iterate", f"500,{tasks}"]
        watched(command, {**environment(broker.address, "flames", home / "spool"), **settings}, home, TIMEOUT, hear)
    for spy in spies:
        _, said = spy.communicate()
        if spy.returncode != 0:
            raise RuntimeError(f"py-spy failed:\n{said.decode(errors='replace')[-2000:]}")


def _subjects(session: int) -> Iterator[tuple[str, int, list[str]]]:
    """The processes to look at: name, pid, options of py-spy."""
    yield "submit", session, ["--gil"]
    others = []
    for process in psutil.process_iter(["pid", "cmdline", "cpu_times"]):
        try:
            if os.getsid(process.pid) != session or process.pid == session:
                continue
        except ProcessLookupError:
            continue
        words = " ".join(process.info["cmdline"] or ())
        if "interchange" in words:
            yield "interchange", process.pid, []
        else:
            others.append((sum(process.info["cpu_times"][:2]), process.pid))
    if others:
        yield "worker", max(others)[1], []


def main() -> None:
    """Write the flame graphs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/flames/octopus"), help="beginning of the files' names")
    parser.add_argument("--variant", default="octopus", help="what runs: octopus (default), none, parsl, parsl-states")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=12)
    asked = parser.parse_args()
    if not SPY.exists():
        parser.error(f"{SPY} is missing: run `make setup`, which installs py-spy")
    record(asked.out, asked.variant, asked.tasks, asked.seconds)


if __name__ == "__main__":
    main()
