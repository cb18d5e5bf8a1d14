"""The circuit breaker: when nearly everything in a run fails for one cause, the run is stopped."""

from __future__ import annotations

from octopus_plugins.wrath.case import Case
from octopus_plugins.wrath.faults import cause_of
from octopus_plugins.wrath.signatures import signature
from octopus_plugins.wrath.taxonomy import Layer


def why_halt(case: Case) -> str | None:
    """Why the run should stop now that this task is given up as well; None where it should not.

    Failed dependencies and joins are consequences and count for nothing; nor does what failed before the run was
    first heard of.
    """
    rules, run = case.policy.breaker, case.run
    if not rules.enabled or run is None or run.halted is not None or case.categorization.layer == Layer.framework.value:
        return None
    if not run.heard:
        return None  # what ended well is not known
    alike = (run.causes.get(cause_of(case.categorization.category, signature(case.failure))) or 0) + 1
    ended = run.done + run.given_up + 1
    if alike < rules.minimum_tasks or alike < rules.share * ended:
        return None
    return f"{alike} of the run's {ended} ended tasks were given up for this one cause"
