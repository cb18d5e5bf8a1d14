"""What is done about a failure, and why."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from octopus_plugins.events.base import Moment, Name, Topic, TryEvent

ANY = "*"
"""In the place of a task or run: all of them."""


class Rung(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rung of the ladder as it was considered.

    Attributes:
        name: ``same_node``, ``other_node``, ``other_block`` or ``other_executor``.
        taken: Whether the retry goes there.
        reason: Why it was taken or passed over.
        executor: The executor meant, for ``other_executor``.
    """

    name: Name
    taken: bool = False
    reason: str = ""
    executor: Name | None = None


class Placement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a retry goes.

    Attributes:
        rung: ``same_node``, ``other_node``, ``other_block`` or ``other_executor``.
        executor: Label of the executor that gets the retry.
        avoid_hosts: Nodes that must not get it while another one of the executor is there.
        avoid_blocks: Blocks that must not get it while another one of the executor is there.
        avoid_for: Seconds for which those nodes and blocks are avoided while no other one has room; 0 where that is
            not said.
        prefer_hosts: Nodes that should get it, best first; any other one may after a while.
        first: Whether it goes to the front of the executor's queue.
    """

    rung: Name
    executor: Name | None = None
    avoid_hosts: tuple[Name, ...] = ()
    avoid_blocks: tuple[Name, ...] = ()
    avoid_for: float = 0.0
    prefer_hosts: tuple[Name, ...] = ()
    first: bool = True


class Decision(TryEvent, frozen=True, kw_only=True, omit_defaults=True):
    """Retry or terminate, for one failed try; or what a person or a service decided of a run or of nodes.

    The place fields (``executor``, ``host``, …) are those of the try that failed; where the retry goes
    stands in ``placement``. A decision on a whole run has ``task_id`` `ANY`, one on every run of the user
    has ``run_id`` `ANY` too.

    Attributes:
        action: ``retry`` or ``terminate``; of nodes, ``deny`` or ``allow`` (those of ``deny_hosts``).
        layer: The failure's layer.
        category: The failure's category.
        reason: One sentence for people: what failed, and what follows.
        stop: Why it is not retried, for programs: a value of `octopus_plugins.events.Stop`; empty for ``retry``, and in
            what older versions recorded.
        why_not: The same as a clause for people.
        rule: The rule of the policy that decided.
        placement: Where the retry goes; None for ``terminate``.
        delay: Seconds to wait before the retry.
        resources: Changes to the task's resource specification.
        charge: How much of the task's budget of retries this failure uses up.
        considered: The rungs considered, in order.
        deny_hosts: Nodes that get no new tasks from now on, with the Unix time until when.
        deny_app: The app of which those nodes get no new tasks; empty for every app.
        systemic: What was found out about the whole run, where nearly everything in it fails for one cause; empty
            where nothing was, or that was said before.
        on_systemic: What is done about that: ``warn``, ``pause`` or ``halt``.
        mode: ``active`` (applied) or ``passive`` (recorded only).
        halts_run: Whether the whole run is to stop: what waits or runs in it is terminated too.
        decider: Who decided: ``workflow``, ``service`` or ``person``.
        serial: Tells apart what one decider decides of the same try, run or node; a person's is unique.
        policy: Name of the policy.
        policy_digest: Fingerprint of the policy that a service decided by (`octopus_plugins.wrath.policy.data`).
        imposed: Whether a service was given that policy for all runs, in the place of their own.
    """

    TYPE: ClassVar[str] = "octopus.decision/v1"
    TOPIC: ClassVar[Topic] = Topic.decisions

    action: Name
    layer: Name = "unknown"
    category: Name = "unknown"
    reason: str = ""
    stop: Name = ""
    why_not: str = ""
    rule: Name = ""
    placement: Placement | None = None
    delay: float = 0.0
    resources: dict[str, str | int | float | bool | None] = {}
    charge: float = 1.0
    considered: tuple[Rung, ...] = ()
    deny_hosts: dict[Name, Moment] = {}
    deny_app: Name = ""
    halts_run: bool = False
    systemic: str = ""
    on_systemic: Name = ""
    mode: Name = "active"
    serial: Name = ""
    decider: Name = "workflow"
    policy: Name = "default"
    policy_digest: Name = ""
    imposed: bool = False

    @property
    def id(self) -> str:
        more = f"/{self.serial}" if self.serial else ""
        return f"{self.run_id}/{self.task_id}/{self.try_id}/decision/{self.decider}{more}"
