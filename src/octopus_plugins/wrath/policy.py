"""Retry policies as data: values checked when made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octopus_plugins.wrath.category_policy import DEFAULT_CATEGORIES, CategoryPolicy
from octopus_plugins.wrath.policy_checks import Check, check_fields, flag, labels, number, one_of, text, whole
from octopus_plugins.wrath.taxonomy import Category

MODES = ("active", "passive")

_DENY_CHECKS: dict[str, Check] = {
    "enabled": flag,
    "duration": number(0),
    "floor": number(0, 1),
    "tasks": whole(1),
}
_POLICY_CHECKS: dict[str, Check] = {
    "name": text,
    "mode": one_of(MODES),
    "ladder": labels(None, empty=True),
    "maximum_failures": whole(0),
}


@dataclass(frozen=True, slots=True)
class DenyPolicy:
    """When a node gets no new tasks.

    Attributes:
        enabled: Whether nodes are denied at all.
        duration: Seconds that a node stays denied.
        floor: Share of an executor's known nodes that always stays; at least one node does.
        tasks: Different tasks that must fail on a node for the node's sake, with no success there since, before it
            is denied without the proof of a success elsewhere.
    """

    enabled: bool = True
    duration: float = 900.0
    floor: float = 0.5
    tasks: int = 3

    def __post_init__(self) -> None:
        check_fields(self, _DENY_CHECKS)


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole retry policy.

    Attributes:
        name: Stands in every decision.
        mode: ``active``, or ``passive``: decisions are recorded and nothing is changed.
        ladder: Executor labels, smallest first, that a retry may climb.
        maximum_failures: Failures of a run after which nothing is retried any more; 0 is no limit.
        categories: What to do, by category; those left out have the default entry.
        deny: When a node gets no new tasks.
    """

    name: str = "default"
    mode: str = "active"
    ladder: tuple[str, ...] = ()
    maximum_failures: int = 0
    categories: Mapping[Category, CategoryPolicy] = field(default_factory=dict)
    deny: DenyPolicy = DenyPolicy()

    def __post_init__(self) -> None:
        check_fields(self, _POLICY_CHECKS)
        object.__setattr__(self, "categories", {**DEFAULT_CATEGORIES, **self.categories})

    @classmethod
    def default(cls) -> Policy:
        """The built-in policy."""
        return cls()

    def entry(self, category: Category) -> CategoryPolicy:
        """What to do about a category."""
        return self.categories[category]
