"""How a run is configured, as the events tell it."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from typing import Any

from octopus_plugins.events import Run
from octopus_plugins.htex import reports
from octopus_plugins.wrath import Policy
from octopus_plugins.wrath.policy.data import policy_to_data
from parsl_monitor.executor import ObservedExecutor

logger = logging.getLogger("octopus_plugins")


def run_configured(dfk: Any, policy: Policy | None, now: float, decider: str = "workflow") -> Run:
    """What decisions depend on beside what happens: the executors, the number of retries, the policy.

    Args:
        dfk: Parsl's DataFlowKernel.
        policy: The policy in force; None where no WrathRetryHandler is.
        now: Unix seconds.
        decider: Who decides: a decider service leaves runs alone that decide by themselves.
    """
    pools = tuple(
        reports.pool_of(executor, steerable=isinstance(executor, ObservedExecutor))
        for label, executor in dfk.executors.items()
        if not label.startswith("_parsl")
    )
    return Run(
        run_id=dfk.run_id,
        time=now,
        state="configured",
        retries=dfk.config.retries,
        pools=pools,
        policy=policy_to_data(policy) if policy is not None else {},
        labels={"decider": decider},
    )


def warn_of_unknown_rungs(policy: Policy, labels: Iterable[str]) -> None:
    """Warn of executors in the ladder that the run does not have.

    Args:
        policy: The policy in force.
        labels: The executors that there are.
    """
    known = sorted(label for label in labels if not label.startswith("_parsl"))
    for label in policy.ladder:
        if label not in known:
            close = difflib.get_close_matches(label, known, n=1)
            logger.warning(
                "The ladder of policy %r names executor %r, which this run does not have (it has %s)%s; "
                "the rung is passed over",
                policy.name,
                label,
                ", ".join(known),
                f"; did you mean {close[0]!r}?" if close else "",
            )
