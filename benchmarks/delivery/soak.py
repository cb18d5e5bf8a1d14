"""A long run: events at a steady rate while brokers are restarted, one every minute.

    make soak                                    # 10 minutes at 2,000 events/s, three secure nodes
    make soak OPTIONS="--minutes 1 --nodes 1"

Ends with status 1 where an event was lost, read twice or out of order, or memory grew beyond the bound.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.delivery.page import measured, write_section
from octopus_plugins import OctopusConfig, tasks
from octopus_plugins.events import Topic
from octopus_plugins.fabric import topic_name
from octopus_plugins.local import ApacheKafka
from tests.integration.kafka.guarantees.runs import Found, Run, look

MIB = 1024 * 1024
WARM_SECONDS = 10
BOUND_MIB = 64.0
"""How much the host process may grow, of itself as it is after ten seconds (DESIGN §10)."""

USER = "soak"


@dataclass
class Memory:
    """The resident set size of a process, looked at once a second.

    Attributes:
        pid: The process.
        seen: What it was, MiB, each second.
    """

    pid: int
    seen: list[float] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Look until it is over."""
        process = psutil.Process(self.pid)
        over = False
        while not over:
            try:
                now = process.memory_info().rss / MIB
            except psutil.Error:
                return
            if now:  # one that has ended has none, until somebody heeds its end
                self.seen.append(now)
            over = self._over.wait(1.0)

    def end(self) -> None:
        """Look no more."""
        self._over.set()

    def after(self, seconds: int) -> float:
        """What it was so long after the start, MiB."""
        return self.seen[min(seconds, len(self.seen) - 1)]

    def __str__(self) -> str:
        most = ", ".join(f"{max(self.seen[first : first + 60]):.0f}" for first in range(0, len(self.seen), 60))
        return (
            f"{self.after(1):.0f} MiB a second after the start, {self.after(WARM_SECONDS):.0f} after {WARM_SECONDS} s,"
            f" {max(self.seen):.0f} at most, {self.seen[-1]:.0f} at the end; the most of each minute: {most}"
        )


def soak(
    cluster: ApacheKafka, settings: dict[str, Any], log: Path, events: int, rate: float
) -> tuple[Any, Memory, int]:
    """Emit, and restart the leader every minute; what the process said last, its memory, and how often."""
    name = topic_name(OctopusConfig(**settings), Topic.task_metrics)
    restarts = 0
    with Run(settings, log, f"--last={events}", f"--rate={rate}") as run:
        memory = Memory(run.process.pid)
        watcher = threading.Thread(target=memory.watch)
        watcher.start()
        try:
            due = time.monotonic() + 60
            while not run.died and run.reached(0)["number"] < events:
                if time.monotonic() >= due:
                    due += 60
                    leader = cluster.leader(name)
                    cluster.stop(leader)
                    cluster.start(leader)
                    restarts += 1
                    number = run.reached(0)["number"]
                    print(f"{number:>9,} of {events:,} events, node {leader} restarted", flush=True)
                time.sleep(1)
            return run.finish(), memory, restarts
        finally:
            memory.end()
            watcher.join()
            for line in run.warnings:
                print(f"  it warned: {line}")


def read_by_us(config: OctopusConfig) -> tuple[int, int]:
    """How many events our own reader gives, and how many of them twice."""
    ids: Counter[str] = Counter(event.id for event in tasks(config=config))
    return len(ids), ids.total() - len(ids)


def main() -> int:
    """Run it; 0 where all is as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=2000.0, help="events per second")
    parser.add_argument("--nodes", type=int, default=3, choices=(1, 3))
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/delivery.md")
    options = parser.parse_args()
    events = int(options.minutes * 60 * options.rate)
    with (
        tempfile.TemporaryDirectory(prefix="octopus-soak-") as home,
        ApacheKafka(nodes=options.nodes, secure=True) as cluster,
    ):
        settings = {**cluster.add_user(USER), "spool_dir": Path(home) / "spool"}
        cluster.create_topics(USER)
        config = OctopusConfig(**settings)
        told, memory, restarts = soak(cluster, settings, Path(home) / "log", events, options.rate)
        found = look(config)
        read, twice = read_by_us(config)
    growth = max(memory.seen) - memory.after(WARM_SECONDS)
    checks = {
        "nothing lost": len(found.ids) == read == events and told["delivered"] == events,
        "nothing twice by id": twice == 0,
        "in order per task": found.out_of_order == 0,
        "nothing dropped": told["dropped"] == told["rejected"] == told["spooled"] == 0,
        f"memory grew by no more than {BOUND_MIB:g} MiB": growth <= BOUND_MIB,
    }
    text = report(options, events, restarts, told, found, memory)
    print(text)
    for check, holds in checks.items():
        print(f"  {'ok    ' if holds else 'MISSED'} {check}")
    if options.write_docs:
        write_section("soak", f"{text}\n{measured('make soak')}")
    return 0 if all(checks.values()) else 1


def report(options: Any, events: int, restarts: int, told: dict[str, Any], found: Found, memory: Memory) -> str:
    """What happened, in a few lines of Markdown."""
    nodes = f"{options.nodes} secure node{'s' if options.nodes > 1 else ''}"
    ids, copies = len(found.ids), found.records - len(found.ids)
    return "\n".join(
        [
            f"{options.minutes:g} minutes at {options.rate:,.0f} events/s to {nodes}, the leader of the topic restarted"
            f" every minute ({restarts} times):",
            "",
            f"- {events:,} events emitted, {told['delivered']:,} acknowledged; {found.records:,} records in the topic,"
            f" {ids:,} events by id, {copies:,} second copies.",
            f"- Memory of the process that emits: {memory}.",
            f"- The longest call of `emit`: {told['slowest'] * 1000:.0f} ms.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
