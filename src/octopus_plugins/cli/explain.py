"""``octopus explain``: the story of one task, in order."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import json_option, with_config
from octopus_plugins.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.events import Decision, Failure, Rung, Task
    from octopus_plugins.streams.task_story import TaskStory

_SIZES = frozenset({"rss", "peak_rss", "requested", "limit", "node_memory", "node_available", "tmp_free", "disk_free"})
"""Evidence that is a number of bytes, where it is a large one."""

TIME_WIDTH = 8

_MARKS = {"good": ("✓", "green"), "bad": ("✗", "red"), "decided": ("→", "cyan"), "": ("", "")}


@click.command(epilog="Example: octopus explain last 12")
@click.argument("run")
@click.argument("task")
@click.option("--traceback", is_flag=True, help="Show tracebacks and what the task wrote to standard error.")
@json_option
@with_config
def explain(config: OctopusConfig, run: str, task: str, traceback: bool, as_json: bool) -> None:
    """Tell the whole story of one task.

    How it ended, in a sentence; then each try: when and where it ran, how it failed, on what evidence, what was decided
    and why each other place was passed over. Times are counted from the task's submission. Of a task that ran at an
    endpoint of Globus Compute, what the endpoint told of it follows.

    RUN is the run's id, or 'last' for the newest. TASK is the task's id; of one of Globus Compute, its first eight
    characters suffice.
    """
    from octopus_plugins.streams.task_story import read_story

    story = read_story(config, run, task)
    if story is None:
        screen.print_nothing_found("tasks", "task-metrics", config, f"run_id={run}, task_id={task}", filtered=True)
        raise click.exceptions.Exit(1)
    if as_json:
        screen.print_json(event for told in (story, *story.elsewhere) for event in told.events)
        return
    tell(story, traceback)


def tell(story: TaskStory, traceback: bool) -> None:
    """Print the story of a task."""
    from octopus_plugins.cli.outcome import outcome

    out = screen.console()
    out.print(printable(outcome(story)), style="bold")
    if story.root is not None:
        root = printable(story.root)
        command = f"octopus explain {shlex.quote(printable(story.run_id))} {shlex.quote(root)}"
        out.print(f"Why task {root} failed: {command}", soft_wrap=True)
    if story.dependents:
        out.print(printable(f"Failed for want of it: {_tasks(story.dependents)}."))
    out.print(printable(f"run {story.run_id}, submitted {screen.local_time(story.start)}"), style="dim")
    for part in _Timeline(story, traceback).parts():
        out.print(part)
    for told in story.elsewhere:
        endpoint = next((event.executor for event in told.events if event.executor), "an endpoint")
        out.print(printable(f"\nAt endpoint {endpoint}, as task {told.task_id}"), style="bold", soft_wrap=True)
        out.print(printable(f"run {told.run_id}"), style="dim")
        for part in _Timeline(told, traceback, story.start).parts():
            out.print(part)
    for task_id in story.compute_tasks:
        if all(told.task_id != task_id for told in story.elsewhere):
            out.print(printable(f"\nIts endpoint told nothing here of task {task_id}."), style="dim", soft_wrap=True)


class _Timeline:
    """The events of a story, try by try: time since the start, mark, what happened."""

    def __init__(self, story: TaskStory, traceback: bool, start: float | None = None) -> None:
        self._story = story
        self._start = story.start if start is None else start
        self._traceback = traceback
        self._launched: dict[int, float] = {}
        self._running: dict[int, float] = {}
        self._failed: Failure | None = None
        self._delay = 0.0
        self._rows: Any = None

    def parts(self) -> Iterator[RenderableType]:
        """A heading and a table for each try."""
        from octopus_plugins.events import Decision, Failure, Task

        number: int | None = None
        for event in self._story.events:
            if number is None or (self._story.is_own(event) and event.try_id != number):
                if self._rows is not None:
                    yield self._rows
                number = event.try_id
                self._rows = _rows()
                yield self._heading(number)
            if isinstance(event, Task):
                self._add_state(event)
            elif isinstance(event, Failure):
                self._add_failure(event)
            elif isinstance(event, Decision):
                self._add_decision(event)
        yield self._rows

    def _heading(self, number: int) -> RenderableType:
        from rich.text import Text

        if not self._story.tries:
            return Text("\nNever sent to an executor", style="bold")
        heading = Text(f"\nTry {number}", style="bold")
        own = (event for event in self._story.events if event.try_id == number and self._story.is_own(event))
        place = next((event for event in own if event.host), None)
        if place is not None:
            heading.append(f" on {printable(_whole_place(place))}", style="not bold")
        return heading

    def _add(self, time: float, what: str, details: Iterator[tuple[str, str]] | None = None, kind: str = "") -> None:
        from rich.text import Text

        mark, colour = _MARKS[kind]
        text = Text(printable(what), style=colour)
        for detail, style in details or ():
            text.append("\n" + printable(detail), style=style or "default")
        self._rows.add_row(_since(time - self._start), Text(mark, style=colour), text)

    def _add_state(self, task: Task) -> None:
        if task.state == "pending":
            if task.try_id == 0:
                self._add(task.time, "submitted", self._awaited(task.depends))
        elif task.state == "launched":
            self._launched[task.try_id] = task.time
            self._add(task.time, f"sent to executor {task.executor}" if task.executor else "sent")
        elif task.state == "running":
            self._running[task.try_id] = task.time
            self._add(task.time, f"began{self._waited(task)}")
        elif task.state == "running_ended":
            self._add(task.time, f"ended{self._ran(task)}{_used(task)}")
        elif task.state == "joining":
            self._add(task.time, "waits for the tasks that it started", self._awaited(task.joins))
        elif task.state == "exec_done":
            self._add(task.time, "done", kind="good")
        elif task.state == "memo_done":
            self._add(task.time, "done: its result came from a memo", kind="good")
        elif task.state in ("failed", "dep_fail"):
            self._add(task.time, "failed for good", kind="bad")
        elif task.state != "fail_retryable":
            self._add(task.time, task.state)

    def _awaited(self, task_ids: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        if task_ids:
            yield "after " + ", ".join(self._with_outcome(task_id) for task_id in task_ids), ""

    def _with_outcome(self, task_id: str) -> str:
        from octopus_plugins.streams.task_story import ENDED_BADLY, ENDED_WELL

        relative = self._story.relatives.get(task_id)
        if relative is None or relative.state is None:
            return f"task {task_id}"
        if relative.state in ENDED_BADLY:
            why = relative.failure.categorization if relative.failure is not None else None
            return f"task {task_id} (failed{f': {why.category}' if why is not None else ''})"
        return f"task {task_id} ({'done' if relative.state in ENDED_WELL else relative.state})"

    def _waited(self, task: Task) -> str:
        """How long the try waited for its worker, and for what."""
        if self._failed is not None:
            waited = max(0.0, task.time - self._failed.time)
            of_it = f", {screen.span(min(self._delay, waited))} of it as decided" if self._delay else ""
            return f" {screen.span(waited)} after the failure{of_it}"
        launched = self._launched.get(task.try_id)
        return f" after {screen.span(max(0.0, task.time - launched))} in the queue" if launched is not None else ""

    def _ran(self, task: Task) -> str:
        began = self._running.get(task.try_id)
        return f" after {screen.span(max(0.0, task.time - began))}" if began is not None else ""

    def _add_failure(self, failure: Failure) -> None:
        self._failed, self._delay = failure, 0.0
        self._add(failure.time, f"failed: {screen.category(failure)}", self._about_failure(failure), "bad")

    def _about_failure(self, failure: Failure) -> Iterator[tuple[str, str]]:
        found = failure.categorization
        if found is not None and found.reason:
            yield found.reason, ""
        for number, exception in enumerate((failure.exception, *failure.causes)):
            where = f" at {exception.location}" if exception.location else ""
            yield f"{'because of ' if number else ''}{exception.type}: {exception.message.strip()}{where}", "dim"
        status = [f"exit code {failure.exit_code}"] if failure.exit_code is not None else []
        status += [f"signal {failure.signal}"] if failure.signal is not None else []
        if status:
            yield ", ".join(status), "dim"
        if found is not None:
            if found.evidence:
                yield f"evidence: {', '.join(_fact(name, value) for name, value in found.evidence.items())}", ""
            helps = {"yes": "a retry can help", "no": "no retry can help"}.get(found.resolvable, "a retry may help")
            rule = f"by rule {found.rule}, " if found.rule else ""
            yield f"{rule}confidence {found.confidence:.2f}; affects the {found.scope}; {helps}", "dim"
        if failure.dependencies:
            yield f"for want of {', '.join(self._with_outcome(task_id) for task_id in failure.dependencies)}", ""
        if self._traceback and failure.traceback:
            yield failure.traceback.rstrip(), "dim"
        if self._traceback and failure.stderr_tail:
            yield f"standard error ended with:\n{failure.stderr_tail.rstrip()}", "dim"

    def _add_decision(self, decision: Decision) -> None:
        if decision.action == "retry":
            self._delay = decision.delay
        what = "the run is stopped" if decision.halts_run else screen.action(decision)
        self._add(decision.time, f"decided: {what}", self._about_decision(decision), "decided")

    def _about_decision(self, decision: Decision) -> Iterator[tuple[str, str]]:
        reason = self._news(decision)
        if reason:
            yield reason, ""
        yield from _ladder(decision.considered)
        placement = decision.placement
        if placement is not None and placement.avoid_hosts:
            yield f"keeps off {', '.join(placement.avoid_hosts)}", ""
        if placement is not None and placement.avoid_blocks:
            yield f"keeps off block {', '.join(placement.avoid_blocks)}", ""
        if placement is not None and placement.prefer_hosts:
            yield f"prefers {', '.join(placement.prefer_hosts)}", ""
        if decision.resources:
            yield f"asks for {', '.join(f'{name} = {value}' for name, value in decision.resources.items())}", ""
        for host, until in decision.deny_hosts.items():
            if decision.action == "allow" or until <= decision.time:
                yield f"{host} gets new tasks again", ""
            else:
                span = screen.span(max(0.0, until - decision.time))
                what = f"no new tasks of {decision.deny_app}" if decision.deny_app else "no new tasks"
                yield f"{host} gets {what} for {span}, until {screen.local_time(until)}", "yellow"
        if decision.systemic:
            yield f"the whole run: {decision.systemic} ({decision.on_systemic})", "yellow"
        yield _provenance(decision, self._story.retries), "dim"

    def _news(self, decision: Decision) -> str:
        """The decision's reason without what the failure has said already."""
        if decision.why_not:
            return f"not retried: {decision.why_not}"
        found = self._failed.categorization if self._failed is not None else None
        said = found.reason.rstrip(". ") if found is not None else ""
        return decision.reason.removeprefix(said).lstrip("; ") if said else decision.reason


def _rows() -> Any:
    from rich.table import Table

    rows = Table.grid(padding=(0, 1))
    rows.add_column(justify="right", style="dim", no_wrap=True, min_width=TIME_WIDTH)
    rows.add_column(no_wrap=True, min_width=1)
    rows.add_column(overflow="fold")
    return rows


def _ladder(considered: Iterable[Rung]) -> Iterator[tuple[str, str]]:
    """The rungs in their order, those together that were passed over for the same reason."""
    passed: list[str] = []
    reason = ""
    for rung in considered:
        name = rung.name.replace("_", " ")
        if rung.executor and rung.name == "other_executor":
            name += f" {rung.executor}"
        if passed and (rung.taken or rung.reason != reason):
            yield f"· {', '.join(passed)}: {reason}", "dim"
            passed = []
        if rung.taken:
            yield f"✓ {name}: {rung.reason}", "green"
        else:
            passed.append(name)
            reason = rung.reason
    if passed:
        yield f"· {', '.join(passed)}: {reason}", "dim"


def _provenance(decision: Decision, retries: int | None) -> str:
    who = {"workflow": "the workflow", "service": "the decider service", "person": "a person"}
    by = f"decided by {who.get(decision.decider, decision.decider)}"
    if decision.decider == "person":
        return by
    rule = f", rule {decision.rule}" if decision.rule else ""
    of = f" of {retries} retries" if retries is not None else " to the task's retries"
    charge = f"; charged {decision.charge:g}{of}" if decision.action == "retry" else ""
    return f"{by} with policy {decision.policy}{rule}{charge}"


def _used(task: Task) -> str:
    if task.usage is None:
        return ""
    cpu = (task.usage.cpu_user or 0) + (task.usage.cpu_system or 0)
    memory = f", at most {task.usage.peak_rss / 1e6:,.0f} MB" if task.usage.peak_rss is not None else ""
    return f"; used {screen.span(cpu)} of CPU{memory}"


def _fact(name: str, value: Any) -> str:
    from octopus_plugins.wrath.rules.rule import size

    label = name.replace("_", " ")
    if isinstance(value, bool):
        return label if value else f"not {label}"
    if name in _SIZES and isinstance(value, (int, float)) and 1e6 <= value < 1e24:
        return f"{label} {size(value)}"
    if name == "heartbeat" and isinstance(value, (int, float)):
        return f"last heartbeat {screen.local_time(value)}"
    if isinstance(value, float):
        return f"{label} {value:g}"
    return f"{label} {value}"


def _since(seconds: float) -> str:
    """A time after the task's submission, short enough for a column."""
    if seconds < 0:
        return f"−{_since(-seconds)}" if seconds <= -0.05 else _since(0.0)
    return f"{seconds:.1f} s" if seconds < 3600 else screen.span(seconds)


def _tasks(task_ids: tuple[str, ...]) -> str:
    shown = ", ".join(task_ids[:12])
    more = f" and {len(task_ids) - 12} more" if len(task_ids) > 12 else ""
    return f"task{'s' if len(task_ids) > 1 else ''} {shown}{more}"


def _whole_place(event: Any) -> str:
    details = [
        f"{name} {value}"
        for name, value in (("block", event.block), ("worker", event.worker_id), ("pid", event.pid))
        if value is not None
    ]
    return f"{screen.place(event)}{', ' if details else ''}{', '.join(details)}"
