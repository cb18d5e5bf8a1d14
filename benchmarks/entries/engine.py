"""An engine of Globus Compute with its workers: OctopusEngine with everything on, against GlobusComputeEngine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.pairing import in_turn, ratios
from octopus_plugins.config import OctopusConfig
from octopus_plugins.local import EmbeddedBroker
from octopus_plugins.streams import heartbeats, tasks

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("engine_driver.py")
TIMEOUT = 600.0
"""Seconds for one run."""

STATES = ("pending", "launched", "running", "running_ended", "exec_done")
"""What is said of each task that ends well."""

VARIANTS = ("none", "octopus")


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs the driver, and counts what arrived in the topics.

    Attributes:
        broker: Where the events go.
        directory: For what the engines write.
        amounts: Tasks of the round that warms up and of the one that counts.
        missing: What should have been there and was not, in words.
        arrived: Events counted in the topics, one entry for each run of ``octopus``.
        cpu: Microseconds of CPU that the engine's process took for each task, run after run, by variant.
    """

    broker: str
    directory: Path
    amounts: tuple[int, int]
    missing: list[str] = field(default_factory=list)
    arrived: list[dict[str, int]] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in VARIANTS})

    def rate(self, variant: str) -> float:
        """Run a variant once.

        Returns:
            Tasks per second of the round that counts.

        Raises:
            RuntimeError: The driver failed; the message has the end of its output.
        """
        name = f"bench-{uuid.uuid4().hex[:12]}"
        environment = {
            **os.environ,
            "OCTOPUS_PROFILE": "local",
            "OCTOPUS_BOOTSTRAP_SERVERS": self.broker,
            "OCTOPUS_NAMESPACE": name,
            "OCTOPUS_SPOOL_DIR": str(self.directory / "spool"),
            # The workers inherit both: what they import, and where they find Parsl's worker pool.
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }
        finished = subprocess.run(
            [sys.executable, DRIVER, variant, self.directory / name, *map(str, self.amounts)],
            env=environment, cwd=self.directory, capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if finished.returncode != 0:
            raise RuntimeError(
                f"the {variant} engine ended with status {finished.returncode}: {finished.stderr[-2000:]}"
            )
        if variant == "octopus":
            self._count(name)
        seconds, cpu = json.loads(finished.stdout)[-1]
        self.cpu[variant].append(1e6 * cpu / self.amounts[-1])
        return self.amounts[-1] / float(seconds)

    def _count(self, namespace: str) -> None:
        """Count, at the topics, what a run of ours sent; the Reader passes over second copies."""
        config = OctopusConfig.load(profile="local", bootstrap_servers=self.broker, namespace=namespace)
        found, expected = tasks(config=config).count_by("state"), sum(self.amounts)
        self.missing.extend(
            f"{namespace}: {found.get(state, 0)} of {expected} events {state!r} in the topic"
            for state in STATES
            if found.get(state, 0) != expected
        )
        beats = sum(1 for _ in heartbeats(config=config))
        self.arrived.append({"task events": sum(found.values()), "heartbeats": beats})


def measure(options: Options) -> Result:
    """Tasks per second of Globus Compute's engine and its workers: without us, and with everything on."""
    amounts = (100, 500) if options.quick else (500, 3000)
    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
        runs = Runs(broker.address, Path(directory), amounts)
        rates = in_turn({name: partial(runs.rate, name) for name in VARIANTS}, options.rounds(), _progress)
    none, ours = rates["none"], rates["octopus"]
    cost = Spread.of(1e6 / with_us - 1e6 / without for with_us, without in zip(ours, none, strict=True))
    figures = (
        Figure("OctopusEngine / GlobusComputeEngine", ratios(ours, none), "×", Goal(0.9, source="issue 5")),
        Figure("GlobusComputeEngine", Spread.of(none), "tasks/s"),
        Figure("OctopusEngine", Spread.of(ours), "tasks/s"),
        Figure("cost of ours per task", cost, "µs"),
        Figure("CPU of the engine's process per task, GlobusComputeEngine", Spread.of(runs.cpu["none"]), "µs"),
        Figure("CPU of the engine's process per task, OctopusEngine", Spread.of(runs.cpu["octopus"]), "µs"),
    )
    arrived = "; ".join(", ".join(f"{count:,} {what}" for what, count in run.items()) for run in runs.arrived[-1:])
    notes = (
        f"2 workers, one block, {amounts[0]:,} no-op tasks to warm up and {amounts[1]:,} that count, submitted to the"
        " engine as the endpoint does; no web service",
        "ours: task states, worker start and end, samples every 1 s, heartbeats every 10 s, the ledger of unanswered"
        " tasks; embedded broker on the same machine",
        f"counted at the topics after the last run: {arrived}",
        *(runs.missing or ["every task event of every run was in the topic, exactly once by id"]),
    )
    return Result(
        "engine",
        "no-op tasks through the engine of a Globus Compute endpoint",
        figures,
        notes,
        {"tasks/s": rates, "cpu": runs.cpu, "arrived": runs.arrived, "missing": runs.missing},
    )


def _progress(line: str) -> None:
    print(f"engine {line}", file=sys.stderr, flush=True)
