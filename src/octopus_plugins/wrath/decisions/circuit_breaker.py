"""The circuit breaker: says that nearly everything in a run fails for one cause. What is done is the user's choice."""

from __future__ import annotations

from dataclasses import dataclass

from octopus_plugins.wrath.decisions.context import Case
from octopus_plugins.wrath.history.fingerprint import signature
from octopus_plugins.wrath.history.node_faults import cause_of
from octopus_plugins.wrath.policy.policy import HALT, WARN
from octopus_plugins.wrath.taxonomy.categories import Layer


@dataclass(frozen=True, slots=True)
class Systemic:
    """What was found out about a run.

    Attributes:
        reason: A clause for people.
        action: What is done about it: ``warn``, ``pause`` or ``halt``.
    """

    reason: str
    action: str


def find_systemic(case: Case) -> Systemic | None:
    """What is wrong with the whole run, now that this task is given up as well; None where nothing is, or it was said.

    Failed dependencies and joins are consequences and count for nothing; nor does what failed before the run was
    first heard of.
    """
    rules, run = case.policy.breaker, case.run
    if not rules.enabled or run is None or run.halted is not None or run.systemic:
        return None
    if not run.heard or case.categorization.layer == Layer.framework.value:
        return None  # what ended well is not known
    alike = (run.causes.get(cause_of(case.categorization.category, signature(case.failure))) or 0) + 1
    ended = run.done + run.given_up + 1
    if alike < rules.minimum_tasks or alike < rules.share * ended:
        return None
    known = max(run.submitted, ended)
    reason = f"{alike} of {ended} ended tasks, {alike / known:.0%} of the {known} submitted, failed for one cause"
    return Systemic(reason, _action(case))


def _action(case: Case) -> str:
    """What the policy asks for; an app that ends well for some inputs is no reason to halt."""
    wanted = case.policy.on_systemic_failure
    if wanted != HALT or case.categorization.layer not in (Layer.application.value, Layer.unknown.value):
        return wanted
    if not case.failure.app:
        return WARN if case.run is not None and case.run.done else wanted
    app = case.history.app(case.failure.run_id, case.failure.app)
    return WARN if app is not None and app.successes else wanted
