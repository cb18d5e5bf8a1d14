"""The resource samples of a thousand nodes with a hundred workers each, as the submit side gets them.

The nodes are made up; what they send, the story that takes it in, the emitter and its budget, and the broker are real.
"""

from __future__ import annotations

import heapq
import pickle
import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.entries.sample_events import BEGIN, RUN_ID
from benchmarks.entries.scale import Sent, sent
from benchmarks.figures import Figure, Goal, Options, Result, Spread
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Topic
from octopus_plugins.fabric import Emitter, ensure_topics
from octopus_plugins.fabric.kafka.follower import Follower, Wanted
from octopus_plugins.htex.observation import TAG
from octopus_plugins.local import ApacheKafka
from octopus_plugins.plugins import Plugins
from parsl_monitor.run.attempts import Attempts
from parsl_monitor.run.recorder import Story

EXECUTOR = "htex"
PERIOD = 1.0
"""Seconds between two samples, as set by default."""

NOTICE_SECONDS = 1.2
"""How long a pool waits for a notice at most: the interchange hands them out once a second, a pool looks each 0.2 s."""

SETTLED = 1 / 3
"""The last part of the run within the budget that counts: by then all nodes have learnt."""

_RATE = 1.1
"""How much more than the budget it may come to, for chance."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much there is.

    Attributes:
        nodes: Nodes.
        workers: On each, all busy.
        messages: Of nodes, that are told without a bound to see what each costs.
        seconds: How long all nodes send within the budget.
    """

    nodes: int = 1_000
    workers: int = 100
    messages: int = 300
    seconds: float = 90.0


class Nodes:
    """The nodes: what each says next, and when.

    Args:
        amounts: How many.
    """

    def __init__(self, amounts: Amounts) -> None:
        self._amounts = amounts
        self._chance = random.Random(6)
        self.stretch = 1.0
        self._due = [(self._chance.random() * PERIOD, node, 0) for node in range(amounts.nodes)]
        heapq.heapify(self._due)

    def retime(self, stretch: float, now: float) -> None:
        """All hear of a stretch: each waits for a part of its period, as `octopus_plugins.htex.pool.sampling` does."""
        self.stretch = stretch
        self._due = [(now + self._chance.random() * PERIOD * stretch, node, n) for _, node, n in self._due]
        heapq.heapify(self._due)

    def due(self, now: float) -> Iterator[bytes]:
        """What has to be told by now, as it comes over Parsl's channel."""
        while self._due[0][0] <= now:
            when, node, number = self._due[0]
            heapq.heapreplace(self._due, (when + PERIOD * self.stretch, node, number + 1))
            yield pickle.dumps((TAG, self.message(node, number)))

    def message(self, node: int, number: int) -> dict[str, Any]:
        """What a node says of all its workers."""
        tries = [self._sample(node * self._amounts.workers + worker, worker, number) for worker in range(self._workers)]
        return {
            "kind": "samples",
            "executor": EXECUTOR,
            "place": self._place(node),
            "time": BEGIN + number,
            "period": PERIOD * self.stretch,
            "stretch": self.stretch,
            "tries": tries,
        }

    def alone(self, node: int, number: int) -> Iterator[bytes]:
        """The same as each worker would say it, in a pool without the agent."""
        message = self.message(node, number)
        for each in message["tries"]:
            place = {**message["place"], "worker_id": each["worker_id"], "pid": each["pid"]}
            about = {name: each[name] for name in ("number", "started", "sequence", "usage")}
            yield pickle.dumps((TAG, {"kind": "sample", "executor": EXECUTOR, **about, "place": place}))

    @property
    def _workers(self) -> int:
        return self._amounts.workers

    def _place(self, node: int) -> dict[str, Any]:
        return {"host": f"node{node:04}.cluster.example", "block": str(node // 100), "manager": f"{node:012x}"}

    def _sample(self, number: int, worker: int, sequence: int) -> dict[str, Any]:
        chance = self._chance
        usage = {
            "time": BEGIN + sequence + worker / 1e4,
            "rss": 183_500_800 + 4096 * chance.randrange(10_000),
            "vms": 912_261_120 + 4096 * chance.randrange(10_000),
            "cpu_user": round(sequence * 0.97 + chance.random(), 2),
            "cpu_system": round(sequence * 0.02 + chance.random() / 10, 2),
            "open_files": 14 + chance.randrange(3),
            "threads": 3,
            "children": 0,
            "peak_rss": 230_500_352 + 4096 * chance.randrange(10_000),
        }
        about = {"number": number, "subject": None, "app": None, "worker_id": worker, "pid": 10_000 + worker}
        return {**about, "started": BEGIN, "sequence": sequence, "usage": usage}


@dataclass(slots=True)
class Submit:
    """The submit side: attempts of as many tasks as there are workers, a story, an emitter.

    Args:
        config: Where to.
        amounts: How much there is.
    """

    config: OctopusConfig
    amounts: Amounts
    emitter: Emitter = field(init=False)
    story: Story = field(init=False)

    def __post_init__(self) -> None:
        ensure_topics(self.config)
        attempts = Attempts()
        for number in range(self.amounts.nodes * self.amounts.workers):
            attempt = attempts.open(EXECUTOR)
            attempts.sent(attempt, number)
            attempt.task_id, attempt.announced = str(number), True
        self.emitter = Emitter(self.config)
        self.story = Story(self.emitter, Plugins(), attempts)
        self.story.run_id = RUN_ID

    def hear(self, packed: bytes) -> None:
        """Take in what came over Parsl's channel."""
        self.story.hear(pickle.loads(packed))

    def close(self) -> None:
        """Deliver all of it."""
        if not self.emitter.flush(120):
            raise RuntimeError(f"the samples were not all delivered within 120 s: {self.emitter.counts}")
        self.emitter.close()


@dataclass(frozen=True, slots=True)
class Cost:
    """What samples cost where there is no bound.

    Attributes:
        submitting: Microseconds of CPU of the submitting process, for each sample, until they are delivered.
        deciding: Microseconds that a reader takes for each; a decider service, which passes over them, takes less.
        sent: What is in the topic.
        samples: How many samples that is.
    """

    submitting: float
    deciding: float
    sent: Sent
    samples: int


@dataclass(frozen=True, slots=True)
class Bounded:
    """What became of a run whose samples had to be fewer.

    Attributes:
        rate: Bytes a second that were sent, in the last part.
        budget: What they may come to.
        stretch: How many times further apart than set the samples are, in the end.
        learnt: Seconds until none was left out any more; 0 where none was.
        late: How many were left out in the last part.
        load: Share of a core that the submitting process took for them, in the last part.
    """

    rate: float
    budget: float
    stretch: float
    learnt: float
    late: int
    load: float


def measure(options: Options) -> Result:
    """Samples of 1,000 nodes with 100 workers: together against each alone, and within the budget of a run."""
    amounts = Amounts(50, 20, 50, 15.0) if options.quick else Amounts()
    rounds = options.rounds(3)
    found: dict[str, list[Cost]] = {"together": [], "alone": []}
    with ApacheKafka() as kafka, tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
        for number in range(rounds):
            for how in found if number % 2 == 0 else reversed(found):
                found[how].append(_cost(_config(kafka, directory, sample_budget=0), kafka.home, amounts, how))
        settings = {"sample_budget": 5_000} if options.quick else {}
        bounded = _bounded(_config(kafka, directory, **settings), amounts)
    return result(found, bounded, amounts)


def result(found: dict[str, list[Cost]], bounded: Bounded, amounts: Amounts) -> Result:
    """The figures.

    Args:
        found: What samples cost, told together and each alone, in turn.
        bounded: What became of them within a budget.
        amounts: How many there were.
    """
    together, alone = found["together"], found["alone"]
    pairs = list(zip(together, alone, strict=True))
    figures = [
        Figure(
            "CPU of the submitting process: a sample in a node's record / alone",
            Spread.of(one.submitting / other.submitting for one, other in pairs),
            "×",
        ),
        Figure(
            "bytes that the broker keeps: a sample in a node's record / alone",
            Spread.of(one.sent.kept * other.samples / one.samples / other.sent.kept for one, other in pairs),
            "×",
        ),
        Figure(
            "bytes sent a second within the budget / the budget",
            Spread.of([bounded.rate / bounded.budget]),
            "×",
            Goal(_RATE, at_least=False, source="issue 6"),
        ),
        Figure("samples further apart than set", Spread.of([bounded.stretch]), "×"),
        Figure("until all nodes had learnt, and no sample was left out any more", Spread.of([bounded.learnt]), "s"),
        Figure("samples left out in the last third", Spread.of([float(bounded.late)]), ""),
        Figure("cores that the submitting process takes for samples within the budget", Spread.of([bounded.load]), ""),
    ]
    for said, costs in (("in a node's record", together), ("alone", alone)):
        figures += [
            Figure(f"a sample {said}: CPU of the submitting process", Spread.of(c.submitting for c in costs), "µs"),
            Figure(f"a sample {said}: CPU of a reader", Spread.of(c.deciding for c in costs), "µs"),
            Figure(
                f"a sample {said}: bytes, key and value, before compression",
                Spread.of(c.sent.bytes / c.samples for c in costs),
                "bytes",
            ),
            Figure(
                f"a sample {said}: bytes that the broker keeps",
                Spread.of(c.sent.kept / c.samples for c in costs),
                "bytes",
            ),
        ]
    notes = (
        f"{amounts.nodes:,} made-up nodes with {amounts.workers} busy workers each, a sample of each every {PERIOD:g} s"
        " as set; the submit side, a node of Apache Kafka and what reads it are real",
        f"what each costs: {amounts.messages * amounts.workers:,} samples without a bound, as fast as they are taken"
        " in, until delivered",
        f"within the budget of {bounded.budget:,.0f} bytes a second: {amounts.seconds:g} s, of which the last third"
        " counts; the cores are those of the process without what made the samples up",
    )
    raw = {
        "together": [_raw(cost) for cost in together],
        "alone": [_raw(cost) for cost in alone],
        "bounded": {name: getattr(bounded, name) for name in Bounded.__slots__},
    }
    return Result("samples", "samples of many nodes", tuple(figures), notes, raw)


def _cost(config: OctopusConfig, home: Path, amounts: Amounts, how: str) -> Cost:
    submit, nodes = Submit(config, amounts), Nodes(amounts)
    packed: list[bytes] = []
    for number in range(amounts.messages):
        node, turn = number % amounts.nodes, number // amounts.nodes
        packed += nodes.alone(node, turn) if how == "alone" else [pickle.dumps((TAG, nodes.message(node, turn)))]
    begin = time.process_time()
    for each in packed:
        submit.hear(each)
    submit.close()
    used = time.process_time() - begin
    samples = amounts.messages * amounts.workers
    return Cost(1e6 * used / samples, 1e6 * _read_past(config) / samples, sent(config, home), samples)


def _read_past(config: OctopusConfig) -> float:
    """CPU seconds that a reader takes for what is in the topic of tasks and samples."""
    follower = Follower(config, Wanted(Topic.task_metrics, 0.0))
    begin = time.process_time()
    for _ in follower.read_batches():
        if follower.caught_up:
            break
    used = time.process_time() - begin
    follower.close()
    return used


def _bounded(config: OctopusConfig, amounts: Amounts) -> Bounded:
    submit, nodes = Submit(config, amounts), Nodes(amounts)
    budget = submit.emitter.budget
    assert budget is not None
    notices: list[tuple[float, float]] = []
    told = 1.0
    made = settled_made = settled_used = 0.0
    settled_spent = settled_thinned = 0
    begin, settled = time.monotonic(), amounts.seconds * (1 - SETTLED)
    at = learnt = 0.0
    thinned = 0
    while (now := time.monotonic() - begin) < amounts.seconds:
        if not at and now >= settled:
            at, settled_made, settled_used = now, made, time.process_time()
            settled_spent, settled_thinned = budget.spent, submit.emitter.counts.thinned
        started = time.thread_time()
        packed = list(nodes.due(now))
        made += time.thread_time() - started
        for each in packed:
            submit.hear(each)
        if (so_far := submit.emitter.counts.thinned) > thinned:
            thinned, learnt = so_far, now
        budget.look()
        if budget.stretch != told:
            told = budget.stretch
            notices.append((now + NOTICE_SECONDS, told))
        while notices and notices[0][0] <= now:
            nodes.retime(notices.pop(0)[1], now)
        if not packed:
            time.sleep(0.005)
    passed = now - at
    used = time.process_time() - settled_used - (made - settled_made)
    spent = budget.spent
    submit.close()
    return Bounded(
        rate=(spent - settled_spent) / passed,
        budget=budget.rate,
        stretch=budget.stretch,
        learnt=learnt,
        late=thinned - settled_thinned,
        load=used / passed,
    )


def _config(kafka: ApacheKafka, directory: str, **settings: Any) -> OctopusConfig:
    namespace = f"bench-{uuid.uuid4().hex[:12]}"
    return OctopusConfig.load(
        profile="kafka",
        bootstrap_servers=kafka.address,
        namespace=namespace,
        spool_dir=Path(directory) / namespace,
        # All of it is to be delivered, however fast it is made.
        sample_queue_bytes=1 << 30,
        **settings,
    )


def _raw(cost: Cost) -> dict[str, float]:
    return {
        "submitting": cost.submitting,
        "deciding": cost.deciding,
        "bytes": cost.sent.bytes / cost.samples,
        "kept": cost.sent.kept / cost.samples,
        "records": cost.sent.records / cost.samples,
    }
