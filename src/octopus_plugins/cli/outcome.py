"""How a task ended, in one plain sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.cli import screen
from octopus_plugins.events import Decision, Failure, Task
from octopus_plugins.streams.task_story import ENDED_BADLY, ENDED_WELL

if TYPE_CHECKING:
    from octopus_plugins.streams.task_story import TaskStory


def outcome(story: TaskStory) -> str:
    """One plain sentence: how the task ended, after how many tries, and why."""
    name = f"Task {story.task_id}{f' ({story.app})' if story.app else ''}"
    failures = [event for event in story.events if isinstance(event, Failure)]
    last = [event for event in story.events if isinstance(event, Task)][-1:]
    state = last[0].state if last else None
    if state == "memo_done":
        return f"{name} ended well: its result came from a memo."
    if last and state in ENDED_WELL:
        return f"{name} ended well{_effort(story, last[0].time)}{_before(failures)}."
    if last and state in ENDED_BADLY:
        if not story.tries:
            return f"{name} failed without being tried: {_cause(story, failures)}."
        return f"{name} failed{_effort(story, last[0].time)}: {_cause(story, failures)}."
    return f"{name} {_now(story, state)}{_before(failures)}."


def _effort(story: TaskStory, end: float) -> str:
    tries = "at its first try" if story.tries <= 1 else f"after {story.tries} tries"
    return f" {tries}, in {screen.span(max(0.0, end - story.start))}"


def _before(failures: list[Failure]) -> str:
    """What went wrong on the way."""
    if not failures:
        return ""
    times = f", the last of {len(failures)} times" if len(failures) > 1 else ""
    return f"; before that, it failed{times}: {_what(failures[-1])}"


def _cause(story: TaskStory, failures: list[Failure]) -> str:
    final = [event for event in story.events if isinstance(event, Decision) and event.action == "terminate"]
    if final and final[-1].reason:
        return final[-1].reason.rstrip(" .")
    return _what(failures[-1]) if failures else "no failure of it was told"


def _what(failure: Failure) -> str:
    return screen.what_broke(failure).rstrip(" .")


def _now(story: TaskStory, state: str | None) -> str:
    latest = next((event for event in reversed(story.events) if story.is_own(event)), story.events[-1])
    where = f" on {screen.place(latest)}" if latest.host or latest.executor else ""
    says = {
        None: "has told no state",
        "pending": "was last seen waiting for what it depends on",
        "launched": f"was last seen waiting in the queue{where}",
        "running": f"was last seen running{where}",
        "running_ended": f"was last seen just after its worker ended{where}",
        "joining": "was last seen waiting for the tasks that it started",
        "fail_retryable": "was last seen waiting for a retry",
    }
    return says.get(state, f"was last seen in state {state}")
