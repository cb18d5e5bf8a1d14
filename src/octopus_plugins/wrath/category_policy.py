"""What to do about the failures of one category, and the built-in answers."""

from __future__ import annotations

from dataclasses import dataclass

from octopus_plugins.errors import PolicyError
from octopus_plugins.wrath.policy_checks import Check, check_fields, labels, number, one_of, whole
from octopus_plugins.wrath.taxonomy import Category

SAME_NODE, OTHER_NODE, OTHER_EXECUTOR = RUNGS = ("same_node", "other_node", "other_executor")
ACTIONS = ("retry", "terminate")

_CATEGORY_CHECKS: dict[str, Check] = {
    "action": one_of(ACTIONS),
    "maximum_attempts": whole(0),
    "initial_interval": number(0),
    "backoff_coefficient": number(1),
    "maximum_interval": number(0),
    "rungs": labels(RUNGS, empty=False),
    "charge": number(0),
    "confirm": whole(0),
}


@dataclass(frozen=True, slots=True)
class CategoryPolicy:
    """What to do about the failures of one category. The vocabulary is Temporal's ``RetryPolicy``.

    Attributes:
        action: ``retry``, or ``terminate`` at the first failure.
        maximum_attempts: Tries of a task that may end in this category, the first one included; 0 is no limit.
        initial_interval: Seconds to wait before the first retry.
        backoff_coefficient: Factor by which the wait grows with each failure of the category.
        maximum_interval: Longest wait, seconds.
        rungs: Where a retry may go, in order of preference: ``same_node``, ``other_node``, ``other_executor``.
        charge: How much of the run's own budget of retries one failure uses up.
        confirm: How often, on different nodes where there are others, a failure must show before it counts as certain
            and the task is terminated; 0 is never.
    """

    action: str = "retry"
    maximum_attempts: int = 4
    initial_interval: float = 0.0
    backoff_coefficient: float = 2.0
    maximum_interval: float = 300.0
    rungs: tuple[str, ...] = RUNGS
    charge: float = 1.0
    confirm: int = 0

    def __post_init__(self) -> None:
        check_fields(self, _CATEGORY_CHECKS)
        if self.charge == 0 and self.maximum_attempts == 0 and self.action == "retry":
            raise PolicyError("maximum_attempts = 0: a category with charge = 0 needs a limit, or it retries for ever")


# What a person may count on: doomed tasks end at once or after one confirmation; what the task did not cause
# (preemption, lost nodes) is not charged to it, up to a cap; shared services get time to come back.
_ONCE = CategoryPolicy(action="terminate", maximum_attempts=1)
_CONFIRMED = CategoryPolicy(maximum_attempts=3, rungs=(OTHER_NODE, SAME_NODE), confirm=2)
_NODE = CategoryPolicy(rungs=(OTHER_NODE, OTHER_EXECUTOR), confirm=2)
_SHARED = CategoryPolicy(
    maximum_attempts=5, initial_interval=5.0, maximum_interval=120.0, rungs=(SAME_NODE, OTHER_NODE, OTHER_EXECUTOR)
)
_OUTSIDE = CategoryPolicy(
    maximum_attempts=5,
    initial_interval=1.0,
    maximum_interval=60.0,
    rungs=(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR),
    charge=0.0,
)

DEFAULT_CATEGORIES: dict[Category, CategoryPolicy] = {
    Category.code_error: _CONFIRMED,
    Category.native_crash: _CONFIRMED,
    Category.numerical_error: _CONFIRMED,
    Category.bad_input: CategoryPolicy(
        maximum_attempts=3, initial_interval=1.0, rungs=(OTHER_NODE, SAME_NODE), confirm=2
    ),
    Category.app_exit: _CONFIRMED,
    Category.missing_output: _CONFIRMED,
    Category.serialization: _ONCE,
    Category.dependency_failed: _ONCE,
    Category.join_failed: _ONCE,
    Category.monitoring_lost: _SHARED,
    Category.executor_bad_state: CategoryPolicy(rungs=(OTHER_EXECUTOR,), charge=0.0),
    Category.version_mismatch: _NODE,
    Category.lost_task: _OUTSIDE,
    Category.memory_exhausted: CategoryPolicy(rungs=(SAME_NODE, OTHER_EXECUTOR, OTHER_NODE)),
    Category.file_descriptors_exhausted: CategoryPolicy(
        initial_interval=1.0, maximum_interval=60.0, rungs=(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE)
    ),
    Category.disk_full: CategoryPolicy(
        initial_interval=1.0, maximum_interval=120.0, rungs=(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE)
    ),
    Category.walltime_exceeded: CategoryPolicy(
        maximum_attempts=3, rungs=(OTHER_EXECUTOR, OTHER_NODE, SAME_NODE), confirm=2
    ),
    Category.worker_lost: CategoryPolicy(
        maximum_attempts=5,
        initial_interval=0.5,
        maximum_interval=60.0,
        rungs=(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR),
        charge=0.0,
        confirm=4,
    ),
    Category.manager_lost: _OUTSIDE,
    Category.block_failed: CategoryPolicy(
        maximum_attempts=5,
        initial_interval=5.0,
        maximum_interval=300.0,
        rungs=(OTHER_EXECUTOR, OTHER_NODE, SAME_NODE),
        charge=0.0,
    ),
    Category.preempted: _OUTSIDE,
    Category.process_limit: CategoryPolicy(
        initial_interval=2.0, maximum_interval=60.0, rungs=(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR)
    ),
    Category.node_down: CategoryPolicy(
        maximum_attempts=5,
        initial_interval=1.0,
        maximum_interval=60.0,
        rungs=(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE),
        charge=0.0,
    ),
    Category.node_unhealthy: CategoryPolicy(
        maximum_attempts=5, initial_interval=1.0, rungs=(OTHER_NODE, OTHER_EXECUTOR, SAME_NODE)
    ),
    Category.module_missing: _NODE,
    Category.library_missing: _NODE,
    Category.executable_missing: _NODE,
    Category.permission_denied: _NODE,
    Category.gpu_error: _NODE,
    Category.network_unreachable: _SHARED,
    Category.filesystem_error: CategoryPolicy(
        maximum_attempts=5,
        initial_interval=5.0,
        maximum_interval=120.0,
        rungs=(OTHER_NODE, SAME_NODE, OTHER_EXECUTOR),
    ),
    Category.unknown: _CONFIRMED,
}
