"""Parsl's own ``parsl-perf``, with everything on, against no monitoring and against Parsl's monitoring."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.entries.parsl_perf_config import WORKERS
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.pairing import in_turn, ratios
from octopus_plugins.config import OctopusConfig
from octopus_plugins.local import EmbeddedBroker
from octopus_plugins.streams import heartbeats, resources, tasks

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("parsl_perf_config.py")
TIMEOUT = 300.0
"""Seconds for one run of parsl-perf."""

STATES = ("pending", "launched", "running", "running_ended", "exec_done")
"""What is said of each task that ends well."""

# Tasks of the iteration that warms up and of the one that counts. Parsl's own monitoring does about 25 a second.
_TASKS = {"none": (500, 3000), "octopus": (500, 3000), "parsl": (10, 100)}
_QUICK_TASKS = {"none": (100, 500), "octopus": (100, 500), "parsl": (4, 16)}
_RATE = re.compile(r"^Tasks per second: ([0-9.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs parsl-perf, and counts what arrived in the topics.

    Attributes:
        broker: Where the events go.
        directory: For what Parsl writes.
        tasks: Tasks by variant: warm-up, counted.
        arrived: Events counted in the topics, one entry for each run of ``octopus``.
        missing: What should have been there and was not, in words.
    """

    broker: str
    directory: Path
    tasks: dict[str, tuple[int, int]]
    arrived: list[dict[str, int]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def rate(self, variant: str) -> float:
        """Run a variant once.

        Returns:
            Tasks per second of the second iteration.

        Raises:
            RuntimeError: parsl-perf failed; the message has the end of its output.
        """
        name = f"bench-{uuid.uuid4().hex[:12]}"
        output = self._run(variant, name)
        rates = [float(rate) for rate in _RATE.findall(output)]
        if len(rates) != 2:
            raise RuntimeError(
                f"parsl-perf ({variant}) reported {len(rates)} iterations in place of 2:\n{output[-2000:]}"
            )
        if variant == "octopus":
            self._count(name)
        return rates[-1]

    def _run(self, variant: str, name: str) -> str:
        environment = {
            **os.environ,
            "BENCH_VARIANT": variant,
            "BENCH_RUN_DIR": str(self.directory / name),
            "OCTOPUS_PROFILE": "local",
            "OCTOPUS_BOOTSTRAP_SERVERS": self.broker,
            "OCTOPUS_NAMESPACE": name,
            "OCTOPUS_SPOOL_DIR": str(self.directory / "spool"),
            # The workers inherit both: what they import, and where they find Parsl's worker pool.
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }
        iterations = ",".join(map(str, self.tasks[variant]))
        command = [sys.executable, "-m", "parsl.benchmark.perf", "--config", str(CONFIG), "--iterate", iterations]
        finished = subprocess.run(
            command,
            env=environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if finished.returncode != 0:
            raise RuntimeError(
                f"parsl-perf ({variant}) ended with status {finished.returncode}:\n{finished.stdout[-2000:]}"
            )
        return finished.stdout

    def _count(self, namespace: str) -> None:
        """Count, at the topics, what a run of ours sent; the Reader passes over second copies."""
        config = OctopusConfig.load(profile="local", bootstrap_servers=self.broker, namespace=namespace)
        found = tasks(config=config).count_by("state")
        expected = sum(self.tasks["octopus"])
        self.missing.extend(
            f"{namespace}: {found.get(state, 0)} of {expected} events {state!r} in the topic"
            for state in STATES
            if found.get(state, 0) != expected
        )
        self.arrived.append(
            {
                "task events": sum(found.values()),
                "resource samples": sum(1 for _ in resources(config=config)),
                "heartbeats": sum(1 for _ in heartbeats(config=config)),
            }
        )


def measure(options: Options) -> Result:
    """Tasks per second of parsl-perf: no monitoring, ours with everything on, Parsl's with resources."""
    amounts = _QUICK_TASKS if options.quick else _TASKS
    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
        runs = Runs(broker.address, Path(directory), amounts)
        rates = in_turn({name: partial(runs.rate, name) for name in amounts}, options.pairs, _progress)
    none, ours, theirs = rates["none"], rates["octopus"], rates["parsl"]
    cost = Spread.of(1e6 / with_us - 1e6 / without for with_us, without in zip(ours, none, strict=True))
    figures = (
        Figure("ours / none", ratios(ours, none), "×", Goal(0.9)),
        Figure("ours / Parsl's own", ratios(ours, theirs), "×", Goal(30)),
        Figure("Parsl's own / none", ratios(theirs, none), "×"),
        Figure("none", Spread.of(none), "tasks/s"),
        Figure("ours", Spread.of(ours), "tasks/s"),
        Figure("Parsl's own", Spread.of(theirs), "tasks/s"),
        Figure("cost of ours per task", cost, "µs"),
    )
    arrived = "; ".join(", ".join(f"{count:,} {what}" for what, count in run.items()) for run in runs.arrived[-1:])
    notes = (
        f"{WORKERS} workers, one block, no-op tasks; warm-up and counted tasks: "
        + ", ".join(f"{name} {warm:,} + {counted:,}" for name, (warm, counted) in amounts.items()),
        "ours: task states, worker start and end, samples every 1 s, node heartbeats, retry handler; embedded broker"
        " on the same machine. Parsl's own: MonitoringHub, resource monitoring every 1 s, SQLite.",
        f"counted at the topics after the last run: {arrived}. No-op tasks end before many samples fall on them.",
        *(runs.missing or ["every task event of every run was in the topic, exactly once by id"]),
    )
    return Result(
        "parsl-perf",
        "no-op tasks through one HighThroughputExecutor",
        figures,
        notes,
        {"tasks/s": rates, "arrived": runs.arrived, "missing": runs.missing},
    )


def _progress(line: str) -> None:
    print(f"parsl-perf {line}", file=sys.stderr, flush=True)
