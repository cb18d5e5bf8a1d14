"""One failure on the table: all that deciding about it looks at, looked up once."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

import msgspec

from octopus_plugins.events import Categorization, Failure, Pool
from octopus_plugins.wrath.history.history import History
from octopus_plugins.wrath.history.run_state import RunState, TaskState
from octopus_plugins.wrath.policy.category import OUTSIDE, CategoryPolicy
from octopus_plugins.wrath.policy.policy import Policy
from octopus_plugins.wrath.taxonomy.categories import Category, category_named

MAX_LOOKED_AT = 64
"""Hosts looked at for one that may get a retry, the ones seen last first: more would cost time with the run's size."""

SURE, FIRM = 0.7, 0.8
"""Confidence in a category from which on it may end tasks, or keep them waiting for another node."""


class Case(msgspec.Struct, frozen=True, gc=False):
    """One failure, its category, and what is known around it. No dataclass: one is made for each failure.

    Attributes:
        failure: The failed try.
        categorization: What broke.
        category: The same as an enum; `Category.unknown` for one that a plugin made up.
        entry: What the policy says about it.
        policy: The whole policy.
        history: Everything before this failure.
        run: Its run, where known.
        task: Its task, where it failed before.
        pool: The executor that it failed on, where known.
        hosts: The known hosts of that executor, with the time when each was last seen, the latest at the end.
    """

    failure: Failure
    categorization: Categorization
    category: Category
    entry: CategoryPolicy
    policy: Policy
    history: History
    run: RunState | None
    task: TaskState | None
    pool: Pool | None
    hosts: OrderedDict[str, float]

    @classmethod
    def of(cls, failure: Failure, categorization: Categorization, history: History, policy: Policy) -> Case:
        """Look up what belongs to a failure."""
        category, run_id = category_named(categorization.category), failure.run_id
        return cls(
            failure=failure,
            categorization=categorization,
            category=category,
            entry=policy.entry(category),
            policy=policy,
            history=history,
            run=history.run(run_id),
            task=history.task(run_id, failure.task_id),
            pool=history.pool(run_id, failure.executor),
            hosts=history.hosts(run_id, failure.executor),
        )

    @property
    def is_sure(self) -> bool:
        """Whether the category may be acted on where that cannot be taken back."""
        return self.categorization.confidence >= SURE

    @property
    def is_firm(self) -> bool:
        """Whether the category rests on more than words, which may mean something else."""
        return self.categorization.confidence >= FIRM

    @property
    def attempts(self) -> int:
        """Tries of the task that ended in this category before."""
        return self.task.count(self.categorization.category) if self.task else 0

    @property
    def charged(self) -> float:
        """What the task's earlier failures were charged."""
        return self.task.charge if self.task else 0.0

    @property
    def hosts_tried(self) -> set[str]:
        """Hosts where the task failed in this category, this time included."""
        tried = self.task.hosts(self.categorization.category) if self.task else set()
        if self.failure.host:
            tried.add(self.failure.host)
        return tried

    @property
    def executor_name(self) -> str:
        """The executor for people."""
        return f"executor {self.failure.executor!r}" if self.failure.executor else "the executor"

    @property
    def steerable(self) -> bool:
        """Whether tasks can be kept off a node of the executor."""
        return self.pool is not None and self.pool.steerable

    def is_eligible(self, host: str) -> bool:
        """Whether a host may get a retry: not the failing one, up, neither denied to the app nor on probation."""
        time, run_id = self.failure.time, self.failure.run_id
        if host == self.failure.host:
            return False
        denial = self.history.denials.get(host, run_id, self.failure.app or "")
        if denial is not None and (denial.until > time or not denial.cleared):
            return False
        known = self.history.host(host)
        return known is None or known.is_up(time)

    def other_host(self, *, untried: bool = False) -> str | None:
        """A host of the executor that may get the retry; None where there is none among those seen last.

        Args:
            untried: Whether hosts where the task already failed in this category are left out.
        """
        tried = self.hosts_tried if untried else ()
        for name in islice(reversed(self.hosts), MAX_LOOKED_AT):
            if name not in tried and self.is_eligible(name):
                return name
        return None

    def other_block(self) -> str | None:
        """A block of the executor that runs, beside that of the failure; None where there is none."""
        blocks = self.run.blocks.latest() if self.run else ()
        for executor, block in islice(blocks, MAX_LOOKED_AT):
            if executor == self.failure.executor and block != self.failure.block:
                known = self.history.block(self.failure.run_id, executor, block)
                if known is not None and known.state == "RUNNING":
                    return block
        return None

    def budget_left(self) -> int | None:
        """How many more failures of the task the category's own budget pays for; None where it has none."""
        name = self.entry.budget
        if not name:
            return None
        used = 0
        for category, count in self.task.attempts.items() if self.task else ():
            if self.policy.entry(category_named(category)).budget == name:
                used += count
        return max(self.policy.budgets[name] - used, 0)

    @property
    def charge(self) -> float:
        """What this failure uses up of the run's own retries: nothing of what the task is a victim of, within a cap."""
        if self.is_victim and self.victim_budget_left:
            return 0.0
        if self.categorization.evidence.get("outgrew_neighbours") is True:
            return float(self.entry.charge)
        return 0.0 if self.budget_left() else float(self.entry.charge)

    @property
    def is_last_retry(self) -> bool:
        """Whether the task has no retry left after the next one."""
        retries = self.run.retries if self.run is not None else None
        return retries is not None and self.charged + self.charge > retries - 1

    @property
    def is_victim(self) -> bool:
        """Whether the task went down with its neighbours, by its own figures."""
        return self.categorization.evidence.get("victim") is True

    @property
    def victim_budget_left(self) -> int:
        """How many more such failures of the task are paid for by the budget of what no task causes."""
        return max(self.policy.budgets[OUTSIDE] - self.attempts, 0)
