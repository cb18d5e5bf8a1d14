"""Retry policies as data: values checked when made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octopus_plugins.errors import PolicyError
from octopus_plugins.wrath.policy.category import (
    DEFAULT_BUDGETS,
    DEFAULT_CATEGORIES,
    PUBLISHED_CATEGORIES,
    CategoryPolicy,
)
from octopus_plugins.wrath.policy.checks import Check, check_fields, counts, flag, labels, number, one_of, text, whole
from octopus_plugins.wrath.taxonomy.categories import Category

MODES = ("active", "passive")

WARN, PAUSE, HALT = SYSTEMIC = ("warn", "pause", "halt")
"""What is done about a run in which nearly everything fails for one cause."""

PUBLISHED = "published"
"""Name of `Policy.published`, where a policy is asked for."""

_DENY_CHECKS: dict[str, Check] = {
    "enabled": flag,
    "level": number(0, 1),
    "tasks": whole(1),
    "cooldown": number(0),
    "duration": number(0),
    "backoff_coefficient": number(1),
    "maximum_duration": number(0),
    "floor": number(0, 1),
}
_STRAGGLER_CHECKS: dict[str, Check] = {
    "enabled": flag,
    "factor": number(1),
    "minimum": number(0),
    "silence": number(0),
    "speculate": flag,
}
_BREAKER_CHECKS: dict[str, Check] = {
    "enabled": flag,
    "minimum_tasks": whole(1),
    "share": number(0.5, 1),
}
_TERMINATION_CHECKS: dict[str, Check] = {
    "enabled": flag,
    "cost": number(0),
    "recovery": number(0, 1),
    "nodes": whole(1),
    "pause": number(0),
}
_POLICY_CHECKS: dict[str, Check] = {
    "name": text,
    "mode": one_of(MODES),
    "ladder": labels(None, empty=True),
    "maximum_failures": whole(0),
    "on_systemic_failure": one_of(SYSTEMIC),
    "budgets": counts,
}


@dataclass(frozen=True, slots=True)
class DenyPolicy:
    """When a node gets no new tasks of an app, and for how long.

    It does where the app fails on it significantly more often than on the other nodes (Fisher's exact test, one-sided),
    and tasks that failed there end well elsewhere. Where two apps stand out so, or the node itself reports what is
    wrong with it, it gets no new tasks at all. While tasks wait and no other node has room, a denied node is probed.

    Attributes:
        enabled: Whether nodes are denied at all.
        level: Probability below which a difference between nodes does not count as chance.
        tasks: First tries of the app's tasks that must have ended on the node, and as many on others, before they are
            compared.
        cooldown: Seconds that a node is denied at first that itself reports what is wrong, such as a full disk, before
            it can be compared; then doubling up to ``duration``. 0 for never.
        duration: Seconds that a node is denied at first that stands out.
        backoff_coefficient: Factor by which each denial of a node is longer than the one before, where the node was
            not well in between.
        maximum_duration: The most that a node is denied at a time, seconds.
        floor: Share of an executor's living nodes that always stays; at least one node does.
    """

    enabled: bool = True
    level: float = 0.001
    tasks: int = 5
    cooldown: float = 5.0
    duration: float = 60.0
    backoff_coefficient: float = 2.0
    maximum_duration: float = 1800.0
    floor: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, _DENY_CHECKS)


@dataclass(frozen=True, slots=True)
class StragglerPolicy:
    """When a running try counts as lost: it is far over its app's time, and its node is silent. Both are needed.

    It is ended only where the task has a retry left and another node is up, and no sooner than Parsl itself would give
    up the node (``heartbeat_threshold``).

    Attributes:
        enabled: Whether tries are ever given up for it.
        factor: How many times the longest known run time of its app a try must have run.
        minimum: Seconds that it must have run in any case.
        silence: Seconds for which the node's heartbeats must have stopped; never less than three of its periods.
        speculate: Whether a second try is started elsewhere while the first may still run, and the first result is
            taken. That is only right where tasks may run twice. It needs no more than the silence above.
    """

    enabled: bool = True
    factor: float = 3.0
    minimum: float = 5.0
    silence: float = 6.0
    speculate: bool = False

    def __post_init__(self) -> None:
        check_fields(self, _STRAGGLER_CHECKS)


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When nearly everything in a run fails for one cause. What is done then: ``on_systemic_failure``.

    Attributes:
        enabled: Whether it is looked for.
        minimum_tasks: Tasks that must have been given up for the one cause.
        share: What part of all ended tasks these must be.
    """

    enabled: bool = True
    minimum_tasks: int = 50
    share: float = 0.9

    def __post_init__(self) -> None:
        check_fields(self, _BREAKER_CHECKS)


@dataclass(frozen=True, slots=True)
class TerminationPolicy:
    """When a task is ended although it has retries left: where going on is costly and hopeless. All are needed.

    Attributes:
        enabled: Whether that ever is.
        cost: Seconds that the failed try must have taken: one that failed at once costs nothing to repeat.
        recovery: Chance that a retry recovers, below which going on is hopeless. It is estimated from the category's
            own ``recovery`` and from what the retries of the same failure came to in the run. A failure from which
            any task recovered is never hopeless.
        nodes: Different nodes on which the task must have failed in the same way, at the same place in its code.
        pause: Seconds that must lie between the first of these failures and the last.
    """

    enabled: bool = True
    cost: float = 600.0
    recovery: float = 0.1
    nodes: int = 2
    pause: float = 60.0

    def __post_init__(self) -> None:
        check_fields(self, _TERMINATION_CHECKS)


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole retry policy.

    Attributes:
        name: Stands in every decision.
        mode: ``active``, or ``passive``: decisions are recorded and nothing is changed.
        ladder: Executor labels, smallest first, that a retry may climb.
        maximum_failures: Failures of a run after which nothing is retried any more; 0 is no limit.
        on_systemic_failure: What is done when nearly everything in a run fails for one cause (``[breaker]``): ``warn``
            once; ``pause``, so that a few tasks at a time go on until one ends well; or ``halt`` the run.
        budgets: How many failures of one task each named budget pays for; the default one is ``outside``.
        categories: What to do, by category; those left out have the default entry.
        deny: When a node gets no new tasks.
        stragglers: When a running try counts as lost.
        breaker: When nearly everything in a run fails for one cause.
        termination: When a task is ended although it has retries left.
    """

    name: str = "default"
    mode: str = "active"
    ladder: tuple[str, ...] = ()
    maximum_failures: int = 0
    on_systemic_failure: str = WARN
    budgets: Mapping[str, int] = field(default_factory=dict)
    categories: Mapping[Category, CategoryPolicy] = field(default_factory=dict)
    deny: DenyPolicy = DenyPolicy()
    stragglers: StragglerPolicy = StragglerPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    termination: TerminationPolicy = TerminationPolicy()

    def __post_init__(self) -> None:
        check_fields(self, _POLICY_CHECKS)
        object.__setattr__(self, "budgets", {**DEFAULT_BUDGETS, **self.budgets})
        object.__setattr__(self, "categories", {**DEFAULT_CATEGORIES, **self.categories})
        drawn_on = {entry.budget for entry in self.categories.values()}
        for name in self.budgets:
            if name not in drawn_on and name not in DEFAULT_BUDGETS:
                used = ", ".join(sorted(drawn_on - {""}))
                raise PolicyError(f"budgets.{name}: no category draws on it", remedy=f"those in use are {used}")
        for category, entry in self.categories.items():
            if entry.budget and entry.budget not in self.budgets:
                names = ", ".join(sorted(self.budgets))
                raise PolicyError(
                    f"categories.{category}.budget = {entry.budget!r}: must be empty or a name in [budgets]: {names}"
                )

    @classmethod
    def default(cls) -> Policy:
        """The built-in policy."""
        return cls()

    @classmethod
    def published(cls) -> Policy:
        """WRATH's early termination: what failed twice in the same way is ended, and a hopeless run is halted."""
        return cls(name=PUBLISHED, categories=PUBLISHED_CATEGORIES, on_systemic_failure=HALT)

    def entry(self, category: Category) -> CategoryPolicy:
        """What to do about a category."""
        return self.categories[category]
