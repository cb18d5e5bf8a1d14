"""One long run: what each task costs, and what the processes hold, after a thousand tasks and after a million."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from benchmarks.entries.decider_service import check, serving
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.pace import Pace
from benchmarks.session import environment, watched
from benchmarks.usage import MIB, process_cpu, resident, session_cpu
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Topic
from octopus_plugins.fabric import topic_name
from octopus_plugins.fabric.kafka.reader import reading_options
from octopus_plugins.local import ApacheKafka
from octopus_plugins.streams import tasks

DRIVER = Path(__file__).with_name("scale_driver.py")
FLAT = 1.2
"""How much more a task may cost at the end than at the first mark."""

MEMORY = 256.0
"""MiB that the submitting process and the decider may hold more at the end than at the first mark (DESIGN §10)."""

VARIANTS = {"none": "without us", "octopus": "everything on"}
STATES = ("pending", "launched", "running", "running_ended", "exec_done")
ENOUGH = 100_000
"""Tasks of the run without us, which is only there to compare with."""

_TASK_SECONDS = 0.02  # for a task, on a very busy machine
_READ_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Mark:
    """What was seen when so many tasks had ended.

    Attributes:
        ended: Tasks, without those that warmed up.
        time: When, on a clock of its own.
        cpu: CPU seconds until then of all the run's processes, of the submitting one among them, of the broker, and of
            the decider service.
        memory: Bytes resident, of the submitting process, of the broker, and of the decider service.
    """

    ended: int
    time: float
    cpu: tuple[float, float, float, float]
    memory: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """The tasks before a mark.

    Attributes:
        at: How many had ended at its end.
        tasks: How many these are.
        run: Microseconds of CPU for each, of all the run's own processes.
        submitting: Of these, those of the submitting process.
        broker: Those of the broker.
        service: Those of the decider service.
        wall: Microseconds for each.
        memory: MiB at its end: submitting process, broker, decider service.
        pace: Microseconds of CPU that a piece of work took that is always the same: how quick the machine was.
    """

    at: int
    tasks: int
    run: float
    submitting: float
    broker: float
    service: float
    wall: float
    memory: tuple[float, float, float]
    pace: float

    @property
    def cpu(self) -> float:
        """Microseconds of CPU for each task, of all processes."""
        return self.run + self.broker + self.service

    @property
    def paced(self) -> float:
        """The same, in pieces of the work that is always the same."""
        return self.cpu / self.pace


@dataclass(frozen=True, slots=True)
class Sent:
    """What there is in the topic of tasks and samples in the end.

    Attributes:
        records: How many.
        bytes: Keys and values of all, as they were before compression.
        kept: Bytes that the broker keeps them in on its disk.
    """

    records: int
    bytes: int
    kept: int


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much one run does.

    Attributes:
        window: Tasks on their way at once.
        sizes: Where the cost is told.
    """

    window: int
    sizes: tuple[int, ...]

    @property
    def warm_up(self) -> int:
        """Tasks that do not count: until as many are submitted as end."""
        return 2 * self.window

    @property
    def marks(self) -> list[int]:
        """Where the driver says how far it is: the begin, and both ends of what is measured at each size."""
        return sorted({0} | {mark for size in self.sizes for mark in (size - share(size), size)})


def share(size: int) -> int:
    """The last tasks before a size, that the cost there is measured by: a tenth, at least a thousand."""
    return min(size, max(size // 10, 1_000))


def sizes_up_to(top: int) -> tuple[int, ...]:
    """A thousand and its decades, up to the number of tasks that was asked for, and that number itself."""
    decades = [1_000]
    while decades[-1] * 10 < top:
        decades.append(decades[-1] * 10)
    return tuple(sorted({*decades, top}))


def stages(marks: Sequence[Mark], sizes: Sequence[int], pace: Callable[[float, float], float]) -> list[Stage]:
    """What the marks come to, a stage for each size.

    Args:
        marks: What was seen.
        sizes: Where the cost is told.
        pace: Tells how quick the machine was between two moments.
    """
    seen = {mark.ended: mark for mark in marks}
    found = []
    for size in sizes:
        count = share(size)
        begin, end = seen[size - count], seen[size]
        cpu = [1e6 * (after - before) / count for before, after in zip(begin.cpu, end.cpu, strict=True)]
        submitting, broker, service = (each / MIB for each in end.memory)
        wall = 1e6 * (end.time - begin.time) / count
        quick = pace(begin.time, end.time)
        found.append(Stage(size, count, *cpu, wall, (submitting, broker, service), quick))
    return found


def measure(options: Options) -> Result:
    """Cost per task at 10³, 10⁴, … tasks of one run with everything on, and the memory it takes (--scale 1000000)."""
    amounts = Amounts(250, (1_000, 3_000)) if options.quick else Amounts(2_000, sizes_up_to(options.scale))
    found: dict[str, list[Stage]] = {}
    missing: list[str] = []
    sent = Sent(0, 0, 0)
    short = Amounts(amounts.window, tuple(size for size in amounts.sizes if size <= ENOUGH))
    for variant in VARIANTS:
        doing = amounts if variant == "octopus" else short
        with tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory, Pace() as pace:
            run = _Run(variant, doing, Path(directory))
            found[variant] = stages(run.marks, doing.sizes, pace.between)
            missing += run.missing
            sent = run.sent
    return result(found, amounts, sent, missing)


def result(found: dict[str, list[Stage]], amounts: Amounts, sent: Sent, missing: list[str]) -> Result:
    """The figures of both runs.

    Args:
        found: What was seen at each size, by variant.
        amounts: How much each run did.
        sent: What ours sent.
        missing: What should have been in the topics and was not, in words.
    """
    ours, none = found["octopus"], found["none"]
    top = amounts.sizes[-1]
    first = amounts.sizes[0]
    flat = Goal(FLAT, at_least=False, source="issue 6")
    figures = [
        Figure(f"CPU per task at {top:,}, everything on, / at {first:,}", _one(ours[-1].cpu / ours[0].cpu), "×", flat),
        Figure(
            f"the same, by how quick the machine was at {top:,} and at {first:,}",
            _one(ours[-1].paced / ours[0].paced),
            "×",
            flat,
        ),
        Figure(
            f"the same, at {top:,} / where it is least before",
            _one(ours[-1].paced / min(stage.paced for stage in ours[:-1] or ours)),
            "×",
            flat,
        ),
        Figure(
            f"CPU per task at {none[-1].at:,}, without us, / at {first:,}, by how quick the machine was",
            _one(none[-1].paced / none[0].paced),
            "×",
        ),
        Figure(f"time per task at {top:,}, everything on, / at {first:,}", _one(ours[-1].wall / ours[0].wall), "×"),
    ]
    for name, place in (("submitting process", 0), ("decider service", 2)):
        grown = ours[-1].memory[place] - ours[0].memory[place]
        goal = Goal(MEMORY, at_least=False)
        figures.append(Figure(f"growth of the {name} from {first:,} to {top:,}", _one(grown), "MiB", goal))
    count = amounts.warm_up + top
    figures += [
        Figure("records per task", _one(sent.records / count), ""),
        Figure("bytes per task, keys and values, before compression", _one(sent.bytes / count), "bytes"),
        Figure("bytes per task that the broker keeps on its disk", _one(sent.kept / count), "bytes"),
    ]
    for variant, said in VARIANTS.items():
        for stage in found[variant]:
            at = f"at {stage.at:,}, {said}:"
            figures += [
                Figure(f"{at} CPU per task", _one(stage.cpu), "µs"),
                Figure(f"{at} time per task", _one(stage.wall), "µs"),
                Figure(f"{at} CPU of the work that is always the same", _one(stage.pace), "µs"),
                Figure(f"{at} CPU per task of the submitting process", _one(stage.submitting), "µs"),
                Figure(f"{at} submitting process", _one(stage.memory[0]), "MiB"),
            ]
            if variant == "octopus":
                figures += [
                    Figure(f"{at} CPU per task of the broker", _one(stage.broker), "µs"),
                    Figure(f"{at} CPU per task of the decider service", _one(stage.service), "µs"),
                    Figure(f"{at} decider service", _one(stage.memory[2]), "MiB"),
                    Figure(f"{at} broker", _one(stage.memory[1]), "MiB"),
                ]
    notes = (
        f"one run each; no-op tasks, 2 workers, {amounts.window:,} on their way at once; {amounts.warm_up:,} tasks"
        " before the first that counts. The cost at a size is that of the last tenth of the tasks before it, at least"
        " 1,000",
        "everything on: task states, worker start and end, samples every 1 s, node heartbeats, retry handler, a node of"
        " Apache Kafka, and a decider service that takes in all of it; CPU is that of all of them together",
        "how quick the machine was: what a fixed piece of work took, looked at once a second; now and then it is twice"
        " what it was",
        f"a million tasks: --scale 1000000, which takes half an hour or so; the run without us has {none[-1].at:,}",
        *(missing or [f"every one of the {len(STATES)} events of every task was in the topic, exactly once by id"]),
    )
    raw = {variant: [{**asdict(stage), "cpu": stage.cpu} for stage in each] for variant, each in found.items()}
    return Result("scale", "one long run", tuple(figures), notes, raw)


@dataclass(slots=True)
class _Run:
    """One run; it is over once this is made."""

    variant: str
    amounts: Amounts
    directory: Path
    marks: list[Mark] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    sent: Sent = Sent(0, 0, 0)

    def __post_init__(self) -> None:
        warm, namespace = self.amounts.warm_up, f"bench-{uuid.uuid4().hex[:12]}"
        ours = self.variant == "octopus"
        with ApacheKafka() as kafka:
            surroundings = {
                **environment(kafka.address, namespace, self.directory / "spool"),
                "OCTOPUS_PROFILE": "kafka",
            }
            (broker,) = kafka.pids.values()
            log = self.directory / "service.log"
            with serving(surroundings, log) if ours else contextlib.nullcontext() as service:
                others = (broker, service.pid) if service is not None else (0, 0)

                def hear(session: int, line: str) -> None:
                    words = line.split()
                    if words[:1] == ["mark"]:
                        self.marks.append(
                            Mark(
                                int(words[1]) - warm,
                                time.monotonic(),
                                (session_cpu(session), process_cpu(session), *map(process_cpu, others)),  # type: ignore[arg-type]
                                tuple(map(resident, (session, *others))),  # type: ignore[arg-type]
                            )
                        )

                marks = [str(warm + mark) for mark in self.amounts.marks]
                command = [sys.executable, str(DRIVER), self.variant, str(self.directory / "run")]
                limit = 120 + (warm + self.amounts.sizes[-1]) * _TASK_SECONDS
                watched([*command, str(self.amounts.window), *marks], surroundings, self.directory, limit, hear)
                if service is not None:
                    check(service, log)
            if ours:
                config = OctopusConfig.load(profile="kafka", bootstrap_servers=kafka.address, namespace=namespace)
                self._count(config, kafka.home)

    def _count(self, config: OctopusConfig, home: Path) -> None:
        expected = self.amounts.warm_up + self.amounts.sizes[-1]
        found = tasks(config=config).count_by("state")
        self.missing += [
            f"{found.get(state, 0):,} of {expected:,} events {state!r} in the topic"
            for state in STATES
            if found.get(state, 0) != expected
        ]
        self.sent = sent(config, home)


def sent(config: OctopusConfig, home: Path) -> Sent:
    """What there is in the topic of tasks and samples.

    Args:
        config: Which topic.
        home: Where the broker keeps it, a single node of Apache Kafka.
    """
    kept = sum(log.stat().st_size for log in home.rglob(f"{topic_name(config, Topic.task_metrics)}-0/*.log"))
    consumer = Consumer(reading_options(config))
    consumer.assign([TopicPartition(topic_name(config, Topic.task_metrics), 0, OFFSET_BEGINNING)])
    records = size = 0
    deadline, ended = time.monotonic() + _READ_SECONDS, False
    while not ended:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the topic could not be read within {_READ_SECONDS:g} s")
        for message in consumer.consume(1000, 0.5):
            if message.error() is None:
                records += 1
                size += len(message.key() or b"") + len(message.value() or b"")
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended = True
    consumer.close()
    return Sent(records, size, kept)


def _one(value: float) -> Spread:
    return Spread.of([value])
