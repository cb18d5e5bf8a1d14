"""A decision as the workflow's own retry_handler settles it."""

from __future__ import annotations

import msgspec

from octopus_plugins.events import Decision, Failure, Placement, Stop
from octopus_plugins.wrath.decisions.budget import terminated
from octopus_plugins.wrath.policy.category import OTHER_EXECUTOR


def with_own_cost(decision: Decision, failure: Failure, cost: float, left: float) -> Decision:
    """The decision as the workflow's own handler has settled it, which has the last word.

    Args:
        decision: What was decided.
        failure: What it is about, categorised.
        cost: What the handler charged.
        left: What the task may still be charged.
    """
    if cost > left:
        if decision.action == "terminate":
            return decision
        why_not = f"the workflow's own retry_handler charged {cost:g} and {left:g} was left"
        return terminated(decision, failure, Stop.own_handler, why_not, rule="retries")
    if decision.action == "retry":
        return msgspec.structs.replace(decision, charge=cost)
    return msgspec.structs.replace(
        decision,
        action="retry",
        charge=cost,
        halts_run=False,
        stop="",
        why_not="",
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
