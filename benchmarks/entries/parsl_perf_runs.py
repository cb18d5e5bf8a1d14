"""Runs of Parsl's own ``parsl-perf``: their speed, the CPU they take, and what they sent."""

from __future__ import annotations

import contextlib
import re
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.session import environment, watched
from benchmarks.usage import members, process_cpu, session_cpu
from octopus_plugins.config import OctopusConfig
from octopus_plugins.local import EmbeddedBroker
from octopus_plugins.streams import heartbeats, resources, tasks

CONFIG = Path(__file__).with_name("parsl_perf_config.py")
TIMEOUT = 300.0
"""Seconds for one run of parsl-perf."""

STATES = ("pending", "launched", "running", "running_ended", "exec_done")
"""What is said of each task that ends well."""

# What parsl-perf prints when the tasks that count begin, and when they have ended.
_BEGIN = "==== Iteration 2 ===="
_RATE = re.compile(r"^Tasks per second: ([0-9.]+)$")


@dataclass(frozen=True, slots=True)
class Work:
    """What parsl-perf is to do.

    Attributes:
        warm_up: Tasks of the iteration that does not count.
        counted: Tasks of the one that does.
        workers: Worker processes, all in one block.
        seconds: What each task sleeps; 0: it does nothing.
        argument: Bytes of each task's argument.
        log: Whether Parsl writes its log, as it does by default.
    """

    warm_up: int
    counted: int
    workers: int = 2
    seconds: float = 0.0
    argument: int = 0
    log: bool = True

    def __str__(self) -> str:
        doing = f"sleep {self.seconds * 1000:g} ms" if self.seconds else "no-op"
        argument = f", {self.argument / 1000:g} kB" if self.argument else ""
        log = "" if self.log else ", no parsl.log"
        return f"{self.workers} {'worker' if self.workers == 1 else 'workers'}, {doing}{argument}{log}"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Attributes:
        rate: Tasks per second, of those that count.
        cpu: Microseconds of CPU for each of them, of all processes of the run, and of the broker where it has one.
        broker_cpu: The broker's part of it.
        submit_cpu: The submitting process's.
        interchange_cpu: The interchange's; what is left is that of the pool and its workers.
    """

    rate: float
    cpu: float
    broker_cpu: float
    submit_cpu: float
    interchange_cpu: float

    @property
    def pool_cpu(self) -> float:
        """What the pool takes, and its workers."""
        return self.cpu - self.broker_cpu - self.submit_cpu - self.interchange_cpu


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs parsl-perf, and counts what arrived in the topics.

    Attributes:
        broker: Where the events go.
        directory: For what Parsl writes.
        found: What was measured, by variant, in order.
        arrived: Events counted in the topics, one entry for each run of ``octopus``.
        missing: What should have been there and was not, in words.
    """

    broker: EmbeddedBroker
    directory: Path
    found: dict[str, list[Measured]] = field(default_factory=dict)
    arrived: list[dict[str, int]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def rate(self, variant: str, work: Work, series: str | None = None) -> float:
        """Run a variant once, and remember what was measured.

        Args:
            variant: ``none``, ``octopus``, ``parsl`` or ``parsl-states``.
            work: What it is to do.
            series: The name to remember it by; default: the variant's.

        Returns:
            Tasks per second of the second iteration.

        Raises:
            RuntimeError: parsl-perf failed; the message has the end of its output.
        """
        name = f"bench-{uuid.uuid4().hex[:12]}"
        measured = self._measure(variant, work, name)
        if variant == "octopus":
            self._count(name, work)
        self.found.setdefault(series or variant, []).append(measured)
        return measured.rate

    def _measure(self, variant: str, work: Work, name: str) -> Measured:
        rates: list[float] = []
        marks: list[tuple[float, ...]] = []  # CPU seconds at begin and end: session, broker, submit side, interchange

        def hear(session: int, line: str) -> None:
            rate = _RATE.match(line)
            if rate is not None:
                rates.append(float(rate[1]))
            if line == _BEGIN or (rate is not None and len(rates) == 2):
                broker = process_cpu(self.broker.pid) if variant == "octopus" else 0.0
                marks.append((session_cpu(session), broker, process_cpu(session), process_cpu(_interchange(session))))

        settings = {
            "BENCH_VARIANT": variant,
            "BENCH_RUN_DIR": str(self.directory / name),
            "BENCH_WORKERS": str(work.workers),
            "BENCH_TASK_SECONDS": str(work.seconds),
            "BENCH_LOG": str(int(work.log)),
        }
        command = [sys.executable, "-m", "parsl.benchmark.perf", "--config", str(CONFIG)]
        command += ["--iterate", f"{work.warm_up},{work.counted}", "--argsize", str(work.argument)]
        surroundings = {**environment(self.broker.address, name, self.directory / "spool"), **settings}
        output = watched(command, surroundings, self.directory, TIMEOUT, hear)
        if len(rates) != 2 or len(marks) != 2:
            raise RuntimeError(
                f"parsl-perf ({variant}) reported {len(rates)} iterations in place of 2:\n{output[-2000:]}"
            )
        session, *parts = (1e6 * (end - begin) / work.counted for begin, end in zip(*marks, strict=True))
        return Measured(rates[-1], session + parts[0], *parts)

    def _count(self, namespace: str, work: Work) -> None:
        """Count, at the topics, what a run of ours sent; the Reader passes over second copies."""
        config = OctopusConfig.load(profile="local", bootstrap_servers=self.broker.address, namespace=namespace)
        found = tasks(config=config).count_by("state")
        expected = work.warm_up + work.counted
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


def _interchange(session: int) -> int:
    """The process of a run's interchange, which begins and ends with the run."""
    for pid in members(session):
        with contextlib.suppress(OSError):
            if b"interchange" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    raise RuntimeError("the run has no interchange")
