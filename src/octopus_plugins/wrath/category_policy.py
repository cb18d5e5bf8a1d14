"""What to do about the failures of one category, and the built-in answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octopus_plugins.errors import PolicyError
from octopus_plugins.wrath.policy_checks import Check, check_fields, factors, labels, number, one_of, whole, word
from octopus_plugins.wrath.taxonomy import Category

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
}


@dataclass(frozen=True, slots=True)
class CategoryPolicy:
    """What to do about the failures of one category. The vocabulary is Temporal's ``RetryPolicy``.

    Attributes:
        action: ``retry``, or ``terminate`` at the first failure.
        maximum_attempts: Tries of a task that may end in this category, the first one included; 0 is no limit.
        initial_interval: Seconds to wait before the first retry, where time is what helps: in the same place, or for
            what all places share. A retry that moves to another node or executor does not wait at first.
        backoff_coefficient: Factor by which the wait grows with each failure of the category.
        maximum_interval: Longest wait, seconds.
        rungs: Where a retry may go, in order of preference: ``same_node``, ``other_node``, ``other_block``,
            ``other_executor``.
        charge: How much of the run's own budget of retries one failure uses up.
        confirm: How often, on different nodes where there are others, a failure must show before it counts as certain
            and the task is terminated; 0 is never.
        resources: Factors by which a retry asks for more, by key of the task's own resource specification; keys that
            the task does not specify stay out.
        budget: Name of the budget in ``[budgets]`` that pays for a failure in the place of the run's own retries while
            it lasts; empty for none.
    """

    action: str = "retry"
    maximum_attempts: int = 4
    initial_interval: float = 0.0
    backoff_coefficient: float = 2.0
    maximum_interval: float = 300.0
    rungs: tuple[str, ...] = RUNGS
    charge: float = 1.0
    confirm: int = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    budget: str = ""

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


def _outside(
    *rungs: str, maximum_attempts: int = 10, initial_interval: float = 0.25, confirm: int = 0
) -> CategoryPolicy:
    return CategoryPolicy(
        maximum_attempts=maximum_attempts,
        initial_interval=initial_interval,
        maximum_interval=60.0,
        rungs=rungs,
        confirm=confirm,
        budget=OUTSIDE,
    )


# What a person may count on: doomed tasks end at once or after one confirmation; what the task did not cause
# (preemption, lost nodes) is paid from a budget of its own; shared services get time to come back.
_ONCE = CategoryPolicy(action="terminate", maximum_attempts=1)
_CONFIRMED = CategoryPolicy(maximum_attempts=3, rungs=(OTHER_NODE, SAME_NODE), confirm=2)
_NODE = CategoryPolicy(rungs=(OTHER_NODE, OTHER_EXECUTOR), confirm=2)
_SHARED = CategoryPolicy(
    maximum_attempts=6,
    initial_interval=2.0,
    backoff_coefficient=3.0,
    maximum_interval=120.0,
    rungs=(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR),
)
_CROWDED = CategoryPolicy(initial_interval=1.0, maximum_interval=60.0, rungs=(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE))

DEFAULT_CATEGORIES: dict[Category, CategoryPolicy] = {
    Category.code_error: _CONFIRMED,
    Category.native_crash: _CONFIRMED,
    Category.numerical_error: _CONFIRMED,
    Category.bad_input: CategoryPolicy(
        maximum_attempts=3, initial_interval=0.5, rungs=(OTHER_NODE, SAME_NODE), confirm=2
    ),
    Category.app_exit: _CONFIRMED,
    Category.missing_output: _CONFIRMED,
    Category.serialization: _ONCE,
    Category.dependency_failed: _ONCE,
    Category.join_failed: _ONCE,
    Category.monitoring_lost: _SHARED,
    Category.executor_bad_state: _outside(OTHER_EXECUTOR, maximum_attempts=4, initial_interval=0.0),
    Category.version_mismatch: _NODE,
    Category.halted: _ONCE,
    Category.lost_task: _outside(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR),
    Category.memory_exhausted: CategoryPolicy(
        initial_interval=1.0, rungs=(SAME_NODE, OTHER_EXECUTOR, OTHER_NODE), resources={"memory": 2.0}
    ),
    Category.file_descriptors_exhausted: _CROWDED,
    Category.disk_full: _CROWDED,
    Category.walltime_exceeded: CategoryPolicy(
        maximum_attempts=3, rungs=(OTHER_EXECUTOR, OTHER_NODE, SAME_NODE), confirm=2
    ),
    Category.worker_lost: _outside(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR, maximum_attempts=5, confirm=4),
    Category.manager_lost: _outside(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR),
    Category.block_failed: _outside(OTHER_EXECUTOR, OTHER_NODE, SAME_NODE, initial_interval=1.0),
    Category.preempted: _outside(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR),
    Category.process_limit: CategoryPolicy(
        initial_interval=1.0, maximum_interval=60.0, rungs=(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR)
    ),
    Category.node_down: _outside(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE),
    Category.node_unhealthy: CategoryPolicy(
        maximum_attempts=5, initial_interval=1.0, rungs=(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE)
    ),
    Category.module_missing: _NODE,
    Category.library_missing: _NODE,
    Category.executable_missing: _NODE,
    Category.permission_denied: _NODE,
    Category.gpu_error: _NODE,
    Category.network_unreachable: _SHARED,
    Category.filesystem_error: _SHARED,
    Category.unknown: _CONFIRMED,
}
