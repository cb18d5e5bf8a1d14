"""A run in simulated time: nodes with workers, a queue, tasks that fail by a plan, and what is decided about them.

It knows nothing of Parsl: a retry goes to the front of the queue and keeps off the nodes that its decision names while
another node is up; a denied node gets a task of the app only where no other node has room, once a second.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from octopus_plugins.events import Decision, ExceptionInfo, Failure, Heartbeat, Pool, Run, Task
from octopus_plugins.wrath import History, Policy, categorize, decide

BEGAN = 1_700_000_000.0

PROBES = 1.0
"""Seconds between the tasks that a denied node gets where no other one has room."""

Outcome = Callable[[int, int, str, float, random.Random], "str | None"]
"""Of (task, try, host, seconds since the start, random numbers): the exception's type and message, None if all is well.
"""


@dataclass(slots=True)
class Ended:
    """What a run came to.

    Attributes:
        done: Tasks that ended well.
        failed: Tries of those that did not.
        decisions: All decisions, in order.
        seconds: How long it took.
        placed: How many tries each host got.
    """

    done: set[int] = field(default_factory=set)
    failed: dict[int, int] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    seconds: float = 0.0
    placed: dict[str, int] = field(default_factory=dict)

    @property
    def denied(self) -> list[tuple[str, str]]:
        """App and host of every denial; the app is empty where it is for all."""
        return [(d.deny_app, h) for d in self.decisions for h, until in d.deny_hosts.items() if until > d.time]


@dataclass(slots=True, order=True)
class _Waiting:
    """A try that has no place yet; those of a lower ``rank`` go first, and of one rank whoever came first."""

    rank: int
    task: int = field(compare=False)
    number: int = field(default=0, compare=False)
    avoid: tuple[str, ...] = field(default=(), compare=False)
    ready: float = field(default=0.0, compare=False)


@dataclass(slots=True, order=True)
class _Running:
    """A try that runs, and what will become of it."""

    ends: float
    task: int
    number: int
    host: str
    began: float = field(compare=False)
    error: str | None = field(compare=False)


@dataclass(slots=True)
class Simulation:
    """One run.

    Args:
        outcome: What becomes of a try.
        tasks: How many tasks.
        nodes: How many nodes.
        workers: Workers of each.
        retries: The run's.
        seconds: How long a try takes, by (task, whether it fails).
        seed: Of the random numbers.
        policy: What decides.
        app: The app of a task.
        window: Tasks that are submitted at a time; the next one when one has ended. 0 for all at once.
        joins: When each node joins, seconds since the start, by host; those left out are there from the start.
    """

    outcome: Outcome
    tasks: int = 200
    nodes: int = 3
    workers: int = 4
    retries: int = 3
    seconds: Callable[[int, bool], float] = lambda task, fails: 0.01 if fails else 0.1
    seed: int = 1
    policy: Policy = field(default_factory=Policy.default)
    app: Callable[[int], str] = lambda task: "app"
    window: int = 0
    joins: dict[str, float] = field(default_factory=dict)
    _submitted: int = 0
    history: History = field(default_factory=History)
    _ended: Ended = field(default_factory=Ended)
    _now: float = 0.0
    _draw: random.Random = field(default_factory=random.Random)
    _free: dict[str, int] = field(default_factory=dict)
    _probed: dict[str, float] = field(default_factory=dict)
    _queue: list[_Waiting] = field(default_factory=list)
    _running: list[_Running] = field(default_factory=list)
    _charged: dict[int, float] = field(default_factory=dict)

    def run(self) -> Ended:
        """Run until every task has ended."""
        self._begin()
        while self._queue or self._running:
            self._let_join()
            self._start_tries()
            self._advance()
            while self._running and self._running[0].ends <= self._now:
                self._end(heapq.heappop(self._running))
        self._ended.seconds = self._now
        return self._ended

    def _begin(self) -> None:
        self._draw.seed(self.seed)
        pool = Pool(
            label="pool", kind="HighThroughputExecutor", observed=True, steerable=True, maximum_nodes=self.nodes
        )
        self.history.observe(Run(run_id="r", time=BEGAN, state="started", retries=self.retries, pools=(pool,)))
        self.joins = {f"n{number}": 0.0 for number in range(self.nodes)} | self.joins
        for _ in range(min(self.window or self.tasks, self.tasks)):
            self._submit()

    def _submit(self) -> None:
        if self._submitted < self.tasks:
            task, self._submitted = self._submitted, self._submitted + 1
            self._queue.append(_Waiting(1, task))
            for state in ("pending", "launched"):
                self._tell(task, 0, state, self._now)

    def _let_join(self) -> None:
        for host, since in self.joins.items():
            if since <= self._now and host not in self._free:
                self._free[host] = self.workers
                self._probed[host] = -PROBES
                self.history.observe(Heartbeat(run_id="r", time=BEGAN + self._now, host=host, executor="pool"))

    def _start_tries(self) -> None:
        waiting = []
        refused = set()  # room only shrinks while tries are started: what found none finds none
        for one in sorted(self._queue) if any(self._free.values()) else self._queue:
            kind = self.app(one.task), one.avoid
            host = self._place(one) if one.ready <= self._now and kind not in refused else None
            if host is not None:
                self._start(one, host)
                continue
            waiting.append(one)
            if one.ready <= self._now:
                refused.add(kind)
        self._queue = waiting

    def _place(self, one: _Waiting) -> str | None:
        room = [host for host, slots in self._free.items() if slots]
        if not room:
            return None
        app, time = self.app(one.task), BEGAN + self._now
        allowed = [host for host in room if not self.history.is_denied(host, time, "r", app)]
        avoid = one.avoid if set(self._free) - set(one.avoid) else ()
        choice = [host for host in allowed if host not in avoid]
        if not choice and not allowed:
            probed = [host for host in room if host not in avoid and self._now - self._probed[host] >= PROBES]
            choice = probed[:1]
            self._probed |= dict.fromkeys(choice, self._now)
        return self._draw.choice(choice) if choice else None

    def _start(self, one: _Waiting, host: str) -> None:
        self._free[host] -= 1
        self._ended.placed[host] = self._ended.placed.get(host, 0) + 1
        error = self.outcome(one.task, one.number, host, self._now, self._draw)
        ends = self._now + self.seconds(one.task, error is not None)
        self._tell(one.task, one.number, "running", self._now, host)
        heapq.heappush(self._running, _Running(ends, one.task, one.number, host, self._now, error))

    def _advance(self) -> None:
        moments = [self._running[0].ends] if self._running else []
        moments += [one.ready for one in self._queue if one.ready > self._now]
        moments += [since for since in self.joins.values() if since > self._now]
        if self._queue:
            moments.append(self._now + PROBES / 4)
        self._now = min(moments)

    def _end(self, one: _Running) -> None:
        self._free[one.host] += 1
        if one.error is not None:
            self._fail(one, one.error)
            return
        self._tell(one.task, one.number, "running_ended", one.ends, one.host)
        self._tell(one.task, one.number, "exec_done", one.ends, one.host)
        self._ended.done.add(one.task)
        self._submit()

    def _fail(self, one: _Running, error: str) -> None:
        decision = self._decide(one, error)
        charged = self._charged[one.task] = self._charged.get(one.task, 0.0) + decision.charge
        where = decision.placement
        if decision.action == "retry" and charged <= self.retries and where is not None:
            ready = one.ends + decision.delay
            self._queue.append(_Waiting(0 if where.first else 1, one.task, one.number + 1, where.avoid_hosts, ready))
        else:
            self._ended.failed[one.task] = one.number + 1
            self._tell(one.task, one.number, "failed", one.ends)
            self._submit()

    def _decide(self, one: _Running, error: str) -> Decision:
        kind, _, message = error.partition(": ")
        failure = Failure(
            run_id="r",
            task_id=str(one.task),
            try_id=one.number,
            app=self.app(one.task),
            executor="pool",
            host=one.host,
            time=BEGAN + one.ends,
            started=BEGAN + one.began,
            ended=BEGAN + one.ends,
            exception=ExceptionInfo(type=kind, message=message, mro=(kind, "Exception")),
        )
        failure = replace(failure, categorization=categorize(failure, self.history))
        decision = decide(failure, self.history, self.policy)
        self.history.observe(failure)
        self.history.observe(decision)
        self._ended.decisions.append(decision)
        return decision

    def _tell(self, task: int, number: int, state: str, time: float, host: str | None = None) -> None:
        place = {"app": self.app(task), "executor": "pool", "host": host}
        self.history.observe(
            Task(run_id="r", task_id=str(task), try_id=number, state=state, time=BEGAN + time, **place)
        )
