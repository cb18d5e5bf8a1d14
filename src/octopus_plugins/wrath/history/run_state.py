"""What is remembered of a run, of its scheduler jobs, and of its tasks that failed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from octopus_plugins.events import Pool
from octopus_plugins.wrath.history.comparison import Comparison
from octopus_plugins.wrath.history.lru import Recent

MAX_FAULTS = 1_000
MAX_FAULT_HOSTS = 64
MAX_BLOCKS = 4_000
MAX_SHOWN = 32
"""Different failures remembered of one task; further ones are counted by category alone."""

MAX_DEFECTS = 1_000
MAX_DEFECT_HOSTS = 8
MAX_CAUSES = 1_000
MAX_OPEN_APPS = 1_000
MAX_COMPARED_APPS = 256

PATIENCE = 0.02
"""Share of a run's time so far that its retries may wait, all together."""

FAULT_WINDOW = 60.0
"""Seconds within which the same fault on several nodes counts as one that they share."""


@dataclass(slots=True)
class Shown:
    """How often one failure of a task showed on one host.

    Attributes:
        category: Its category.
        signature: What makes two failures the same.
        host: The host; empty where it is not known.
        first: When it showed first, Unix seconds.
        count: How often.
    """

    category: str
    signature: str
    host: str
    first: float = 0.0
    count: int = 1


@dataclass(slots=True)
class TaskState:
    """A task that has failed and not yet ended.

    Attributes:
        charge: What earlier decisions charged to its retries.
        shown: Its failures.
        latest: The signature of its latest failure.
        last_failed: Its latest failed try; -1 for none.
        last_decided: Its latest try that was decided on; -1 for none.
        last_charge: What the decision on that try charged.
        rungs: How often a retry went to each rung for a category, by (category, rung).
        given_up: The cause that a service wants to give it up for, while its run has not told what it made of that.
    """

    charge: float = 0.0
    shown: list[Shown] = field(default_factory=list)
    latest: str = ""
    last_failed: int = -1
    last_decided: int = -1
    last_charge: float = 0.0
    rungs: dict[tuple[str, str], int] = field(default_factory=dict)
    given_up: tuple[str, str] | None = None

    @property
    def attempts(self) -> dict[str, int]:
        """Failed tries by category."""
        counts: dict[str, int] = {}
        for one in self.shown:
            counts[one.category] = counts.get(one.category, 0) + one.count
        return counts

    def count(self, category: str) -> int:
        """Failed tries in a category."""
        return sum(one.count for one in self.shown if one.category == category)

    def hosts(self, category: str) -> set[str]:
        """Hosts where it failed in a category."""
        return {one.host for one in self.shown if one.category == category and one.host}

    def signature_hosts(self, signature: str) -> dict[str, int]:
        """How often a signature showed, by host (``""`` where the host is not known)."""
        return {one.host: one.count for one in self.shown if one.signature == signature}

    def showings(self, signature: str) -> list[Shown]:
        """Where and when a signature showed."""
        return [one for one in self.shown if one.signature == signature]

    def failed_on(self) -> set[str]:
        """All hosts where it failed."""
        return {one.host for one in self.shown if one.host}

    def fail(self, category: str, signature: str, host: str, time: float = 0.0) -> bool:
        """Count a failure.

        Returns:
            Whether the signature has now shown on a second host, for the first time.
        """
        self.latest = signature
        others = 0
        for one in self.shown:
            if one.signature == signature:
                if one.host == host and one.category == category:
                    one.count += 1
                    return False
                others += one.host != host
        if len(self.shown) >= MAX_SHOWN:
            # The counts by category stay right, whatever the host and the message.
            next((one for one in self.shown if one.category == category), self.shown[0]).count += 1
            return False
        self.shown.append(Shown(category, signature, host, time))
        return others == 1 and bool(host)


@dataclass(slots=True)
class BlockState:
    """A scheduler job.

    Attributes:
        state: Parsl's name of its state.
        started: When it began to run, Unix seconds; None where that was not seen.
    """

    state: str = "UNKNOWN"
    started: float | None = None


@dataclass(slots=True)
class Defect:
    """One failure of one app, across the tasks of a run.

    Attributes:
        message: The exception's message when it first showed.
        varied: Whether it has shown with another message since.
        hosts: Where it showed, at most MAX_DEFECT_HOSTS.
        confirmed: Tasks in which it showed on two hosts.
        tasks: Tasks that showed it.
        repeated: Retries of any task that ended in it again.
        recovered: Tasks that showed it and then ended well.
        moved: Those of them that ended well on a node where they had not failed.
    """

    message: str | None = None
    varied: bool = False
    hosts: set[str] = field(default_factory=set)
    confirmed: int = 0
    tasks: int = 0
    repeated: int = 0
    recovered: int = 0
    moved: int = 0


@dataclass(slots=True)
class RunState:
    """A run.

    Attributes:
        now: Latest Unix time that its submit side told; 0 for none.
        began: When its submit side first told of it, Unix seconds; 0 for never.
        heard: Whether its tasks and nodes are heard of. Of a run without a hub only failures are.
        retries: The framework's number of retries per task; None for no limit.
        pools: Its executors by label.
        bad_pools: Executors that have given up.
        versions: Versions on the submit side.
        failures: Failed tries so far.
        done: Tasks that ended well.
        submitted: Tasks that it knows.
        open_tasks: Tasks that it knows and that have not ended, by app.
        given_up: Tasks that were given up for a cause of their own.
        causes: How many of these by (category, what is missing or the signature).
        halted: Why it was stopped; None where it was not.
        hosts: When each host of each executor was last seen, the one seen last at the end.
        faults: When (app, category, subject) failed last, by host; the subject is the module, library or program.
        defects: What is known of each (app, signature).
        blocks: Scheduler jobs by (executor, block).
        comparisons: How each (executor, app) that failed fares on each node.
        waited: Seconds for which its retries were made to wait, all together.
        systemic: Whether it was said that nearly everything fails for one cause.
    """

    now: float = 0.0
    began: float = 0.0
    heard: bool = False
    retries: int | None = None
    pools: dict[str, Pool] = field(default_factory=dict)
    bad_pools: set[str] = field(default_factory=set)
    versions: Mapping[str, str] = field(default_factory=dict)
    failures: int = 0
    done: int = 0
    submitted: int = 0
    open_tasks: dict[str, int] = field(default_factory=dict)
    given_up: int = 0
    causes: Recent[tuple[str, str], int] = field(default_factory=lambda: Recent(MAX_CAUSES, int))
    halted: str | None = None
    hosts: dict[str, OrderedDict[str, float]] = field(default_factory=dict)
    faults: Recent[tuple[str, str, str], dict[str, float]] = field(default_factory=lambda: Recent(MAX_FAULTS, dict))
    defects: Recent[tuple[str, str], Defect] = field(default_factory=lambda: Recent(MAX_DEFECTS, Defect))
    blocks: Recent[tuple[str, str], BlockState] = field(default_factory=lambda: Recent(MAX_BLOCKS, BlockState))
    comparisons: Recent[tuple[str, str], Comparison] = field(
        default_factory=lambda: Recent(MAX_COMPARED_APPS, Comparison)
    )
    systemic: bool = False
    waited: float = 0.0

    @property
    def spare(self) -> float:
        """Seconds that a retry may wait: all of them together wait a fiftieth of the run so far at most."""
        elapsed = max(self.now - self.began, 0.0) if self.began else 0.0
        return max(PATIENCE * elapsed - self.waited, 0.0)

    def fault(self, name: tuple[str, str, str], host: str, time: float) -> None:
        """Take in that an app failed on a host for the host's sake."""
        hosts = self.faults.ensure(name)
        if host in hosts or len(hosts) < MAX_FAULT_HOSTS:
            hosts[host] = time

    def open_task(self, app: str) -> None:
        """Take in that a task of an app was submitted."""
        if app in self.open_tasks or len(self.open_tasks) < MAX_OPEN_APPS:
            self.open_tasks[app] = self.open_tasks.get(app, 0) + 1

    def end_task(self, app: str) -> None:
        """Take in that a task of an app has ended."""
        left = self.open_tasks.get(app, 0) - 1
        if left > 0:
            self.open_tasks[app] = left
        else:
            self.open_tasks.pop(app, None)

    def give_up(self, cause: tuple[str, str]) -> None:
        """Take in that a task was given up."""
        self.given_up += 1
        self.causes.put(cause, (self.causes.get(cause) or 0) + 1)

    def take_back(self, cause: tuple[str, str]) -> None:
        """Take in that a task that was to be given up was not."""
        self.given_up -= 1
        self.causes.put(cause, max((self.causes.get(cause) or 0) - 1, 0))
