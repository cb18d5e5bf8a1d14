"""When a try that still runs counts as lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from octopus_plugins.wrath.history.health import MISSED

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History
    from octopus_plugins.wrath.policy.policy import Policy

MINIMUM_KNOWN = 3
"""Run times of an app that must be known before one can be called too long."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A running try that counts as lost.

    Attributes:
        ran: Seconds since it began.
        usual: Seconds that its app's tries take at most, as far as they are remembered.
        silent: Seconds since its node was last heard.
    """

    ran: float
    usual: float
    silent: float


def overdue(
    history: History,
    policy: Policy,
    *,
    run_id: str,
    app: str | None,
    host: str | None,
    started: float | None,
    time: float,
    silence: float = 0.0,
) -> Overdue | None:
    """Whether a running try is far over its app's time while its node is silent.

    Args:
        history: What happened so far.
        policy: Its ``stragglers`` say how far and how silent.
        run_id: The run.
        app: The try's app; None is never overdue.
        host: The node that it runs on; None is never overdue.
        started: When it began, Unix seconds by the submit side's clock.
        time: Now, by the same clock.
        silence: Seconds of silence before which the framework itself would not give up the node.

    Returns:
        How long it ran, takes as a rule, and the node was silent; None where either is within its bounds or unknown.
    """
    rules = policy.stragglers
    if not rules.enabled or not app or not host or started is None:
        return None
    ran = time - started
    if ran < rules.minimum:
        return None
    node = history.host(host)
    if node is None or not node.period or not node.heard:
        return None
    silent = time - node.heard
    if silent < max(rules.silence, silence, MISSED * node.period):
        return None
    times = history.run_times(app)
    if times is None or len(times) < MINIMUM_KNOWN or ran < rules.factor * times.longest:
        return None
    return Overdue(ran=round(ran, 3), usual=round(times.longest, 3), silent=round(silent, 3))
