"""Rules for nodes that are gone, or fail what succeeds elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.history.health import MISSED
from octopus_plugins.wrath.rules.rule import (
    Match,
    Rule,
    Scalar,
    Trust,
    place,
    quote,
)
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

FLAKY_TASKS = 3
"""Different tasks that must fail in a row on a node that fails what succeeds elsewhere."""


def _node_state(failure: Failure, history: History | None) -> Match | None:
    host = history.host(failure.host) if history else None
    if host is None or not host.heartbeat:
        return None
    silent = failure.time - max(host.heard, host.heartbeat)
    # Missed heartbeats of the manager have been counted already: those of the node only have to bear them out.
    ended = host.period is not None and silent > MISSED * host.period
    if host.state != "lost" and not ended:
        return None
    evidence: dict[str, Scalar] = {"heartbeat": host.heartbeat, "state": host.state, "silent": round(silent, 3)}
    return Match(f"node {failure.host} is gone: its heartbeats ended {silent:.0f} s ago", evidence, 0.75)


def _straggler(failure: Failure, history: History | None) -> Match:
    known = failure.exception.attributes
    evidence = {name: known.get(name) for name in ("ran", "usual", "silent")}
    return Match(f"node {failure.host or known.get('hostname')} is gone: {failure.exception.message}", evidence, 0.85)


def fails_here_only(failure: Failure, history: History | None) -> Match | None:
    """A node that fails one task after another of an app that succeeds elsewhere."""
    if history is None:
        return None
    here = history.app_on(failure.run_id, failure.app, failure.host)
    app = history.app(failure.run_id, failure.app)
    if here is None or app is None or here.streak < FLAKY_TASKS - 1 or here.successes * 4 > here.streak:
        return None
    elsewhere_good = app.successes - here.successes
    elsewhere_bad = app.failures - here.failures
    if elsewhere_good < FLAKY_TASKS or elsewhere_bad * 4 > elsewhere_good:
        return None
    evidence = {
        "failed_here": here.streak + 1,
        "succeeded_elsewhere": elsewhere_good,
        "failed_elsewhere": elsewhere_bad,
    }
    reason = (
        f"{failure.app} failed {here.streak + 1} times in a row{place(failure)} and ended well {elsewhere_good} times "
        f"elsewhere: {quote(failure.exception)}"
    )
    return Match(reason, evidence, 0.7)


RULES = (
    Rule(
        "node_down.straggler",
        Category.node_down,
        Trust.exact_type,
        _straggler,
        types=("parsl_monitor.errors.StragglerError",),
        doc="a try far beyond its app's run times on a node whose heartbeats stopped",
    ),
    Rule(
        "node_down.heartbeat",
        Category.node_down,
        Trust.structured,
        _node_state,
        types=("parsl.executors.high_throughput.errors.ManagerLost",),
        doc="`ManagerLost`, and the node's own heartbeats ended too",
    ),
    Rule(
        "node_unhealthy.history",
        Category.node_unhealthy,
        Trust.symptom,
        fails_here_only,
        doc="an app fails in a row on one node and succeeds on the others",
    ),
)
