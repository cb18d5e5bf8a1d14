"""What a run on a thousand nodes would send, and what would give in first: a model made of measured constants.

python -m benchmarks.scale_model               # print the tables
python -m benchmarks.scale_model --refresh     # take the constants from the newest results in build/bench, first
python -m benchmarks.scale_model --write-docs  # put the tables into docs/scale.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.entries.sample_events import failure, sample
from octopus_plugins.events import Decision, Event, Heartbeat, NodeState, Placement, WorkerState, encode
from octopus_plugins.fabric.produce.budget import HEADROOM

ROOT = Path(__file__).resolve().parents[1]
CONSTANTS = Path(__file__).with_name("scale_constants.json")
RESULTS = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- written by benchmarks.scale_model: begin -->", "<!-- written by benchmarks.scale_model: end -->"

MB = 1e6
PARTITION_BYTES = 5 * MB
"""Bytes a second that one partition takes in: the quota of Amazon MSK Serverless, as an assumption for any service."""

DIRECT_SAMPLE_SECONDS = 10.0
"""With ``direct`` a node still tells the submit side one sample of each try in so many seconds (docs/workers.md)."""

_WORKERS = (1_000, 10_000, 100_000)

BROKER = "a node of Apache Kafka, one core"
"""No wall: nobody would have that one for such a run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run.

    Attributes:
        task_seconds: How long a task takes.
        nodes: How many.
        workers: On each.
        sample_period: Seconds between two samples of a running try, as set; infinite takes none.
        sample_budget: Bytes a second, before compression, that the samples may come to; None is without a bound.
        heartbeat_period: Seconds between two heartbeats of a node.
        failing: Share of the tries that fail.
        direct: Whether nodes produce their samples themselves.
        together: Whether a node tells the samples of all its workers in one record, as pools with the agent do.
        partitions: Of the topic of tasks and samples.
    """

    task_seconds: float
    nodes: int = 1_000
    workers: int = 100
    sample_period: float = 1.0
    sample_budget: float | None = 1 * MB
    heartbeat_period: float = 10.0
    failing: float = 0.01
    direct: bool = False
    together: bool = True
    partitions: int = 1

    @property
    def tasks(self) -> float:
        """Tries a second, where every worker has one all the time."""
        return self.nodes * self.workers / self.task_seconds

    def stretch(self, known: Mapping[str, float]) -> float:
        """How many times further apart than set the samples are, to keep within the budget."""
        if self.sample_budget is None:
            return 1.0
        demand = self.nodes * self.workers / self.sample_period * known[f"sample_bytes{self._how}"]
        return max(demand / (HEADROOM * self.sample_budget), 1.0)

    def samples(self, known: Mapping[str, float]) -> float:
        """Measurements a second, of all workers: whichever try a worker has when its node samples."""
        return self.nodes * self.workers / (self.sample_period * self.stretch(known))

    def of_sample(self, what: str, known: Mapping[str, float]) -> float:
        """A constant of one sample, in a node's record or alone."""
        return known[f"sample_{what}{self._how}"]

    @property
    def _how(self) -> str:
        return "" if self.together else "_alone"


@dataclass(frozen=True, slots=True)
class Flow:
    """What a topic gets.

    Attributes:
        events: Records a second.
        bytes: Bytes a second, before compression.
        stored: Bytes a second as they are sent and kept.
    """

    events: float
    bytes: float
    stored: float


def flows(plan: Plan, known: Mapping[str, float]) -> dict[str, Flow]:
    """What each topic gets of a run."""
    squeezed = known["stored_per_task"] / known["bytes_per_task"]
    measured = plan.samples(known)
    of_samples = Flow(
        measured / plan.workers if plan.together else measured,
        measured * plan.of_sample("bytes", known),
        measured * plan.of_sample("kept", known),
    )
    failed = plan.tasks * plan.failing
    of_tasks = plan.tasks * known["records_per_task"]
    return {
        "task-metrics: task states": Flow(
            of_tasks, plan.tasks * known["bytes_per_task"], plan.tasks * known["stored_per_task"]
        ),
        "task-metrics: samples": of_samples,
        "heartbeats": _flow(plan.nodes / plan.heartbeat_period, _size(_beat(plan.workers)), squeezed),
        "failures": _flow(failed, _size(failure(0)), squeezed),
        "decisions": _flow(failed, _size(_decision()), squeezed),
    }


def loads(plan: Plan, known: Mapping[str, float]) -> dict[str, float]:
    """How much of each thing that there is once a run takes: 1 is all of it, above 1 it cannot be done."""
    sent = flows(plan, known)
    measured = through_us = plan.samples(known)
    if plan.direct:
        through_us = min(through_us, plan.nodes * plan.workers / DIRECT_SAMPLE_SECONDS)
    partition = sent["task-metrics: task states"].stored + sent["task-metrics: samples"].stored
    per_event = known["decider_per_task"] / known["records_per_task"]
    taken_in = sent["task-metrics: task states"].events + sent["heartbeats"].events
    deciding = taken_in * per_event + measured * plan.of_sample("deciding", known)
    submitting = through_us * plan.of_sample("submitting", known) / 1e6
    return {
        "Parsl's submitting process, without us": plan.tasks * known["submitting_without"] / 1e6,
        "what we add to it for task states": plan.tasks * _ours(known) / 1e6,
        "and for samples and heartbeats": submitting + sent["heartbeats"].events / known["emitter_rate"],
        "a partition of task-metrics": partition / plan.partitions / PARTITION_BYTES,
        "a decider service": (deciding + sent["failures"].events * known["decider_per_failure"]) / 1e6,
        BROKER: sum(one.events for one in sent.values()) * known["broker_per_task"] / known["records_per_task"] / 1e6,
    }


def first_wall(plan: Plan, known: Mapping[str, float]) -> tuple[str, float]:
    """What is the fullest, and how full; the three parts of the submitting process are one."""
    found = loads(plan, known)
    parsl, states, samples, *_ = found
    together = {"the submitting process": found[parsl] + found[states] + found[samples]}
    together |= {name: load for name, load in found.items() if name not in {parsl, states, samples, BROKER}}
    name = max(together, key=lambda each: together[each])
    return name, together[name]


def tables(constants: Mapping[str, Mapping[str, Any]]) -> str:
    """The model in Markdown: what it is made of, what would be sent, what is how full."""
    known = {name: float(one["value"]) for name, one in constants.items()}
    lines = ["What it is made of:", "", *_table(("constant", "value", "measured by", "on"), _constants(constants)), ""]
    plans = {f"tasks of {seconds:g} s": Plan(seconds) for seconds in (10, 60, 600)}
    said = "What each topic gets by default: records/s; MB/s; MB/s as compressed:"
    lines += [said, "", *_table(("topic", *plans), _sent(plans, known)), ""]
    lines += ["How full that makes what there is once (1 is all of it):", ""]
    lines += [*_table(("what", *plans), _full(plans, known)), "", "What moves the walls, tasks of 60 s:", ""]
    head = (
        "setting",
        "seconds between samples",
        "cores of the submit side for them",
        "MB/s of them as compressed",
        "partition",
        "decider",
        "first wall",
    )
    lines += [*_table(head, _moved(levers(), known)), ""]
    lines += ["Seconds between samples that a budget leaves, by workers, tasks of any length:", ""]
    lines += _table(("budget; as compressed", *(f"{count:,} workers" for count in _WORKERS)), _periods(known))
    return "\n".join(lines)


def levers() -> dict[str, Plan]:
    """Settings, by what they are called, and what could be built."""
    plan = Plan(60)
    free = replace(plan, sample_budget=None)
    return {
        "by default (`sample_budget=1000000`)": plan,
        "a tenth of it (`sample_budget=100000`)": replace(plan, sample_budget=0.1 * MB),
        "no samples (`sample_period=0`)": replace(plan, sample_period=float("inf")),
        "without a bound (`sample_budget=0`)": free,
        "the same, pools without the agent": replace(free, together=False),
        "without a bound, nodes produce samples themselves (`direct=True`)": replace(free, direct=True),
        "the same, 8 partitions (a Kafka of one's own)": replace(free, direct=True, partitions=8),
    }


def refreshed(constants: Mapping[str, Mapping[str, Any]], results: Path) -> dict[str, dict[str, Any]]:
    """The constants as the newest results have them; those that no result has stay as they are."""
    fresh = {name: dict(one) for name, one in constants.items()}
    for path in sorted(results.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("quick"):
            continue
        for result in content["results"]:
            for one in fresh.values():
                if one["entry"] == result["entry"] and (value := _value(one, result)) is not None:
                    one["value"], one["measured"] = float(f"{value:.4g}"), content["time"][:10]
    return fresh


def main(arguments: list[str] | None = None) -> int:
    """Print the tables, or write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refresh", action="store_true", help="take the constants from build/bench first")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/scale.md")
    asked = parser.parse_args(arguments)
    constants = json.loads(CONSTANTS.read_text(encoding="utf-8"))
    if asked.refresh:
        constants = refreshed(constants, RESULTS)
        CONSTANTS.write_text(json.dumps(constants, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(tables(constants))
    if asked.write_docs:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{tables(constants)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


def _value(one: Mapping[str, Any], result: Mapping[str, Any]) -> float | None:
    if "figure" in one:
        # Some names end with the sizes that were asked for; where one is whole, that one is meant.
        found = {each["name"]: each["value"]["median"] for each in result["figures"]}
        names = [name for name in found if name.startswith(one["figure"])]
        names.sort(key=lambda name: (name != one["figure"], name))
        return float(found[names[0]]) if names else None
    try:
        value: Any = result["raw"]
        for step in one["raw"]:
            value = value[step]
        return float(value)
    except (KeyError, IndexError):  # a result of before it was measured
        return None


def _ours(known: Mapping[str, float]) -> float:
    return max(known["submitting_with"] - known["submitting_without"], 0.0)


def _flow(events: float, size: float, squeezed: float) -> Flow:
    return Flow(events, events * size, events * size * squeezed)


def _size(event: Event) -> int:
    return len(encode(event)) + len(event.key)


def _beat(workers: int) -> Heartbeat:
    first = sample(0)
    return Heartbeat(
        run_id=first.run_id, time=first.time, host="node001.cluster.example", period=10.0, executor="htex", block="0",
        manager="b2f1c6d0a9e4", pid=4242, worker_count=workers,
        workers=tuple(WorkerState(pid=10_000 + number, rss=183_500_800) for number in range(workers)),
        node=NodeState(time=first.time, cpus=128, load=97.5, memory_total=2**38, memory_available=2**37,
                       disk_total=2**40, disk_free=2**39, tmp_free=2**38, oom_kills=0),
    )  # fmt: skip


def _decision() -> Decision:
    failed = failure(0)
    return Decision(
        run_id=failed.run_id,
        time=failed.time,
        task_id=failed.task_id,
        action="retry",
        category="out_of_memory",
        layer="environment",
        reason="ran out of memory on small: large has 64.0 GiB for each worker",
        placement=Placement(rung="other_executor", executor="large"),
        policy="default",
        decider="service",
    )


def _constants(constants: Mapping[str, Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    for one in constants.values():
        command = f'`make bench OPTIONS="--only {one["entry"]}"`'
        yield one["said"], f"{one['value']:,.4g} {one['unit']}", command, one["measured"]
    sizes = {
        "a heartbeat of a node with 100 workers": _size(_beat(100)),
        "a failure": _size(failure(0)),
        "a decision": _size(_decision()),
    }
    for said, size in sizes.items():
        yield said, f"{size:,} bytes", "`python -m benchmarks.scale_model`", "each time"


def _sent(plans: Mapping[str, Plan], known: Mapping[str, float]) -> Iterator[Sequence[str]]:
    found = [flows(plan, known) for plan in plans.values()]
    for topic in found[0]:
        cells = [each[topic] for each in found]
        yield topic, *(f"{one.events:,.0f}; {one.bytes / MB:,.2f}; {one.stored / MB:,.2f}" for one in cells)


def _full(plans: Mapping[str, Plan], known: Mapping[str, float]) -> Iterator[Sequence[str]]:
    found = [loads(plan, known) for plan in plans.values()]
    for what in found[0]:
        yield what, *(f"{each[what]:,.2f}" for each in found)
    yield "**first wall**", *(_wall(plan, known) for plan in plans.values())


def _moved(levers: Mapping[str, Plan], known: Mapping[str, float]) -> Iterator[Sequence[str]]:
    for said, plan in levers.items():
        full = loads(plan, known)
        stored = flows(plan, known)["task-metrics: samples"].stored / MB
        _, _, samples, partition, decider, _ = full
        every = f"{plan.sample_period * plan.stretch(known):,.1f}" if plan.samples(known) else "–"
        row = every, f"{full[samples]:,.2f}", f"{stored:,.2f}"
        yield said, *row, f"{full[partition]:,.2f}", f"{full[decider]:,.2f}", _wall(plan, known)


def _periods(known: Mapping[str, float]) -> Iterator[Sequence[str]]:
    for budget in (0.1 * MB, 1 * MB, 5 * MB):
        kept = budget * HEADROOM * known["sample_kept"] / known["sample_bytes"] / MB
        plans = [Plan(60, nodes=count // 100, sample_budget=budget) for count in _WORKERS]
        yield f"{budget / MB:g} MB/s; {kept:,.2f}", *(f"{plan.stretch(known):,.1f} s" for plan in plans)


def _wall(plan: Plan, known: Mapping[str, float]) -> str:
    name, load = first_wall(plan, known)
    return f"{name}, {load:,.1f} ×"


def _seconds(value: float) -> str:
    return "task states alone are more" if value == float("inf") else f"{value:,.1f} s"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


if __name__ == "__main__":
    sys.exit(main())
