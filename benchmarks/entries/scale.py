"""One long run: what each task costs, and what the processes hold, after a thousand tasks and after a million."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.figures import Figure, Goal, Options, Result, Spread
from benchmarks.session import environment, watched
from benchmarks.usage import MIB, process_cpu, resident, session_cpu
from octopus_plugins.config import OctopusConfig
from octopus_plugins.local import EmbeddedBroker
from octopus_plugins.streams import tasks

DRIVER = Path(__file__).with_name("scale_driver.py")
FLAT = 1.2
"""How much more a task may cost at the end than at the first mark."""

MEMORY = 256.0
"""MiB that the submitting process and the decider may hold more at the end than at the first mark (DESIGN §10)."""

VARIANTS = {"none": "without us", "octopus": "everything on"}
STATES = ("pending", "launched", "running", "running_ended", "exec_done")
_MAX_RATE_SECONDS = 0.02  # for a task, on a very busy machine


@dataclass(frozen=True, slots=True)
class Mark:
    """What was seen when so many tasks had ended.

    Attributes:
        ended: Tasks, without those that warmed up.
        time: When, on a clock of its own.
        cpu: CPU seconds until then of the run's processes, of the broker, and of the decider service.
        memory: Bytes resident, of the submitting process, of the broker, and of the decider service.
    """

    ended: int
    time: float
    cpu: tuple[float, float, float]
    memory: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """The tasks before a mark.

    Attributes:
        at: How many had ended at its end.
        tasks: How many these are.
        cpu: Microseconds of CPU for each, of all processes.
        host: Of these, those of the run's own processes.
        wall: Microseconds for each.
        memory: MiB at its end: submitting process, broker, decider service.
    """

    at: int
    tasks: int
    cpu: float
    host: float
    wall: float
    memory: tuple[float, float, float]


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


def stages(marks: Sequence[Mark], sizes: Sequence[int]) -> list[Stage]:
    """What the marks come to, a stage for each size."""
    seen = {mark.ended: mark for mark in marks}
    found = []
    for size in sizes:
        count = share(size)
        begin, end = seen[size - count], seen[size]
        cpu = [1e6 * (after - before) / count for before, after in zip(begin.cpu, end.cpu, strict=True)]
        submitting, broker, service = (each / MIB for each in end.memory)
        wall = 1e6 * (end.time - begin.time) / count
        found.append(Stage(size, count, sum(cpu), cpu[0], wall, (submitting, broker, service)))
    return found


def measure(options: Options) -> Result:
    """Cost per task at 10³, 10⁴, … tasks of one run with everything on, and the memory it takes (--scale 1000000)."""
    amounts = Amounts(250, (1_000, 3_000)) if options.quick else Amounts(2_000, sizes_up_to(options.scale))
    found, missing = {}, []
    for variant in VARIANTS:
        with tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
            run = _Run(variant, amounts, Path(directory))
            found[variant] = stages(run.marks, amounts.sizes)
            missing += run.missing
    return result(found, amounts, missing)


def result(found: dict[str, list[Stage]], amounts: Amounts, missing: list[str]) -> Result:
    """The figures of both runs."""
    ours, none = found["octopus"], found["none"]
    top = amounts.sizes[-1]
    first = amounts.sizes[0]
    flat = Goal(FLAT, at_least=False, source="issue 6")
    figures = [
        Figure(f"CPU per task at {top:,}, everything on, / at {first:,}", _one(ours[-1].cpu / ours[0].cpu), "×", flat),
        Figure(f"CPU per task at {top:,}, without us, / at {first:,}", _one(none[-1].cpu / none[0].cpu), "×"),
        Figure(f"time per task at {top:,}, everything on, / at {first:,}", _one(ours[-1].wall / ours[0].wall), "×"),
    ]
    for name, place in (("submitting process", 0), ("decider service", 2)):
        grown = ours[-1].memory[place] - ours[0].memory[place]
        goal = Goal(MEMORY, at_least=False)
        figures.append(Figure(f"growth of the {name} from {first:,} to {top:,}", _one(grown), "MiB", goal))
    for variant, said in VARIANTS.items():
        for stage in found[variant]:
            at = f"at {stage.at:,}, {said}:"
            figures += [
                Figure(f"{at} CPU per task", _one(stage.cpu), "µs"),
                Figure(f"{at} time per task", _one(stage.wall), "µs"),
                Figure(f"{at} submitting process", _one(stage.memory[0]), "MiB"),
            ]
            if variant == "octopus":
                figures += [
                    Figure(f"{at} CPU per task of the run's own processes", _one(stage.host), "µs"),
                    Figure(f"{at} decider service", _one(stage.memory[2]), "MiB"),
                    Figure(f"{at} broker, which keeps all events in memory", _one(stage.memory[1]), "MiB"),
                ]
    notes = (
        f"one run each; no-op tasks, 2 workers, {amounts.window:,} on their way at once; {amounts.warm_up:,} tasks"
        " before the first that counts. The cost at a size is that of the last tenth of the tasks before it, at least"
        " 1,000",
        "everything on: task states, worker start and end, samples every 1 s, node heartbeats, retry handler, embedded"
        " broker, and a decider service that takes in all of it; CPU is that of all of them together",
        "a million tasks: --scale 1000000, which takes about an hour and some GiB for the embedded broker",
        *(missing or [f"every one of the {len(STATES)} events of every task was in the topic, exactly once by id"]),
    )
    raw = {variant: [asdict(stage) for stage in each] for variant, each in found.items()}
    return Result("scale", "one long run", tuple(figures), notes, raw)


@dataclass(slots=True)
class _Run:
    """One run; it is over once this is made."""

    variant: str
    amounts: Amounts
    directory: Path
    marks: list[Mark] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        warm, namespace = self.amounts.warm_up, f"bench-{uuid.uuid4().hex[:12]}"
        ours = self.variant == "octopus"
        with EmbeddedBroker() as broker:
            surroundings = environment(broker.address, namespace, self.directory / "spool")
            with _service(surroundings, self.directory) if ours else contextlib.nullcontext(0) as service:

                def hear(session: int, line: str) -> None:
                    words = line.split()
                    if words[:1] == ["mark"]:
                        others = (broker.pid, service) if ours else (0, 0)
                        self.marks.append(
                            Mark(
                                int(words[1]) - warm,
                                time.monotonic(),
                                (session_cpu(session), *map(process_cpu, others)),  # type: ignore[arg-type]
                                tuple(map(resident, (session, *others))),  # type: ignore[arg-type]
                            )
                        )

                marks = [str(warm + mark) for mark in self.amounts.marks]
                command = [sys.executable, str(DRIVER), self.variant, str(self.directory / "run")]
                limit = 120 + (warm + self.amounts.sizes[-1]) * _MAX_RATE_SECONDS
                watched([*command, str(self.amounts.window), *marks], surroundings, self.directory, limit, hear)
            if ours:
                self._count(OctopusConfig.load(profile="local", bootstrap_servers=broker.address, namespace=namespace))

    def _count(self, config: OctopusConfig) -> None:
        expected = self.amounts.warm_up + self.amounts.sizes[-1]
        found = tasks(config=config).count_by("state")
        self.missing += [
            f"{found.get(state, 0):,} of {expected:,} events {state!r} in the topic"
            for state in STATES
            if found.get(state, 0) != expected
        ]


@contextlib.contextmanager
def _service(surroundings: dict[str, str], directory: Path) -> Iterator[int]:
    """A decider service of its own; its process id."""
    log = directory / "service.log"
    with log.open("wb") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", "octopus_plugins.cli", "wrath", "serve"],
            env=surroundings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield service.pid
        if service.poll() is not None:
            raise RuntimeError(f"the decider service ended:\n{log.read_text(errors='replace')[-2000:]}")
    finally:
        service.kill()
        service.wait()


def _one(value: float) -> Spread:
    return Spread.of([value])
