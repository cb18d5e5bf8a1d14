"""What a decider service decided, checked before it is applied: it came from a topic, which others may write to."""

from __future__ import annotations

import math
from collections.abc import Container

import msgspec

from octopus_plugins.events import Decision, Failure, Placement
from octopus_plugins.plugins import LONGEST_DELAY

APPLIED = "applied"
"""Serial, or its end, of the record that a run makes of another's decision when it applies it."""

MAX_HOSTS = 64
"""Nodes that a decision may name for a placement."""

MAX_DENIED = 1_000
"""Nodes that a decision may deny."""

LONGEST_DENIAL = 86_400.0
"""Seconds that a node may be denied."""

LONGEST_AVOIDED = 60.0
"""Seconds for which a retry may be kept off nodes."""

FREE_RETRIES = 20
"""Retries of one task beyond the run's own, that a service may leave uncharged."""


def refusal(
    decision: Decision,
    failure: Failure,
    executors: Container[str],
    retries: int,
    policy: tuple[str, str] | None = None,
) -> str | None:
    """Why a decision cannot be applied to a failure, for people; None where it can.

    Args:
        decision: The service's.
        failure: The failure that it should be about.
        executors: Labels of the executors that there are.
        retries: The run's own retries per task.
        policy: Name and digest of the run's own policy; None accepts what was decided under any other.
    """
    if (decision.run_id, decision.task_id, decision.try_id) != (failure.run_id, failure.task_id, failure.try_id):
        return f"it is about another try ({decision.run_id}/{decision.task_id}/{decision.try_id})"
    if decision.action not in ("retry", "terminate"):
        return f"its action is {decision.action!r}"
    if decision.mode != "active":
        return "the service only records (its mode is passive)"
    # Comparisons with NaN are False.
    if not 0 <= decision.charge < math.inf:
        return f"its charge is {decision.charge}"
    if not 0 <= decision.delay <= LONGEST_DELAY:
        return f"its delay is {decision.delay} s"
    if decision.action == "retry" and failure.try_id >= retries + FREE_RETRIES:
        return f"the task was tried {failure.try_id + 1} times"
    if policy is not None and not decision.imposed:
        name, digest = policy
        if decision.policy != name or (decision.policy_digest and decision.policy_digest != digest):
            return (
                f"it was made under another policy ({decision.policy!r:.100}) than the run's own ({name!r}), and no"
                " --policy was given to the service"
            )
    target = decision.placement.executor if decision.placement is not None else None
    if target is not None and (target not in executors or target.startswith("_parsl")):
        return f"it names the executor {target!r:.100}, which this run does not have"
    return None


def adopted(decision: Decision, failure: Failure, now: float) -> Decision:
    """A decision that can be applied, within bounds, as the record of its being applied.

    Args:
        decision: The service's; it was not refused.
        failure: What it is about.
        now: Unix seconds.
    """
    placement = decision.placement
    if placement is not None:
        placement = Placement(
            rung=placement.rung,
            executor=placement.executor,
            avoid_hosts=placement.avoid_hosts[:MAX_HOSTS],
            avoid_blocks=placement.avoid_blocks[:MAX_HOSTS],
            avoid_for=min(max(placement.avoid_for, 0.0), LONGEST_AVOIDED),
            prefer_hosts=placement.prefer_hosts[:MAX_HOSTS],
            first=placement.first,
        )
    return msgspec.structs.replace(
        decision,
        time=now,
        app=failure.app,
        executor=failure.executor,
        block=failure.block,
        manager=failure.manager,
        host=failure.host,
        worker_id=failure.worker_id,
        pid=failure.pid,
        placement=placement,
        deny_hosts=bounded_denials(decision, now),
        serial=APPLIED,
    )


def bounded_denials(decision: Decision, now: float) -> dict[str, float]:
    """The nodes to deny with the Unix time until when: not too many of them, and for no longer than a day.

    Nodes that the decision lets off, denied until its own time at the latest, are let off now; denials that have
    ended since are left out.
    """
    denied = decision.deny_hosts.items()
    kept = [(host, until) for host, until in denied if until <= decision.time or now < until][:MAX_DENIED]
    return {host: now if until <= decision.time else min(until, now + LONGEST_DENIAL) for host, until in kept}


def is_applied(decision: Decision) -> bool:
    """Whether a decision is a run's own record of one that it applied."""
    return decision.serial == APPLIED or decision.serial.endswith(f"/{APPLIED}")
