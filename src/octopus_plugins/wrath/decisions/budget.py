"""A decision as the run settles it: within its budget of retries, and not against what was stopped."""

from __future__ import annotations

from msgspec.structs import replace

from octopus_plugins.events import Decision


def terminated(decision: Decision, why: str, *, rule: str = "retries") -> Decision:
    """The decision turned into termination.

    Args:
        decision: What was decided.
        why: A clause for people, in the place of where it would have been retried.
        rule: What turned it.
    """
    what, retried, _ = decision.reason.rpartition("; retried ")
    reason = f"{what if retried else decision.reason}; not retried: {why}"
    return replace(decision, action="terminate", placement=None, delay=0.0, rule=rule, reason=reason)


def within_budget(decision: Decision, left: float, retries: int) -> Decision:
    """The decision within the run's own retries; with none, nothing is retried however little it is charged.

    Args:
        decision: What was decided.
        left: What the task may still be charged.
        retries: The run's retries per task.
    """
    if decision.action == "retry" and (decision.charge > left or retries <= 0):
        return terminated(decision, f"the run's {retries} retries are used up")
    return decision
