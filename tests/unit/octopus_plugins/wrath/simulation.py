"""A run in simulated time: nodes with workers, a queue, tasks that fail by a plan, and what is decided about them.

It knows nothing of Parsl: a retry goes to the front of the queue and keeps off the nodes that its decision names while
another node is up; a denied node gets a task of the app only where no other node has room, once a second.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from octopus_plugins.events import Decision, ExceptionInfo, Failure, Heartbeat, Pool, Run, Task
from octopus_plugins.wrath import History, Policy, categorize, decide

BEGAN = 1_700_000_000.0

Outcome = Callable[[int, int, str, float, random.Random], "str | None"]
"""Of (task, try, host, seconds since the start, random numbers): the exception's type and message, None if all is well."""


@dataclass(slots=True)
class Ended:
    """What a run came to."""

    done: set[int] = field(default_factory=set)
    failed: dict[int, int] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def denied(self) -> list[tuple[str, str]]:
        """App and host of every denial."""
        return [(d.deny_app, h) for d in self.decisions for h, until in d.deny_hosts.items() if until > d.time]


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

    def run(self) -> Ended:
        """Run until every task has ended."""
        draw, history, ended = random.Random(self.seed), History(), Ended()
        hosts = [f"n{number}" for number in range(self.nodes)]
        pool = Pool(
            label="pool", kind="HighThroughputExecutor", observed=True, steerable=True, maximum_nodes=self.nodes
        )
        history.observe(Run(run_id="r", time=BEGAN, state="started", retries=self.retries, pools=(pool,)))
        for host in hosts:
            history.observe(Heartbeat(run_id="r", time=BEGAN, host=host, executor="pool"))
        queue = [(1, task, 0, (), 0.0) for task in range(self.tasks)]
        for task in range(self.tasks):
            for state in ("pending", "launched"):
                history.observe(self._event(task, 0, state, BEGAN))
        free = dict.fromkeys(hosts, self.workers)
        running: list[tuple[float, int, int, int, str, str | None, float]] = []
        charged: dict[int, float] = {}
        now, probed = 0.0, dict.fromkeys(hosts, -1.0)
        while queue or running:
            queue.sort(key=lambda entry: entry[0])
            kept = []
            for entry in queue:
                first, task, number, avoid, ready = entry
                app = self.app(task)
                room = [h for h in hosts if free[h]] if ready <= now else []
                open_ = [h for h in room if not history.is_denied(h, BEGAN + now, "r", app)]
                choice = [h for h in open_ if h not in avoid] or ([] if set(hosts) - set(avoid) else open_)
                if not choice and room and not open_:
                    choice = [h for h in room if now - probed[h] >= 1.0]
                    for host in choice[:1]:
                        probed[host] = now
                if not choice:
                    kept.append(entry)
                    continue
                host = draw.choice(choice)
                free[host] -= 1
                error = self.outcome(task, number, host, now, draw)
                lasts = self.seconds(task, error is not None)
                history.observe(self._event(task, number, "running", BEGAN + now, host))
                heapq.heappush(running, (now + lasts, task, number, first, host, error, now))
            queue = kept
            coming = [entry[4] for entry in queue if entry[4] > now]
            ends = [running[0][0]] if running else []
            now = min([*ends, *coming, *([now + 0.25] if queue and not coming else [])])
            while running and running[0][0] <= now:
                at, task, number, _, host, error, began = heapq.heappop(running)
                free[host] += 1
                if error is None:
                    history.observe(self._event(task, number, "exec_done", BEGAN + at, host))
                    ended.done.add(task)
                    continue
                kind, _, message = error.partition(": ")
                failure = Failure(
                    run_id="r",
                    task_id=str(task),
                    try_id=number,
                    app=self.app(task),
                    executor="pool",
                    host=host,
                    time=BEGAN + at,
                    started=BEGAN + began,
                    ended=BEGAN + at,
                    exception=ExceptionInfo(type=kind, message=message, mro=(kind, "Exception")),
                )
                failure = _categorized(failure, history)
                decision = decide(failure, history, self.policy)
                ended.decisions.append(decision)
                history.observe(failure)
                history.observe(decision)
                charged[task] = charged.get(task, 0.0) + decision.charge
                if decision.action == "retry" and charged[task] <= self.retries and decision.placement is not None:
                    where = decision.placement
                    queue.append((0 if where.first else 1, task, number + 1, where.avoid_hosts, now + decision.delay))
                else:
                    ended.failed[task] = number + 1
                    history.observe(self._event(task, number, "failed", BEGAN + at))
        ended.seconds = now
        return ended

    def _event(self, task: int, number: int, state: str, time: float, host: str | None = None) -> Task:
        return Task(
            run_id="r",
            task_id=str(task),
            try_id=number,
            app=self.app(task),
            executor="pool",
            state=state,
            time=time,
            host=host,
        )


def _categorized(failure: Failure, history: History) -> Failure:
    from msgspec.structs import replace

    return replace(failure, categorization=categorize(failure, history))
