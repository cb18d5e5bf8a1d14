"""A decision as the run settles it: within its budget of retries, and not against what was stopped."""

from __future__ import annotations

from msgspec.structs import replace

from octopus_plugins.events import Categorization, Decision, Failure, Stop


def what_failed(failure: Failure, categorization: Categorization | None) -> str:
    """What failed, as a clause for people."""
    said = categorization.reason.rstrip(". ") if categorization is not None else ""
    return said or f"failed with {failure.exception.type}"


def not_retried(what: str, why_not: str) -> str:
    """The sentence for people about a task that ends."""
    return f"{what}; not retried: {why_not}"


def terminated(decision: Decision, failure: Failure, stop: Stop, why_not: str, *, rule: str) -> Decision:
    """The decision turned into termination.

    Args:
        decision: What was decided.
        failure: What it is about, categorised.
        stop: Why it is turned.
        why_not: The same as a clause for people.
        rule: What turned it.
    """
    return replace(
        decision,
        action="terminate",
        placement=None,
        delay=0.0,
        rule=rule,
        reason=not_retried(what_failed(failure, failure.categorization), why_not),
        stop=stop.value,
        why_not=why_not,
    )


def within_budget(decision: Decision, failure: Failure, left: float, retries: int) -> Decision:
    """The decision within the run's own retries; with none, nothing is retried however little it is charged.

    Args:
        decision: What was decided.
        failure: What it is about, categorised.
        left: What the task may still be charged.
        retries: The run's retries per task.
    """
    if decision.action != "retry" or (decision.charge <= left and retries > 0):
        return decision
    stop = Stop.retries_used_up if retries > 0 else Stop.no_retries
    return terminated(decision, failure, stop, f"the run's {retries} retries are used up", rule="retries")
