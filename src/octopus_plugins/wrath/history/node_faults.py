"""What a failure says against the place where it happened."""

from __future__ import annotations

from octopus_plugins.events import Categorization, Failure
from octopus_plugins.events.base import MAX_NAME
from octopus_plugins.wrath.taxonomy.categories import Category

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

NOT_COMPARED = frozenset(
    category.value
    for category in (
        Category.dependency_failed,
        Category.executor_bad_state,
        Category.halted,
        Category.join_failed,
        Category.manager_lost,
        Category.monitoring_lost,
        Category.node_down,
        Category.preempted,
        Category.block_failed,
        Category.lost_task,
        Category.serialization,
    )
)
"""Categories that say nothing of how the next task fares on a living node: where they show is chance."""


def fault_of(failure: Failure, categorization: Categorization) -> tuple[str, str, str]:
    """App, category and subject: the module, library or program that a node lacks."""
    return failure.app or "", categorization.category, str(categorization.evidence.get("subject", ""))[:MAX_NAME]


def cause_of(category: str, signature: str) -> tuple[str, str]:
    """What two tasks must share to have failed for one cause."""
    return category, signature


def at_fault(categorization: Categorization) -> bool:
    """Whether a failure counts in the success rate of its node: a bug or a failed dependency says nothing of it."""
    return categorization.layer not in ("application", "framework") and categorization.resolvable != "no"
