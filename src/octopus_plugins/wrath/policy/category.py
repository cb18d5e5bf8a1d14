"""What to do about the failures of one category, and the built-in answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from octopus_plugins.errors import PolicyError
from octopus_plugins.wrath.policy.checks import Check, check_fields, factors, labels, number, one_of, whole, word
from octopus_plugins.wrath.taxonomy.categories import Category

SAME_NODE, OTHER_NODE, OTHER_EXECUTOR = RUNGS = ("same_node", "other_node", "other_executor")
OTHER_BLOCK = "other_block"
"""For hosts whose one executor is all that there is, as an endpoint of Globus Compute: no rung unless it is named."""

ACTIONS = ("retry", "terminate")

_CATEGORY_CHECKS: dict[str, Check] = {
    "action": one_of(ACTIONS),
    "maximum_attempts": whole(0),
    "initial_interval": number(0),
    "backoff_coefficient": number(1),
    "maximum_interval": number(0),
    "rungs": labels((SAME_NODE, OTHER_NODE, OTHER_BLOCK, OTHER_EXECUTOR), empty=False),
    "charge": number(0),
    "confirm": whole(0),
    "resources": factors,
    "budget": word,
    "recovery": number(0, 1),
}


@dataclass(frozen=True, slots=True)
class CategoryPolicy:
    """What to do about the failures of one category. The vocabulary is Temporal's ``RetryPolicy``.

    Attributes:
        action: ``retry``, or ``terminate`` at the first failure.
        maximum_attempts: Tries of a task that may end in this category, the first one included; 0 is no limit but the
            run's own retries.
        initial_interval: Seconds to wait before the first retry, where time is what helps: in the same place, or for
            what all places share. A retry that moves to another node or executor does not wait at first. No wait
            is longer than the run can spare (see "When?").
        backoff_coefficient: Factor by which the wait grows with each failure of the category.
        maximum_interval: Longest wait, seconds.
        rungs: Where a retry may go, in order of preference: ``same_node``, ``other_node``, ``other_block``,
            ``other_executor``.
        charge: How much of the run's own budget of retries one failure uses up.
        confirm: How often, on different nodes where there are others, a failure must show before it counts as certain
            and the task is terminated, whatever retries are left; 0 is never.
        resources: Factors by which a retry asks for more, by key of the task's own resource specification; keys that
            the task does not specify stay out.
        budget: Name of the budget in ``[budgets]`` that pays for a failure in the place of the run's own retries while
            it lasts; empty for none.
        recovery: Chance that a retry recovers from it, before anything is known of this very failure; what its
            retries came to in the run corrects it. Only costly tries are stopped for it: see ``[termination]``.
    """

    action: str = "retry"
    maximum_attempts: int = 0
    initial_interval: float = 0.0
    backoff_coefficient: float = 2.0
    maximum_interval: float = 300.0
    rungs: tuple[str, ...] = RUNGS
    charge: float = 1.0
    confirm: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    budget: str = ""
    recovery: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, _CATEGORY_CHECKS)
        if self.charge == 0 and self.maximum_attempts == 0 and self.action == "retry":
            raise PolicyError("maximum_attempts = 0: a category with charge = 0 needs a limit, or it retries for ever")
        if self.initial_interval > self.maximum_interval:
            raise PolicyError(
                f"initial_interval = {self.initial_interval!r}: must be at most maximum_interval, which is"
                f" {self.maximum_interval!r}"
            )


OUTSIDE = "outside"
"""The budget of what the task did not cause: preemption, lost nodes and blocks."""

DEFAULT_BUDGETS: Mapping[str, int] = {OUTSIDE: 10}


def _outside(*rungs: str, initial_interval: float = 0.25) -> CategoryPolicy:
    return CategoryPolicy(
        initial_interval=initial_interval,
        maximum_interval=60.0,
        rungs=rungs,
        budget=OUTSIDE,
    )


def _task(recovery: float) -> CategoryPolicy:
    """What lies with the task, as far as anybody can tell: other places first, then time."""
    return CategoryPolicy(
        initial_interval=1.0,
        backoff_coefficient=3.0,
        maximum_interval=60.0,
        rungs=(OTHER_NODE, SAME_NODE),
        recovery=recovery,
    )


# The run's own retries are honoured in full: another place where it may help, then time as far as the run can spare
# it. What the task did not cause (preemption, lost nodes) is paid from a budget of its own.
_ONCE = CategoryPolicy(action="terminate", maximum_attempts=1)
_NODE = CategoryPolicy(
    initial_interval=1.0,
    backoff_coefficient=3.0,
    maximum_interval=60.0,
    rungs=(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE),
    recovery=0.3,
)
_SHARED = CategoryPolicy(
    initial_interval=2.0,
    backoff_coefficient=3.0,
    maximum_interval=120.0,
    rungs=(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR),
)
_SERVICE = CategoryPolicy(
    initial_interval=5.0,
    backoff_coefficient=2.0,
    maximum_interval=300.0,
    rungs=(SAME_NODE, OTHER_NODE, OTHER_EXECUTOR),
    recovery=0.8,
)
_CROWDED = CategoryPolicy(initial_interval=1.0, maximum_interval=60.0, rungs=(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE))
_LOST = (OTHER_NODE, SAME_NODE, OTHER_EXECUTOR)

DEFAULT_CATEGORIES: dict[Category, CategoryPolicy] = {
    Category.code_error: _task(0.05),
    Category.native_crash: _task(0.1),
    Category.numerical_error: _task(0.1),
    Category.bad_input: _task(0.1),
    Category.app_exit: _task(0.1),
    Category.missing_output: _task(0.1),
    Category.serialization: _task(0.02),
    Category.dependency_failed: _ONCE,
    Category.join_failed: _ONCE,
    Category.monitoring_lost: _SHARED,
    Category.executor_bad_state: _outside(OTHER_EXECUTOR, initial_interval=0.0),
    Category.version_mismatch: _NODE,
    Category.halted: _ONCE,
    Category.lost_task: _outside(*_LOST),
    Category.memory_exhausted: CategoryPolicy(
        initial_interval=1.0,
        maximum_interval=60.0,
        rungs=(SAME_NODE, OTHER_EXECUTOR, OTHER_NODE),
        resources={"memory": 2.0},
        recovery=0.3,
    ),
    Category.file_descriptors_exhausted: _CROWDED,
    Category.disk_full: _CROWDED,
    Category.walltime_exceeded: CategoryPolicy(rungs=(OTHER_EXECUTOR, OTHER_NODE, SAME_NODE), recovery=0.2),
    Category.worker_lost: CategoryPolicy(initial_interval=0.25, maximum_interval=60.0, rungs=_LOST),
    Category.manager_lost: _outside(*_LOST),
    Category.block_failed: _outside(OTHER_EXECUTOR, OTHER_NODE, SAME_NODE, initial_interval=1.0),
    Category.preempted: _outside(*_LOST),
    Category.process_limit: CategoryPolicy(initial_interval=1.0, maximum_interval=60.0, rungs=_LOST),
    Category.resource_busy: replace(_SHARED, recovery=0.7),
    Category.peer_lost: _CROWDED,
    Category.node_down: _outside(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE),
    Category.node_unhealthy: CategoryPolicy(
        initial_interval=1.0, maximum_interval=60.0, rungs=(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE)
    ),
    Category.module_missing: _NODE,
    Category.library_missing: _NODE,
    Category.executable_missing: _NODE,
    Category.permission_denied: _NODE,
    Category.gpu_error: _NODE,
    Category.network_unreachable: _SHARED,
    Category.filesystem_error: _SHARED,
    Category.service_unavailable: _SERVICE,
    Category.credentials_rejected: replace(_SHARED, recovery=0.02),
    Category.setup_failed: _NODE,
    Category.container_failed: _NODE,
    Category.hardware_mismatch: _NODE,
    Category.unknown: _task(0.2),
}

_TWICE: dict[str, Any] = {"maximum_attempts": 3, "confirm": 2}
_EVERYWHERE: dict[str, Any] = {"maximum_attempts": 4, "confirm": 2, "rungs": (OTHER_NODE, OTHER_EXECUTOR)}
_EARLY: dict[Category, dict[str, Any]] = {
    Category.code_error: _TWICE,
    Category.native_crash: _TWICE,
    Category.numerical_error: _TWICE,
    Category.bad_input: _TWICE,
    Category.app_exit: _TWICE,
    Category.missing_output: _TWICE,
    Category.walltime_exceeded: _TWICE,
    Category.unknown: _TWICE,
    Category.version_mismatch: _EVERYWHERE,
    Category.module_missing: _EVERYWHERE,
    Category.library_missing: _EVERYWHERE,
    Category.executable_missing: _EVERYWHERE,
    Category.permission_denied: _EVERYWHERE,
    Category.gpu_error: _EVERYWHERE,
    Category.setup_failed: _EVERYWHERE,
    Category.container_failed: _EVERYWHERE,
    Category.hardware_mismatch: _EVERYWHERE,
    Category.credentials_rejected: _TWICE,
    Category.worker_lost: {"maximum_attempts": 5, "confirm": 4, "budget": OUTSIDE},
    Category.serialization: {"action": "terminate", "maximum_attempts": 1},
}

PUBLISHED_CATEGORIES: dict[Category, CategoryPolicy] = {
    category: replace(entry, **_EARLY.get(category, {})) for category, entry in DEFAULT_CATEGORIES.items()
}
"""The early termination of WRATH as it was published: a failure that showed twice is taken for certain."""
