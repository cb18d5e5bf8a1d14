"""What another policy would have saved and cost, counted over a replayed run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from octopus_plugins.events import Event, Task
from octopus_plugins.wrath.replay.replay import Replayed

_ENDED_WELL = frozenset({"exec_done", "memo_done"})
_ENDED_BADLY = frozenset({"failed", "dep_fail"})


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """Counts over a replayed run.

    Attributes:
        failures: Failures replayed.
        undecided: Failures that nobody decided in the run.
        same: Decided as in the run, or, for a what-if, with the same effect.
        different: The others.
        retries_saved: Retries of the run that the policy refuses.
        retries_added: Retries that the policy makes, and the run did not.
        moved: Retried by both, in another place, after another time or with other resources.
        tries_saved: Tries that the run made after the policy would have given up the task.
        tries_wasted: Those of them whose task failed all the same.
        rescued_lost: Tasks that ended well in the run, and that the policy would have given up.
        missing: Gaps in the recorded order: events that are not there.
    """

    failures: int = 0
    undecided: int = 0
    same: int = 0
    different: int = 0
    retries_saved: int = 0
    retries_added: int = 0
    moved: int = 0
    tries_saved: int = 0
    tries_wasted: int = 0
    rescued_lost: int = 0
    missing: int = 0


def summarise(replayed: Iterable[Replayed], events: Iterable[Event], *, exact: bool, missing: int = 0) -> ReplaySummary:
    """Count what differs and what it would have meant.

    Args:
        replayed: The replayed failures.
        events: The run's events, for how its tasks went on.
        exact: Whether every field counts, as in a check against the record; else only what changes what happens.
        missing: Gaps in the recorded order.
    """
    found = list(replayed)
    decided = [one for one in found if one.recorded is not None]
    different = [one for one in decided if (one.differs if exact else one.changes)]
    saved = [one for one in decided if _actions(one) == ("retry", "terminate")]
    given_up: dict[str, int] = {}
    for one in saved:
        task_id, try_id = one.failure.task_id, one.failure.try_id
        given_up[task_id] = min(try_id, given_up.get(task_id, try_id))
    tries, ended = _tries(found, events)
    later = {task_id: max(0, tries.get(task_id, try_id) - try_id) for task_id, try_id in given_up.items()}
    return ReplaySummary(
        failures=len(found),
        undecided=len(found) - len(decided),
        same=len(decided) - len(different),
        different=len(different),
        retries_saved=len(saved),
        retries_added=sum(_actions(one) == ("terminate", "retry") for one in decided),
        moved=sum(_actions(one) == ("retry", "retry") and _is_moved(one) for one in decided),
        tries_saved=sum(later.values()),
        tries_wasted=sum(number for task_id, number in later.items() if ended.get(task_id) is False),
        rescued_lost=sum(ended.get(task_id) is True for task_id in given_up),
        missing=missing,
    )


def _actions(one: Replayed) -> tuple[str, str]:
    return (one.recorded.action if one.recorded is not None else "", one.decision.action)


def _is_moved(one: Replayed) -> bool:
    return bool({"placement", "delay", "resources"} & set(one.changes))


def _tries(found: Iterable[Replayed], events: Iterable[Event]) -> tuple[dict[str, int], dict[str, bool]]:
    """The last try of each task, and whether the task ended well, where it ended."""
    tries: dict[str, int] = {}
    ended: dict[str, bool] = {}
    for one in found:
        tries[one.failure.task_id] = max(one.failure.try_id, tries.get(one.failure.task_id, 0))
    for event in events:
        if isinstance(event, Task):
            tries[event.task_id] = max(event.try_id, tries.get(event.task_id, 0))
            if event.state in _ENDED_WELL | _ENDED_BADLY:
                ended[event.task_id] = event.state in _ENDED_WELL
    return tries, ended
