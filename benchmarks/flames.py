"""Flame graphs of the processes of a Parsl run with everything on, or of a benchmark, by py-spy.

    python -m benchmarks.flames --out docs/performance/after
    python -m benchmarks.flames --out docs/performance/after --entry emitter

The submitting process of a run is sampled where a thread of it holds Python's lock: all others wait for it. Of the
other processes each thread counts while it does not wait. A benchmark is sampled with its processes, the bare loop that
it compares with among them.
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
from benchmarks.session import ROOT, environment, watched
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
    spies: dict[Path, subprocess.Popen[bytes]] = {}

    def hear(session: int, line: str) -> None:
        if line != "==== Iteration 2 ====":
            return
        for name, pid, options in _subjects(session):
            file = out.with_name(f"{out.name}-{name}.svg")
            command = [*_spy(file), "--pid", str(pid), "--duration", str(seconds), *options]
            spies[file] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

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
    for file, spy in spies.items():
        _, said = spy.communicate()
        if spy.returncode != 0:
            raise RuntimeError(f"py-spy failed:\n{said.decode(errors='replace')[-2000:]}")
        _without_paths(file)


def record_entry(out: Path, entry: str) -> None:
    """Run a benchmark once, and sample all its processes.

    Args:
        out: Beginning of the file's name.
        entry: Name of the benchmark.

    Raises:
        RuntimeError: It failed, or py-spy did.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_name(f"{out.name}-{entry}.svg")
    command = [*_spy(file), "--subprocesses", "--", sys.executable]
    command += [str(ROOT / "benchmarks" / "run.py"), "--only", entry, "--pairs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise RuntimeError(f"py-spy or the benchmark failed:\n{(done.stdout + done.stderr)[-2000:]}")
    _without_paths(file)


def _spy(file: Path) -> list[str]:
    return [str(SPY), "record", "--rate", str(SAMPLES), "--function", "--output", str(file)]


def _subjects(session: int) -> Iterator[tuple[str, int, list[str]]]:
    """The processes to look at: name, pid, options of py-spy."""
    yield "submit", session, ["--gil"]
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            if os.getsid(process.pid) != session or process.pid == session:
                continue
        except ProcessLookupError:
            continue
        words = " ".join(process.info["cmdline"] or ())
        if "interchange" in words:
            yield "interchange", process.pid, []
        elif "process_worker_pool" in words or "octopus_plugins.htex.pool.launch" in words:
            yield "pool", process.pid, []


def _without_paths(file: Path) -> None:
    """Take this machine's directories out of a graph: it is kept, and its title has the command line."""
    text = file.read_text(encoding="utf-8")
    for directory in (SPY.parent, file.parent.absolute(), ROOT):
        text = text.replace(f"{directory}/", "")
    file.write_text(text, encoding="utf-8")


def main() -> None:
    """Write the flame graphs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/flames/octopus"), help="beginning of the files' names")
    parser.add_argument("--variant", default="octopus", help="what runs: octopus (default), none, parsl, parsl-states")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=12)
    parser.add_argument("--entry", help="sample this benchmark in the place of a Parsl run")
    asked = parser.parse_args()
    if not SPY.exists():
        parser.error(f"{SPY} is missing: run `make setup`, which installs py-spy")
    if asked.entry:
        record_entry(asked.out, asked.entry)
    else:
        record(asked.out, asked.variant, asked.tasks, asked.seconds)


if __name__ == "__main__":
    main()
