"""Retry policies as data: values checked when made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octopus_plugins.errors import PolicyError
from octopus_plugins.wrath.category_policy import DEFAULT_BUDGETS, DEFAULT_CATEGORIES, CategoryPolicy
from octopus_plugins.wrath.policy_checks import Check, check_fields, counts, flag, labels, number, one_of, text, whole
from octopus_plugins.wrath.taxonomy import Category

MODES = ("active", "passive")

_DENY_CHECKS: dict[str, Check] = {
    "enabled": flag,
    "cooldown": number(0),
    "backoff_coefficient": number(1),
    "duration": number(0),
    "maximum_duration": number(0),
    "floor": number(0, 1),
    "tasks": whole(1),
}
_STRAGGLER_CHECKS: dict[str, Check] = {
    "enabled": flag,
    "factor": number(1),
    "minimum": number(0),
    "silence": number(0),
}
_BREAKER_CHECKS: dict[str, Check] = {
    "enabled": flag,
    "minimum_tasks": whole(1),
    "share": number(0.5, 1),
}
_POLICY_CHECKS: dict[str, Check] = {
    "name": text,
    "mode": one_of(MODES),
    "ladder": labels(None, empty=True),
    "maximum_failures": whole(0),
    "budgets": counts,
}


@dataclass(frozen=True, slots=True)
class DenyPolicy:
    """When a node gets no new tasks, and for how long.

    Attributes:
        enabled: Whether nodes are denied at all.
        cooldown: Seconds that a node is denied at the first suspicion, so that one that fails fast attracts no more
            work; 0 for no denial without proof.
        backoff_coefficient: Factor by which each denial of a node is longer than the one before, where the node was
            not well in between.
        duration: Seconds that a node is denied on proof, and the most that it is denied on suspicion.
        maximum_duration: The most that a node is denied at a time, seconds.
        floor: Share of an executor's living nodes that always stays; at least one node does.
        tasks: Different tasks that must fail on a node for the node's sake, with no success there since, before it
            counts as proof without a success elsewhere.
    """

    enabled: bool = True
    cooldown: float = 2.0
    backoff_coefficient: float = 2.0
    duration: float = 900.0
    maximum_duration: float = 7200.0
    floor: float = 0.5
    tasks: int = 3

    def __post_init__(self) -> None:
        check_fields(self, _DENY_CHECKS)


@dataclass(frozen=True, slots=True)
class StragglerPolicy:
    """When a running try counts as lost: it is far over its app's time, and its node is silent. Both are needed.

    Attributes:
        enabled: Whether tries are ever given up for it.
        factor: How many times the longest known run time of its app a try must have run.
        minimum: Seconds that it must have run in any case.
        silence: Seconds for which the node's heartbeats must have stopped; never less than three of its periods.
    """

    enabled: bool = True
    factor: float = 3.0
    minimum: float = 5.0
    silence: float = 6.0

    def __post_init__(self) -> None:
        check_fields(self, _STRAGGLER_CHECKS)


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a whole run is stopped, since nearly everything in it fails for one cause.

    Attributes:
        enabled: Whether runs are ever stopped.
        minimum_tasks: Tasks that must have been given up for the one cause.
        share: What part of all ended tasks these must be.
    """

    enabled: bool = True
    minimum_tasks: int = 50
    share: float = 0.9

    def __post_init__(self) -> None:
        check_fields(self, _BREAKER_CHECKS)


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole retry policy.

    Attributes:
        name: Stands in every decision.
        mode: ``active``, or ``passive``: decisions are recorded and nothing is changed.
        ladder: Executor labels, smallest first, that a retry may climb.
        maximum_failures: Failures of a run after which nothing is retried any more; 0 is no limit.
        budgets: How many failures of one task each named budget pays for; the default one is ``outside``.
        categories: What to do, by category; those left out have the default entry.
        deny: When a node gets no new tasks.
        stragglers: When a running try counts as lost.
        breaker: When the whole run is stopped.
    """

    name: str = "default"
    mode: str = "active"
    ladder: tuple[str, ...] = ()
    maximum_failures: int = 0
    budgets: Mapping[str, int] = field(default_factory=dict)
    categories: Mapping[Category, CategoryPolicy] = field(default_factory=dict)
    deny: DenyPolicy = DenyPolicy()
    stragglers: StragglerPolicy = StragglerPolicy()
    breaker: BreakerPolicy = BreakerPolicy()

    def __post_init__(self) -> None:
        check_fields(self, _POLICY_CHECKS)
        object.__setattr__(self, "budgets", {**DEFAULT_BUDGETS, **self.budgets})
        object.__setattr__(self, "categories", {**DEFAULT_CATEGORIES, **self.categories})
        drawn_on = {entry.budget for entry in self.categories.values()}
        for name in self.budgets:
            if name not in drawn_on and name not in DEFAULT_BUDGETS:
                used = ", ".join(sorted(drawn_on - {""}))
                raise PolicyError(f"budgets.{name}: no category draws on it; those in use are {used}")
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

    def entry(self, category: Category) -> CategoryPolicy:
        """What to do about a category."""
        return self.categories[category]
