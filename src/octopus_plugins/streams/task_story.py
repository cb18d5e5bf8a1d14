"""What the topics have of one task, and of the tasks, people and nodes that it had to do with."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from octopus_plugins.errors import ConfigError
from octopus_plugins.events import ANY, Decision, Event, Failure, Run, Task, Topic, TryEvent
from octopus_plugins.frameworks.failure_text import COMPUTE_TASK

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig

ENDED_WELL = frozenset({"exec_done", "memo_done"})
ENDED_BADLY = frozenset({"failed", "dep_fail"})

WORKER_STATES = frozenset({"running", "running_ended"})

_BEGINNING = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,27}")

MAX_ROOT_STEPS = 1_000
"""Failed dependencies followed down to the one that failed by itself."""


@dataclass(frozen=True, slots=True)
class Relative:
    """Another task of the run.

    Attributes:
        state: Its last state; None where it said nothing.
        failure: Its last failure.
    """

    state: str | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class TaskStory:
    """One task's story.

    Attributes:
        run_id: The run.
        task_id: The task.
        events: Its states, failures and decisions, in the order in which the run saw them, with what was decided of
            the whole run or of its nodes meanwhile.
        retries: The run's own number of retries per task, where known.
        relatives: The tasks that it depended on or waited for, by id.
        root: The task whose own failure this one's goes back to, where it failed for want of another.
        dependents: The tasks that failed because this one did.
        elsewhere: What endpoints of Globus Compute told of it, where it ran at some: under their runs and ids.
    """

    run_id: str
    task_id: str
    events: tuple[TryEvent, ...]
    retries: int | None = None
    relatives: Mapping[str, Relative] = field(default_factory=dict)
    root: str | None = None
    dependents: tuple[str, ...] = ()
    elsewhere: tuple[TaskStory, ...] = ()

    @property
    def start(self) -> float:
        """When it was submitted, or first heard of; Unix seconds."""
        own = [event for event in self.events if self.is_own(event)] or list(self.events)
        # Workers' clocks may be wrong; what the submit side told comes first where there is any.
        by_submit_side = [event for event in own if not (isinstance(event, Task) and event.state in WORKER_STATES)]
        return (by_submit_side or own)[0].time

    @property
    def app(self) -> str | None:
        """The name of its app, as it was told last: at first an endpoint knows no more than its function's id."""
        return next((event.app for event in reversed(self.events) if event.app), None)

    @property
    def state(self) -> str | None:
        """Its last state."""
        return next((event.state for event in reversed(self.events) if isinstance(event, Task)), None)

    @property
    def compute_tasks(self) -> tuple[str, ...]:
        """Its ids at Globus Compute, one for each try that it ran there and that is known."""
        labels = (event.labels.get(COMPUTE_TASK) for event in self.events)
        return tuple(dict.fromkeys(label for label in labels if label and label != self.task_id))

    @property
    def tries(self) -> int:
        """How often it was sent to an executor, or ran."""
        return len({event.try_id for event in self.events if _shows_a_try(event)})

    def is_own(self, event: TryEvent) -> bool:
        """Whether an event is of this very task, and not of the whole run or of a node."""
        return event.task_id == self.task_id and not (isinstance(event, Decision) and event.decider == "person")


def read_story(config: OctopusConfig, run_id: str, task_id: str) -> TaskStory | None:
    """Read one task's story from the topics.

    Args:
        config: Which brokers and topics.
        run_id: The run, or the beginning of its id; ``last`` is the newest.
        task_id: The task; of an id of Globus Compute, its first eight characters or more suffice.

    Returns:
        The story; None where there is nothing of such a task.

    Raises:
        ConfigError: The ids of several tasks begin so.
    """
    from octopus_plugins.streams.latest_run import find_run
    from octopus_plugins.wrath.replay.replay import in_order

    found = find_run(config, run_id)
    if found is None:
        return None
    run_id = found
    task_id = _whole_id(config, run_id, task_id)
    own, run_key = f"{run_id}/{task_id}".encode(), f"{run_id}/run".encode()
    # Keys are hints, made by whoever produced: the event itself says what it is of.
    told = [
        event
        for event in _read(config, Topic.task_metrics, {own, run_key}.__contains__, (Task, Run))
        if event.run_id == run_id and (isinstance(event, Run) or event.task_id == task_id)
    ]
    keys = {own, f"{run_id}/{ANY}".encode(), f"{ANY}/{ANY}".encode()}
    decided = [
        event
        for event in _read(config, Topic.decisions, keys.__contains__, (Decision,))
        if event.run_id in (run_id, ANY)
    ]
    failed = _failures(config, run_id)
    events: list[Event] = [event for event in told if isinstance(event, Task)]
    events += [event for event in failed if event.task_id == task_id]
    events += [event for event in decided if isinstance(event, Decision) and event.task_id == task_id]
    if not events:
        return None
    events += _from_outside(decided, events)
    ordered = tuple(event for event in in_order(events) if isinstance(event, TryEvent))
    latest = {event.task_id: event for event in failed}
    awaited = _awaited(ordered)
    story = TaskStory(
        run_id=run_id,
        task_id=task_id,
        events=ordered,
        retries=next((run.retries for run in told if isinstance(run, Run) and run.retries is not None), None),
        relatives=_relatives(config, run_id, awaited, latest),
        root=find_root(task_id, latest),
        dependents=tuple(event.task_id for event in latest.values() if task_id in event.dependencies),
    )
    return replace(story, elsewhere=_elsewhere(config, story)) if story.compute_tasks else story


def _whole_id(config: OctopusConfig, run_id: str, task_id: str) -> str:
    """The id of the task that begins so, where that can be the beginning of a UUID."""
    if not _BEGINNING.fullmatch(task_id):
        return task_id
    begin = f"{run_id}/{task_id}".encode()
    told = _read(config, Topic.task_metrics, lambda key: key.startswith(begin), (Task,))
    found: set[str] = {one.task_id for one in told if one.run_id == run_id and one.task_id.startswith(task_id)}
    if task_id in found or not found:
        return task_id
    if len(found) > 1:
        raise ConfigError(
            f"several tasks begin with {task_id!r}: {', '.join(sorted(found)[:8])}", remedy="give more of the id"
        )
    return found.pop()


def _elsewhere(config: OctopusConfig, story: TaskStory) -> tuple[TaskStory, ...]:
    """What endpoints told of the task, under the ids that it has there."""
    from octopus_plugins.wrath.replay.replay import in_order

    wanted = story.compute_tasks
    ends = tuple(f"/{task_id}".encode() for task_id in wanted)
    found: dict[tuple[str, str], list[Event]] = {}
    for topic, kind in ((Topic.task_metrics, Task), (Topic.failures, Failure), (Topic.decisions, Decision)):
        for event in _read(config, topic, lambda key: key.endswith(ends), (kind,)):
            if event.task_id in wanted and event.run_id != story.run_id:
                found.setdefault((event.run_id, event.task_id), []).append(event)
    stories = (
        TaskStory(run_id, task_id, tuple(event for event in in_order(events) if isinstance(event, TryEvent)))
        for (run_id, task_id), events in found.items()
    )
    return tuple(sorted(stories, key=lambda told: (wanted.index(told.task_id), told.start)))


def _read(
    config: OctopusConfig, topic: Topic, keep: Callable[[bytes], bool], classes: tuple[type[Event], ...]
) -> Iterable[Any]:
    from octopus_plugins.fabric.kafka.reader import Reader

    return (event for event in Reader(config, topic, keep=keep) if isinstance(event, classes))


def _failures(config: OctopusConfig, run_id: str) -> list[Failure]:
    """All failures of the run: which failed for want of which is seen only from all of them."""
    prefix = f"{run_id}/".encode()
    found = _read(config, Topic.failures, lambda key: key.startswith(prefix), (Failure,))
    return sorted((event for event in found if event.run_id == run_id), key=lambda event: event.time)


def _relatives(
    config: OctopusConfig, run_id: str, task_ids: Collection[str], failed: Mapping[str, Failure]
) -> dict[str, Relative]:
    if not task_ids:
        return {}
    keys = {f"{run_id}/{task_id}".encode() for task_id in task_ids}
    states: dict[str, str] = {}
    for event in _read(config, Topic.task_metrics, keys.__contains__, (Task,)):
        if event.run_id == run_id:
            states[event.task_id] = event.state
    return {task_id: Relative(states.get(task_id), failed.get(task_id)) for task_id in task_ids}


def _awaited(events: Iterable[TryEvent]) -> list[str]:
    """The tasks that one depended on or joined, each once."""
    awaited: dict[str, None] = {}
    for event in events:
        if isinstance(event, Task):
            awaited.update(dict.fromkeys((*event.depends, *event.joins)))
        elif isinstance(event, Failure):
            awaited.update(dict.fromkeys(event.dependencies))
    return list(awaited)


def find_root(task_id: str, failed: Mapping[str, Failure]) -> str | None:
    """The task whose own failure a task's failure goes back to; None where that is its own.

    Args:
        task_id: The task.
        failed: The last failure of each failed task of the run.
    """
    current, seen = task_id, {task_id}
    for _ in range(MAX_ROOT_STEPS):
        failure = failed.get(current)
        below = next((one for one in failure.dependencies if one not in seen), None) if failure is not None else None
        if below is None:
            break
        seen.add(below)
        current = below
    return current if current != task_id else None


def _from_outside(decided: Iterable[Event], own: Iterable[Event]) -> list[Event]:
    """What was decided of the whole run, or of nodes that the task ran on, while it lasted."""
    begin, end = min(event.time for event in own), max(event.time for event in own)
    hosts = {event.host for event in own if isinstance(event, TryEvent) and event.host}
    return [
        event
        for event in decided
        if isinstance(event, Decision)
        and event.task_id == ANY
        and begin <= event.time <= end
        and (event.halts_run or event.action == "terminate" or hosts & set(event.deny_hosts))
    ]


def _shows_a_try(event: TryEvent) -> bool:
    if isinstance(event, Failure):
        return event.launched is not None
    return isinstance(event, Task) and (event.state == "launched" or event.state in WORKER_STATES)
