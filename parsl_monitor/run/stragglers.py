"""Tries that run far too long on a node that fell silent are lost, and need not wait until Parsl says so."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from octopus_plugins.wrath import History, Policy
from octopus_plugins.wrath.decisions.stragglers import Overdue, overdue
from parsl_monitor.errors import StragglerError
from parsl_monitor.run.attempts import Attempt

if TYPE_CHECKING:
    from parsl_monitor.hub import OctopusMonitoringHub

logger = logging.getLogger("octopus_plugins")


def end_stragglers(hub: OctopusMonitoringHub, policy: Policy, now: float) -> int:
    """End the tries that count as lost; each then fails with a StragglerError, and is decided like any other failure.

    Only a try whose node is known can be one: that is, after its first resource sample.

    Args:
        hub: The run's hub.
        policy: The policy in force.
        now: Unix seconds.

    Returns:
        How many were ended.
    """
    if not policy.stragglers.enabled:
        return 0
    if policy.stragglers.speculate:
        return speculate(hub, policy, now)
    with hub.story.lock:
        silent = silent_hosts(hub.story.history, hub.story.run_id, policy, now)
        overdue_tries = list(_overdue(hub, policy, silent, now, _thresholds(hub))) if silent else []
        lost = [(attempt, found) for attempt, found in overdue_tries if _may_go_on(hub, attempt, now)]
    for attempt, found in lost:
        host = attempt.place["host"]
        logger.warning(
            "Task %s has run for %.0f s on %s, which was last heard %.0f s ago; it counts as lost",
            attempt.task_id,
            found.ran,
            host,
            found.silent,
        )
        hub.fail(attempt, StragglerError(host, found.ran, found.usual, found.silent))
    return len(lost)


def speculate(hub: OctopusMonitoringHub, policy: Policy, now: float) -> int:
    """Run the tries that seem to be lost a second time, elsewhere: the first result wins.

    Args:
        hub: The run's hub.
        policy: The policy in force.
        now: Unix seconds.

    Returns:
        How many were.
    """
    with hub.story.lock:
        silent = silent_hosts(hub.story.history, hub.story.run_id, policy, now)
        found = list(_overdue(hub, policy, silent, now, {})) if silent else []
        late = [attempt for attempt, _ in found if _another_is_up(hub, attempt, now)]
    return sum(attempt.speculate(attempt.place["host"]) for attempt in late)


def _thresholds(hub: OctopusMonitoringHub) -> dict[str, float]:
    """Seconds of silence after which Parsl itself gives up a node, by executor."""
    return {executor.label: float(getattr(executor, "heartbeat_threshold", 0.0)) for executor in hub.executors}


def _may_go_on(hub: OctopusMonitoringHub, attempt: Attempt, now: float) -> bool:
    """Whether the task has a retry left, and another node to take it: else there is nothing to win by ending it."""
    record = attempt.record
    if record is None or record["fail_cost"] + 1 > record["dfk"].config.retries:
        return False
    return _another_is_up(hub, attempt, now)


def _another_is_up(hub: OctopusMonitoringHub, attempt: Attempt, now: float) -> bool:
    history, here = hub.story.history, attempt.place.get("host")
    nodes = history.hosts(hub.story.run_id, attempt.executor)
    return any(name != here and (known := history.host(name)) is not None and known.is_up(now) for name in nodes)


def silent_hosts(history: History, run_id: str, policy: Policy, now: float) -> dict[str, float]:
    """The nodes of a run that have spoken before, and not for as long as the policy calls silence.

    This is what a look costs while all is well: tasks are not looked at then.

    Args:
        history: What happened so far.
        run_id: The run.
        policy: The policy in force.
        now: Unix seconds.

    Returns:
        When each was last heard, Unix seconds.
    """
    run = history.run(run_id)
    silent: dict[str, float] = {}
    for hosts in run.hosts.values() if run is not None else ():
        for name in hosts:
            known = history.host(name)
            heard = max(known.heard, known.manager_seen) if known is not None else 0.0
            if heard and now - heard > policy.stragglers.silence:
                silent[name] = heard
    return silent


def _overdue(
    hub: OctopusMonitoringHub,
    policy: Policy,
    silent: Mapping[str, float],
    now: float,
    thresholds: Mapping[str, float],
) -> Iterator[tuple[Attempt, Overdue]]:
    for attempt in hub.attempts.outstanding():
        host = attempt.place.get("host", "")
        if host not in silent or attempt.ended is not None or attempt.outer is None or attempt.outer.done():
            continue
        found = overdue(
            hub.story.history,
            policy,
            run_id=hub.story.run_id,
            app=attempt.app,
            host=host,
            started=_started(attempt, silent[host]),
            time=now,
            silence=thresholds.get(attempt.executor, 0.0),
        )
        if found is not None:
            yield attempt, found


def _started(attempt: Attempt, heard: float) -> float:
    """When a try began, by the submit side's clock: after it was launched, and before its node was last heard.

    Where its worker has not said, the later of the two: rather too short a run than too long a one.
    """
    return max(attempt.launched or 0.0, min(attempt.started or heard, heard))
