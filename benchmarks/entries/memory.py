"""A broker that is away for long: what the process that emits holds meanwhile, and what an event costs it."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.entries.memory_driver import SAMPLES
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.proxy import ProxiedBroker
from benchmarks.session import environment, watched
from benchmarks.usage import MIB, resident
from octopus_plugins.config import OctopusConfig
from octopus_plugins.streams import tasks

DRIVER = Path(__file__).with_name("memory_driver.py")
RATE = 2_000.0
"""Events per second: what 400 no-op tasks a second come to."""

BOUND = 64.0
"""MiB by which the process may grow while its broker is away."""

NAMESPACE = "bench-memory"
_SLACK_SECONDS = 400.0


@dataclass(slots=True)
class Seen:
    """What was seen of one process.

    Attributes:
        cpu: CPU seconds when each phase began, by its name.
        events: Events that it had made by then.
        memory: MiB resident, each second, by phase.
        spool: MiB on disk, each second of the outage.
    """

    cpu: dict[str, float] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    memory: dict[str, list[float]] = field(default_factory=dict)
    spool: list[float] = field(default_factory=list)

    def per_event(self, phase: str, after: str) -> float:
        """Microseconds of CPU of each event of a phase, up to the beginning of the next one."""
        return 1e6 * (self.cpu[after] - self.cpu[phase]) / (self.events[after] - self.events[phase])

    @property
    def growth(self) -> float:
        """MiB by which the process grew at most while the broker was away."""
        return max(self.memory["away"]) - self.memory["steady"][-1]


def measure(options: Options) -> Result:
    """Growth of the emitting process while its broker is away (--outage 600: ten minutes), CPU per event."""
    seconds = {"idle": 2, "warm": 2, "steady": 3, "away": 8} if options.quick else {
        "idle": 5, "warm": 10, "steady": 20, "away": options.outage
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
        seen, counts, arrived = _run(seconds, Path(directory))
    return result(seen, counts, arrived, seconds["away"])


def result(seen: Seen, counts: dict[str, Any], arrived: int, outage: float) -> Result:
    """The figures of one run.

    Args:
        seen: The process.
        counts: What its emitter says in the end.
        arrived: Records in the topic, by id.
        outage: Seconds without broker.
    """
    events = seen.events["back"] - seen.events["away"]
    making = seen.per_event("idle", "warm")
    goal = Goal(BOUND, at_least=False, source="DESIGN §10")
    figures = (
        Figure("growth while the broker is away", _one(seen.growth), "MiB", goal),
        Figure("the same per event", _one(seen.growth * MIB / events), "bytes"),
        Figure("on disk at the end of it", _one(max(seen.spool)), "MiB"),
        Figure("on disk per event", _one(max(seen.spool) * MIB / events), "bytes"),
        Figure("resident before", _one(seen.memory["steady"][-1]), "MiB"),
        Figure("resident when all has arrived", _one(seen.memory["delivered"][-1]), "MiB"),
        Figure("from the broker's return until all has arrived", _one(counts["seconds until delivered"]), "s"),
        Figure("CPU per event, broker there", _one(seen.per_event("steady", "away") - making), "µs"),
        Figure("CPU per event, broker away", _one(seen.per_event("away", "back") - making), "µs"),
    )
    records = seen.events["back"] - seen.events["warm"]
    records -= -(-seen.events["back"] // SAMPLES) - -(-seen.events["warm"] // SAMPLES)
    lost = records - arrived
    notes = (
        f"one process, {RATE:,.0f} events/s, nine in ten task states, one a sample; {outage:g} s without broker,"
        f" {events:,} events; ten minutes: --outage 600",
        "CPU of the whole process, less what making the events takes at the same pace; one by one, as Parsl tells them",
        f"{counts['dropped']:,} samples were dropped to stay within their bound, the newest are kept",
        f"{lost:,} of {records:,} records are missing in the topic" if lost else "every record was in the topic",
    )
    raw = {
        "cpu": seen.cpu,
        "events": seen.events,
        "resident in MiB": seen.memory,
        "spool in MiB": seen.spool,
        "counts": counts,
    }
    return Result("memory", "a broker that is away", figures, notes, raw)


def _run(seconds: dict[str, float], directory: Path) -> tuple[Seen, dict[str, Any], int]:
    seen, phase, spool = Seen(), "", directory / "spool"
    with ProxiedBroker(directory) as broker:

        def hear(session: int, line: str) -> None:
            nonlocal phase
            what, *rest = line.split()
            if len(rest) != 2:
                return
            if what != "second":
                phase = what
                seen.cpu[phase], seen.events[phase] = float(rest[0]), int(rest[1])
                if phase == "away":
                    broker.proxy.cut()
                elif phase == "back":
                    broker.proxy.restore()
            if phase != "back":
                seen.memory.setdefault(phase, []).append(resident(session) / MIB)
            if phase == "away":
                seen.spool.append(_size(spool))

        command = [sys.executable, str(DRIVER), str(RATE), *map(str, seconds.values())]
        surroundings = environment(broker.address, NAMESPACE, spool)
        output = watched(command, surroundings, directory, sum(seconds.values()) + _SLACK_SECONDS, hear)
        config = OctopusConfig.load(profile="local", bootstrap_servers=broker.address, namespace=NAMESPACE)
        arrived = sum(1 for _ in tasks(config=config))
    return seen, json.loads(output.splitlines()[-1]), arrived


def _size(directory: Path) -> float:
    """MiB of the files below a directory."""
    size = 0
    for file in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += file.stat().st_size
    return size / MIB


def _one(value: float) -> Spread:
    return Spread.of([value])
