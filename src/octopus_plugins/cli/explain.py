"""``octopus explain``: the story of one task, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from rich.padding import Padding
from rich.text import Text

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import json_option, with_config

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.events import Decision, Failure, Task, TryEvent


@click.command(epilog="Example: octopus explain last 12")
@click.argument("run")
@click.argument("task")
@click.option("--traceback", is_flag=True, help="Show tracebacks and what the task wrote to standard error.")
@json_option
@with_config
def explain(config: OctopusConfig, run: str, task: str, traceback: bool, as_json: bool) -> None:
    """Tell the story of one task.

    Its states and places, its failures with their evidence, each decision with the rungs considered and why.

    RUN is the run's id, or 'last' for the newest. TASK is the task's id.
    """
    from octopus_plugins.streams import decisions, failures, tasks

    story: list[TryEvent] = []
    for question in (tasks, failures, decisions):
        story += question(run_id=run, task_id=task, config=config)
    # Stable: what happened at the same time keeps the order state, failure, decision.
    story.sort(key=lambda event: event.time)
    if not story:
        screen.print_nothing_found("tasks", "task-metrics", config, f"run_id={run}, task_id={task}", filtered=True)
        raise click.exceptions.Exit(1)
    if as_json:
        screen.print_json(story)
        return
    out = screen.console()
    out.print(Text(screen.printable(_title(story))))
    for event in story:
        heading, details = _chapter(event, traceback)
        out.print(Text(f"\n{screen.local_time(event.time)}  try {event.try_id}  ").append(screen.printable(heading)))
        for detail in details:
            out.print(Padding(Text(screen.printable(detail)), (0, 0, 0, 4), expand=False))


def _title(story: list[Any]) -> str:
    from octopus_plugins.events import Task

    first, tries = story[0], 1 + max(event.try_id for event in story)
    app = next((f" ({event.app})" for event in story if event.app), "")
    states = [event.state for event in story if isinstance(event, Task)]
    outcome = f", now {states[-1]}" if states else ""
    return f"Task {first.task_id}{app} of run {first.run_id}{outcome}, {tries} {'try' if tries == 1 else 'tries'}"


def _chapter(event: TryEvent, traceback: bool) -> tuple[str, Iterator[str]]:
    from octopus_plugins.events import Decision, Failure, Task

    if isinstance(event, Failure):
        return f"failed: {screen.category(event)}", _failure(event, traceback)
    if isinstance(event, Decision):
        return f"decided: {screen.action(event)}", _decision(event)
    assert isinstance(event, Task)
    return event.state, _state(event)


def _state(task: Task) -> Iterator[str]:
    if task.host or task.executor:
        yield f"on {_whole_place(task)}"
    if task.depends:
        yield f"after tasks {', '.join(task.depends)}"
    if task.joins:
        yield f"waits for tasks {', '.join(task.joins)}"
    if task.usage is not None and task.usage.peak_rss is not None:
        cpu = (task.usage.cpu_user or 0) + (task.usage.cpu_system or 0)
        yield f"used {cpu:.1f} s of CPU, at most {task.usage.peak_rss / 1e6:,.0f} MB"
    if task.from_memo:
        yield "its result came from a memo"


def _failure(failure: Failure, traceback: bool) -> Iterator[str]:
    if failure.host or failure.executor:
        yield f"on {_whole_place(failure)}"
    found = failure.categorization
    if found is not None:
        yield f"{found.reason or 'no reason given'} (rule {found.rule or '–'}, confidence {found.confidence:.2f})"
        yield f"affects the {found.scope}; can a retry help: {found.resolvable}"
        if found.evidence:
            yield "evidence: " + ", ".join(f"{name} = {value}" for name, value in found.evidence.items())
    for number, exception in enumerate((failure.exception, *failure.causes)):
        where = f" at {exception.location}" if exception.location else ""
        yield f"{'because of ' if number else ''}{exception.type}: {exception.message.strip()}{where}"
    if failure.exit_code is not None:
        yield f"exit code {failure.exit_code}"
    if failure.signal is not None:
        yield f"signal {failure.signal}"
    if failure.dependencies:
        yield f"failed dependencies: tasks {', '.join(failure.dependencies)}"
    if traceback and failure.traceback:
        yield failure.traceback.rstrip()
    if traceback and failure.stderr_tail:
        yield f"standard error ended with:\n{failure.stderr_tail.rstrip()}"


def _decision(decision: Decision) -> Iterator[str]:
    yield f"{decision.reason or 'no reason given'} (rule {decision.rule or '–'}, policy {decision.policy})"
    for rung in decision.considered:
        name = rung.name.replace("_", " ") + (f" {rung.executor}" if rung.executor else "")
        yield f"{'→' if rung.taken else '·'} {name}: {'taken' if rung.taken else 'not taken'}: {rung.reason}"
    if decision.placement is not None and decision.placement.avoid_hosts:
        yield f"keeps off {', '.join(decision.placement.avoid_hosts)}"
    for host, until in decision.deny_hosts.items():
        yield f"{host} gets no new tasks until {screen.local_time(until)}"
    yield f"charged {decision.charge:g} to the task's retries; decided by the {decision.decider}"


def _whole_place(event: Any) -> str:
    details = [
        f"{name} {value}"
        for name, value in (("block", event.block), ("worker", event.worker_id), ("pid", event.pid))
        if value is not None
    ]
    return f"{screen.place(event)}{', ' if details else ''}{', '.join(details)}"
