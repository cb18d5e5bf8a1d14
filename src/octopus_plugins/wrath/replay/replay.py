"""A recorded run judged once more: each of its failures, with the history of that moment, by any policy.

Pure, and the code that decides is the very one that decided in the run: the same events and the same policy
give the same decisions, byte for byte.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from octopus_plugins.events import ANY, Block, Decision, Event, Failure, Heartbeat, Run, Task
from octopus_plugins.wrath.decisions.decider import decide
from octopus_plugins.wrath.history.history import WORKER_STATES, History
from octopus_plugins.wrath.policy.policy import Policy
from octopus_plugins.wrath.rules.categorizer import categorize
from octopus_plugins.wrath.rules.default import DEFAULT_RULES
from octopus_plugins.wrath.rules.rule import Rule

EFFECTS = frozenset(
    {
        "action",
        "category",
        "placement",
        "delay",
        "resources",
        "charge",
        "deny_hosts",
        "deny_app",
        "halts_run",
        "on_systemic",
        "mode",
    }
)
"""The fields of a decision that change what happens; the others explain it."""

# What is added to a decision after it was made, on its way into the stream and through it.
_ADDED_LATER = frozenset({"labels", "truncated", "order"})
_OF_ITS_DECIDER = frozenset({"decider", "serial", "time", "policy_digest", "imposed"})
# What older versions did not say of a termination.
_NOT_YET_TOLD = frozenset({"stop", "why_not"})

# Of what happened at the same time, this is the order in which it is told.
_RANKS: tuple[type[Event], ...] = (Run, Block, Heartbeat, Task, Failure, Decision)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One failure, as it was decided and as it is decided now.

    Attributes:
        failure: The failure, with the categorization that is decided on.
        recorded: The decision that was honoured in the run; None where none was made.
        decision: The decision of the policy that is tried.
        differs: Names of the fields in which the two differ, in the order of the class; empty without a record.
    """

    failure: Failure
    recorded: Decision | None
    decision: Decision
    differs: tuple[str, ...]

    @property
    def changes(self) -> tuple[str, ...]:
        """Those of the fields that differ which change what happens."""
        return tuple(name for name in self.differs if name in EFFECTS)


def replay(
    events: Iterable[Event],
    policy: Policy,
    *,
    rules: Sequence[Rule] = DEFAULT_RULES,
    categorize_again: bool = False,
) -> Iterator[Replayed]:
    """Judge every failure of a recorded run by a policy.

    Each failure is judged on the history that really was: what came before it in the run, the decisions that were
    recorded included. What a retry that never happened would have led to, nobody knows, and it is not made up.

    Args:
        events: The events of one run, in any order and with second copies.
        policy: The policy to judge by.
        rules: What to categorise with, where that is to be done.
        categorize_again: Whether failures are categorised anew; else only those that have no categorization.

    Yields:
        Each failure in the order in which the run saw it.
    """
    ordered = in_order(events)
    honoured = honoured_decisions(ordered)
    applied = {event.serial for event in ordered if isinstance(event, Decision) and event.order and event.serial}
    history = History()
    for event in ordered:
        if isinstance(event, Failure):
            failure = event
            if categorize_again or failure.categorization is None:
                found = categorize(failure, history, rules)
                failure = msgspec.structs.replace(failure, categorization=found)
            decision = decide(failure, history, policy)
            recorded = honoured.get((failure.task_id, failure.try_id))
            differs = differences(recorded, decision) if recorded is not None else ()
            yield Replayed(failure, recorded, decision, differs)
            history.observe(failure)
        elif not _is_ignored(event, honoured) and not _is_told_again(event, applied):
            history.observe(event)


def in_order(events: Iterable[Event]) -> list[Event]:
    """The events of one run, once each, in the order in which its submit side saw them.

    What the submit side told has its place in `Event.order`. What others told of the run (a person, the decider
    service) comes where its time falls by the submit side's clock. A run that told no order goes by time alone.
    """
    unique: dict[str, Event] = {}
    for event in events:
        if event.id not in unique or event.order > unique[event.id].order:
            unique[event.id] = event
    told = sorted((event for event in unique.values() if event.order), key=lambda event: event.order)
    keyed: list[tuple[tuple[float, int, int, str], Event]] = []
    clock = float("-inf")
    for event in told:
        if _by_submit_sides_clock(event):
            clock = max(clock, event.time)
        keyed.append(((clock, 0, event.order, ""), event))
    keyed += [((event.time, 1, _rank(event), event.id), event) for event in unique.values() if not event.order]
    keyed.sort(key=lambda pair: pair[0])
    return [event for _, event in keyed]


def missing(events: Iterable[Event]) -> int:
    """How many events of a run are not there: gaps in the order in which its submit side told them.

    Samples and heartbeats may be dropped on the way, and a plugin may withhold events; the end of a run that is cut
    off is not seen to be missing.
    """
    orders = {event.order for event in events if event.order}
    return max(orders, default=0) - len(orders)


def honoured_decisions(ordered: Iterable[Event]) -> dict[tuple[str, int], Decision]:
    """The decision that was honoured for each failed try, by task and try.

    That is the one that the workflow told; else what the decider service, or a person, decided of the try.
    """
    honoured: dict[tuple[str, int], Decision] = {}
    for event in ordered:
        if isinstance(event, Decision) and event.action in ("retry", "terminate") and event.task_id != ANY:
            key = (event.task_id, event.try_id)
            known = honoured.get(key)
            if known is None or _precedence(event) > _precedence(known):
                honoured[key] = event
    return honoured


def recorded_policy(events: Iterable[Event]) -> dict[str, Any] | None:
    """The policy that a run told, as data for `policy_from_data`; None where it told none."""
    latest: Run | None = None
    for event in events:
        if isinstance(event, Run) and event.policy and (latest is None or event.time >= latest.time):
            latest = event
    return latest.policy if latest is not None else None


def differences(recorded: Decision, decision: Decision) -> tuple[str, ...]:
    """The names of the fields in which two decisions differ, but for what is added on the way.

    Args:
        recorded: As the stream has it. Where the service or a person made it, who and when is no difference.
        decision: As decided now.
    """
    passed_over = _ADDED_LATER if recorded.decider == decision.decider else _ADDED_LATER | _OF_ITS_DECIDER
    if recorded.action == "terminate" and not recorded.stop:
        passed_over |= _NOT_YET_TOLD
    return tuple(
        name
        for name in recorded.__struct_fields__
        if name not in passed_over and getattr(recorded, name) != getattr(decision, name)
    )


def canonical(decision: Decision) -> bytes:
    """A decision as JSON with every field in it, but for what is added on its way: equal decisions, equal bytes.

    The events themselves leave out what has its default value, which msgspec tells by identity: a ``mode`` that was
    read from a file stands in them, and the built-in one does not.
    """
    fields = {name: _whole(getattr(decision, name)) for name in decision.__struct_fields__ if name not in _ADDED_LATER}
    return msgspec.json.encode(fields, order="deterministic")


def _whole(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _whole(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return value


def _precedence(decision: Decision) -> tuple[bool, bool]:
    return decision.order > 0, decision.decider == "workflow"


def _is_ignored(event: Event, honoured: dict[tuple[str, int], Decision]) -> bool:
    """Whether the run passed this over: a decision of the service that came too late, or that nobody asked for."""
    if not isinstance(event, Decision) or event.order or event.decider != "service" or event.task_id == ANY:
        return False
    return honoured.get((event.task_id, event.try_id)) is not event


def _is_told_again(event: Event, applied: Container[str]) -> bool:
    """Whether the run made a record of its own, with its place in the order, when it applied this decision."""
    return isinstance(event, Decision) and not event.order and f"{event.serial}/applied" in applied


def _by_submit_sides_clock(event: Event) -> bool:
    if isinstance(event, Task):
        return event.state not in WORKER_STATES
    return isinstance(event, (Failure, Decision, Block, Run))


def _rank(event: Event) -> int:
    for rank, cls in enumerate(_RANKS):
        if isinstance(event, cls):
            # A state that ends a try was told after its failure and decision.
            return len(_RANKS) if isinstance(event, Task) and event.state in _ENDS else rank
    return len(_RANKS)


_ENDS = frozenset({"fail_retryable", "failed", "dep_fail", "exec_done"})
