"""One failure on the table: all that deciding about it looks at, looked up once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from octopus_plugins.events import Categorization, Failure, Pool
from octopus_plugins.wrath.category_policy import CategoryPolicy
from octopus_plugins.wrath.history import History
from octopus_plugins.wrath.policy import Policy
from octopus_plugins.wrath.run_state import RunState, TaskState
from octopus_plugins.wrath.taxonomy import Category, category_named


@dataclass(frozen=True, slots=True)
class Case:
    """One failure, its category, and what is known around it.

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
        hosts: The known hosts of that executor, with the time when each was last seen.
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
    hosts: Mapping[str, float]

    @classmethod
    def of(cls, failure: Failure, categorization: Categorization, history: History, policy: Policy) -> Case:
        """Look up what belongs to a failure."""
        category = category_named(categorization.category)
        return cls(
            failure=failure,
            categorization=categorization,
            category=category,
            entry=policy.entry(category),
            policy=policy,
            history=history,
            run=history.run(failure.run_id),
            task=history.task(failure.run_id, failure.task_id),
            pool=history.pool(failure.run_id, failure.executor),
            hosts=history.hosts(failure.run_id, failure.executor),
        )

    @property
    def attempts(self) -> int:
        """Tries of the task that ended in this category before."""
        return self.task.attempts.get(self.categorization.category, 0) if self.task else 0

    @property
    def charged(self) -> float:
        """What the task's earlier failures were charged."""
        return self.task.charge if self.task else 0.0

    @property
    def hosts_tried(self) -> set[str]:
        """Hosts where the task failed in this category, this time included."""
        tried = set(self.task.hosts.get(self.categorization.category, ())) if self.task else set()
        if self.failure.host:
            tried.add(self.failure.host)
        return tried

    @property
    def executor_name(self) -> str:
        """The executor for people."""
        return f"executor {self.failure.executor!r}" if self.failure.executor else "the executor"

    def other_host(self, *, untried: bool = False) -> str | None:
        """A known host of the executor that is up, not denied and not the failing one; None where there is none.

        Args:
            untried: Whether hosts where the task already failed in this category are left out.
        """
        time, here = self.failure.time, self.failure.host
        tried = self.hosts_tried if untried else ()
        for name in self.hosts:
            if name == here or name in tried or self.history.is_denied(name, time):
                continue
            known = self.history.host(name)
            if known is None or known.is_up(time):
                return name
        return None
