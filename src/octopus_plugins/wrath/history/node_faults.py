"""What a failure says against the place where it happened."""

from __future__ import annotations

from octopus_plugins.events import Categorization, Failure
from octopus_plugins.events.base import MAX_NAME
from octopus_plugins.wrath.taxonomy.categories import Trait, with_trait

NODE_FAULTS = frozenset(category.value for category in with_trait(Trait.node_fault))
NOT_COMPARED = frozenset(category.value for category in with_trait(Trait.not_compared))


def fault_of(failure: Failure, categorization: Categorization) -> tuple[str, str, str]:
    """App, category and subject: the module, library or program that a node lacks."""
    return failure.app or "", categorization.category, str(categorization.evidence.get("subject", ""))[:MAX_NAME]


def cause_of(category: str, signature: str) -> tuple[str, str]:
    """What two tasks must share to have failed for one cause."""
    return category, signature


def at_fault(categorization: Categorization) -> bool:
    """Whether a failure counts in the success rate of its node: a bug or a failed dependency says nothing of it."""
    return categorization.layer not in ("application", "framework") and categorization.resolvable != "no"
