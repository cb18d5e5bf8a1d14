"""What a failure says against the place where it happened."""

from __future__ import annotations

from octopus_plugins.events import Categorization, Failure
from octopus_plugins.events.base import MAX_NAME
from octopus_plugins.wrath.run_times import RunTimes
from octopus_plugins.wrath.taxonomy import Category

QUICK = 1.0
"""Seconds within which a failure is quick where the app's run times are not known."""

NODE_FAULTS = frozenset(
    category.value
    for category in (
        Category.disk_full,
        Category.executable_missing,
        Category.file_descriptors_exhausted,
        Category.filesystem_error,
        Category.gpu_error,
        Category.library_missing,
        Category.module_missing,
        Category.node_unhealthy,
        Category.permission_denied,
        Category.process_limit,
        Category.version_mismatch,
    )
)
"""Categories that speak against the node. Lost and preempted nodes are not to blame, nor is one for the network."""

INSTALLED = frozenset(
    {
        Category.executable_missing,
        Category.library_missing,
        Category.module_missing,
        Category.version_mismatch,
    }
)
"""What a node has or has not: one success of the app elsewhere proves that it is the node."""

LASTING = INSTALLED | {Category.gpu_error, Category.permission_denied}
"""What seldom mends itself; a full disk or too many open files do."""


def fault_of(failure: Failure, categorization: Categorization) -> tuple[str, str, str]:
    """App, category and subject: the module, library or program that a node lacks."""
    return failure.app or "", categorization.category, str(categorization.evidence.get("subject", ""))[:MAX_NAME]


def cause_of(category: str, signature: str) -> tuple[str, str]:
    """What two tasks must share to have failed for one cause."""
    return category, signature


def at_fault(categorization: Categorization) -> bool:
    """Whether a failure counts in the success rate of its node: a bug or a failed dependency says nothing of it."""
    return categorization.layer not in ("application", "framework") and categorization.resolvable != "no"


def is_quick(failure: Failure, times: RunTimes | None) -> bool:
    """Whether a try failed so fast that its node would attract more than its share of the work."""
    if failure.started is not None and failure.ended is not None:
        ran = failure.ended - failure.started
    elif failure.launched is not None:
        ran = failure.time - failure.launched
    else:
        return False
    return ran < (times.shortest / 2 if times is not None and len(times) else QUICK)
