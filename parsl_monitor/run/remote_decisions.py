"""What people and decider services decide while a run goes on, and how the run obeys."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from octopus_plugins.events import ANY, Decision
from octopus_plugins.text import one_line
from parsl_monitor.run.decision_checks import APPLIED, bounded_denials, is_applied

if TYPE_CHECKING:
    from parsl_monitor.hub import OctopusMonitoringHub

logger = logging.getLogger("octopus_plugins")


class Orders:
    """Applies decisions that come from outside of the run. What is applied is told, as the run's record of it.

    Args:
        hub: The run's.
    """

    def __init__(self, hub: OctopusMonitoringHub) -> None:
        self._hub = hub

    def hear(self, decision: Decision) -> None:
        """Take in a decision about this run, or about all; called by the inbox's thread.

        What a service decides of one try goes to who waits for it. Untrusted input: what makes no sense is passed over.
        """
        if is_applied(decision):
            return  # the record that a run made of one
        if decision.decider == "service" and decision.task_id != ANY:
            self._hub.verdicts.hear(decision)
        elif decision.action == "terminate":
            self._stop(decision)
        elif decision.action in ("deny", "allow") and decision.deny_hosts:
            self._steer(decision)

    def _stop(self, decision: Decision) -> None:
        reason = decision.reason or f"stopped by a {decision.decider}"
        if not self._tell(decision, halts_run=decision.task_id == ANY):
            return
        if decision.task_id == ANY:
            self._hub.halt(reason)
        elif self._hub.halts.stop_task(decision.task_id, reason):
            logger.warning("Task %s is stopped: %s", one_line(decision.task_id), one_line(reason))
            self._hub.end_task(decision.task_id, reason)

    def _steer(self, decision: Decision) -> None:
        hosts = decision.deny_hosts
        if decision.action == "deny":
            hosts = bounded_denials(decision, time.time())
        if hosts and self._tell(decision, deny_hosts=hosts):
            self._hub.steer()

    def _tell(self, decision: Decision, **changes: object) -> bool:
        """Tell what is applied, whereby the history learns of it; False where the policy changes nothing."""
        policy = self._hub.policy
        mode = policy.mode if policy is not None else "active"
        if mode == "passive":
            logger.warning("Not applied, for the policy is passive: %s", one_line(decision.reason or decision.action))
        story = self._hub.story
        applied = msgspec.structs.replace(
            decision,
            run_id=story.run_id,
            time=time.time(),
            mode=mode,
            serial=f"{decision.serial}/{APPLIED}" if decision.serial else APPLIED,
            **changes,
        )
        story.tell(applied)
        return mode == "active"
