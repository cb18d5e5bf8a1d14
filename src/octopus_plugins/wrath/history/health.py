"""How well things go in one place: counts of an app on a node, of a node, of an app, of an executor."""

from __future__ import annotations

from dataclasses import dataclass, field

from octopus_plugins.events import Heartbeat, NodeState

MISSED = 3
MINIMUM_SILENCE = 30.0
"""A node is down after that many missed heartbeats, and not before that many seconds: busy nodes stutter."""

HALF_LIFE = 600.0
"""Seconds after which an outcome counts half as much in a success rate: nodes break and are mended within a run."""


@dataclass(slots=True)
class Tally:
    """Successes and failures in one place.

    Attributes:
        successes: Tries that ended well.
        failures: Tries that failed.
        streak: Failures since the last success.
        last_success: Unix time of the last success; 0 for none.
        last_failure: Unix time of the last failure; 0 for none.
        good: Successes, each of which counts half as much after HALF_LIFE.
        bad: Failures, likewise.
        at: Unix time that ``good`` and ``bad`` are of.
    """

    successes: int = 0
    failures: int = 0
    streak: int = 0
    last_success: float = 0.0
    last_failure: float = 0.0
    good: float = 0.0
    bad: float = 0.0
    at: float = 0.0

    def succeed(self, time: float) -> None:
        """Count a success."""
        if time - self.at >= 1.0:
            self._age(time)
        self.good += 1
        self.successes += 1
        self.streak = 0
        self.last_success = max(self.last_success, time)

    def fail(self, time: float) -> None:
        """Count a failure."""
        if time - self.at >= 1.0:
            self._age(time)
        self.bad += 1
        self.failures += 1
        self.streak += 1
        self.last_failure = max(self.last_failure, time)

    def score(self, time: float) -> float:
        """The success rate with decay: 0–1, 1 is best; what nothing is known of, or nothing any more, has 1."""
        factor = _decay(time - self.at)
        return (self.good * factor + 1) / ((self.good + self.bad) * factor + 1)

    def _age(self, time: float) -> None:
        # For outcomes a second apart, or more; those closer are of one time: it saves a thousand powers a second.
        factor = _decay(time - self.at)
        self.good *= factor
        self.bad *= factor
        self.at = time


def _decay(seconds: float) -> float:
    return float(0.5 ** (seconds / HALF_LIFE)) if seconds > 0 else 1.0


@dataclass(slots=True)
class Host:
    """What is known of a node.

    Attributes:
        tally: How tasks fare on it, but for failures that are no node's fault.
        state: What its own last heartbeat said.
        heartbeat: Unix time of its own last heartbeat by its own clock; 0 for none.
        heard: The same by the submit side's clock, as far as that is known: what tells whether it fell silent.
        period: Seconds between its own heartbeats, where it said so.
        manager_seen: When the framework last saw a worker pool on it; 0 for never.
        manager_lost: When the framework last lost or held back a worker pool on it; 0 for never.
        node: What it had left, last time it said so.
        oom_kills: Its count of out-of-memory kills, last time it said so.
        processes: Resident bytes of the workers on it by pid, as its last heartbeat said.
        oom_time: When that count was last seen to rise; 0 for never.
    """

    tally: Tally = field(default_factory=Tally)
    state: str = "up"
    heartbeat: float = 0.0
    heard: float = 0.0
    period: float | None = None
    manager_seen: float = 0.0
    manager_lost: float = 0.0
    node: NodeState | None = None
    oom_kills: int | None = None
    oom_time: float = 0.0
    processes: dict[int, int] = field(default_factory=dict)

    def observe_heartbeat(self, event: Heartbeat, now: float) -> None:
        """Take in a sign of life, of the node itself or of a worker pool on it.

        A lost worker pool is not a lost node: only the node's own heartbeats tell how the node is.

        Args:
            event: The heartbeat.
            now: Latest Unix time that the run's submit side told before; 0 for none. The node's clock may be slow.
        """
        if event.component == "manager":
            if event.state == "up":
                self.manager_seen = max(self.manager_seen, event.time)
            else:
                self.manager_lost = max(self.manager_lost, event.time)
        elif event.time >= self.heartbeat:
            if event.time > self.heartbeat:  # a second copy is no new sign of life
                self.heard = max(self.heard, event.time, now)
            self.heartbeat, self.state = event.time, event.state
            self.period = event.period or self.period
            if alive := {worker.pid: worker.rss for worker in event.workers if worker.alive and worker.rss}:
                self.processes = alive
        if event.node is not None:
            self.observe_node(event.node)

    def observe_node(self, node: NodeState) -> None:
        """Take in what the node has left."""
        if self.node is not None and node.time < self.node.time:
            return
        self.node = node
        if node.oom_kills is not None:
            if self.oom_kills is not None and node.oom_kills > self.oom_kills:
                self.oom_time = node.time
            self.oom_kills = node.oom_kills

    def observe_success(self, time: float) -> None:
        """Take in that a task ended well here."""
        self.tally.succeed(time)

    def is_up(self, time: float) -> bool:
        """Whether the node can be counted on to take a task.

        A node that was never heard counts as up, since most frameworks say nothing of nodes. After a lost worker pool
        it counts again when it or a pool on it is next heard.
        """
        if self.state != "up" or self.manager_lost > max(self.heard, self.manager_seen):
            return False
        return self.period is None or time - self.heard <= max(MISSED * self.period, MINIMUM_SILENCE)
