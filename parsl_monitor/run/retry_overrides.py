"""A decision as the workflow's own retry_handler settles it."""

from __future__ import annotations

import msgspec

from octopus_plugins.events import Decision, Placement
from octopus_plugins.wrath.decisions.budget import terminated
from octopus_plugins.wrath.policy.category import OTHER_EXECUTOR


def with_own_cost(decision: Decision, cost: float, left: float) -> Decision:
    """The decision as the workflow's own handler has settled it, which has the last word.

    Args:
        decision: What was decided.
        cost: What the handler charged.
        left: What the task may still be charged.
    """
    if cost > left:
        if decision.action == "terminate":
            return decision
        return terminated(decision, f"the workflow's own retry_handler charged {cost:g} and {left:g} was left")
    if decision.action == "retry":
        return msgspec.structs.replace(decision, charge=cost)
    return msgspec.structs.replace(
        decision,
        action="retry",
        charge=cost,
        halts_run=False,
        rule="retry_handler",
        reason=f"{decision.reason}; retried because the workflow's own retry_handler charged {cost:g} of {left:g} left",
    )


def with_own_executor(decision: Decision, executor: str) -> Decision:
    """The retry as the workflow's own handler has placed it.

    Args:
        decision: The retry.
        executor: Label of the executor that the handler has set.
    """
    first = decision.placement.first if decision.placement is not None else True
    return msgspec.structs.replace(
        decision,
        placement=Placement(rung=OTHER_EXECUTOR, executor=executor, first=first),
        reason=f"{decision.reason}; on executor {executor!r}, which the workflow's own retry_handler has set",
    )
