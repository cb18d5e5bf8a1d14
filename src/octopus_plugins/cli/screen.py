"""How events look on a terminal, and as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from octopus_plugins.text import escaped_json, one_line

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.events import Event

WIDTH = 100
"""Columns of output that does not go to a terminal."""

MAX_WIDTH = 140
"""Lines longer than this are hard to read."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_ENDLESS = 1e9  # seconds: of more, nobody wants to know how many


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this while it handles the error, and would exit with status 1


def console() -> Console:
    """A console on standard output as it is now."""
    screen = _Console(highlight=False, markup=False, emoji=False)
    screen.width = min(screen.width, MAX_WIDTH) if screen.is_terminal else WIDTH
    return screen


def say(message: str) -> None:
    """Say something that is no result, on standard error."""
    click.echo(message, err=True)


def local_time(seconds: float, *, now: datetime | None = None) -> str:
    """A time as people here would write it; without the day where that is today's."""
    now = now or datetime.now()
    try:
        moment = datetime.fromtimestamp(seconds)
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s"  # evidence, which may be any number
    if moment.date() == now.date():
        return moment.strftime("%H:%M:%S")
    return moment.strftime("%m-%d %H:%M:%S" if moment.year == now.year else "%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """A length of time in two significant units at most: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if not seconds < _ENDLESS:
        return "ages"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def json_line(event: Event) -> str:
    """An event as one line of JSON: its type, its id, and all its data."""
    import msgspec

    from octopus_plugins.streams.tables import plain

    return escaped_json(msgspec.json.encode({"type": event.TYPE, "id": event.id, **plain(event)}).decode())


def print_json(events: Iterable[Event]) -> int:
    """Print each event as a line of JSON; return how many there were."""
    number = 0
    for event in events:
        number += 1
        click.echo(json_line(event))
    return number


def table(*headings: str) -> Table:
    """A table that reads well without colour. What can be long is folded, and never cut."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        made.add_column(heading, overflow="fold", no_wrap=heading in {"When", "Since", "Started", "Try"})
    return made


def short(name: str) -> str:
    """Of a UUID its beginning, by which people know it; any other name as it is."""
    return name.partition("-")[0] if _UUID.fullmatch(name) else name


def place(event: Any) -> str:
    """Where a try ran: ``small-0 (small)``; of an endpoint's id, its beginning."""
    executor = short(event.executor) if event.executor else event.executor
    if event.host and executor:
        return f"{event.host} ({executor})"
    return event.host or executor or "–"


def action(decision: Any) -> str:
    """What was decided, in a few words: ``retry on other_executor large``."""
    words = [decision.action]
    if decision.action in {"deny", "allow"}:
        words += sorted(decision.deny_hosts)
    elif decision.halts_run:
        words.append("the run")
    if decision.placement is not None:
        words += ["on", decision.placement.rung.replace("_", " ")]
        if decision.placement.executor and decision.placement.executor != decision.executor:
            words.append(decision.placement.executor)
    if decision.delay:
        words.append(f"after {span(decision.delay)}")
    if decision.mode == "passive":
        words.append("(passive: not applied)")
    return " ".join(words)


def decider(decision: Any) -> str:
    """Who decided; a run records what it applies of others' decisions: ``service, applied``."""
    return f"{decision.decider}, applied" if decision.serial.endswith("applied") else str(decision.decider)


def what_broke(failure: Any) -> str:
    """Why a try failed, in a sentence."""
    if failure.categorization is not None and failure.categorization.reason:
        return str(failure.categorization.reason)
    return exception_line(failure.exception)


def exception_line(exception: Any) -> str:
    """``TypeName: message``, first line only."""
    name = exception.type.rpartition(".")[2]
    message = exception.message.strip().partition("\n")[0]
    return f"{name}: {message}" if message else str(name)


def category(failure: Any) -> str:
    """The category and its layer: ``memory_exhausted (runtime)``."""
    found = failure.categorization
    return f"{found.category} ({found.layer})" if found is not None else "unknown"


def print_nothing_found(kind: str, topic: str, config: OctopusConfig, looked_for: str, *, filtered: bool) -> None:
    """Say on standard error what was looked for, where, and what to try."""
    where = f"{config.namespace}.{topic} at {config.servers} (profile {config.profile})"
    asked = f" where {looked_for}" if looked_for else ""
    if filtered:
        hint = f"leave out a filter, or see what there is with `octopus runs` and `octopus {kind}`"
    else:
        hint = "has a run been monitored with this profile and namespace? `octopus runs` lists them"
    say(f"No {kind} in {where}{asked}; {hint}.")


def line(event: Any) -> Text:
    """An event as one line, for watching."""
    kind, rest, style = _line_parts(event)
    text = Text(f"{local_time(event.time)}  ")
    text.append(f"{kind:<9}", style=style)
    return text.append(f" {one_line(rest)}")


def _line_parts(event: Any) -> tuple[str, str, str]:
    from octopus_plugins.events import Block, Decision, Failure, Heartbeat, ResourceSample, Run, Task

    if isinstance(event, Failure):
        return "failure", f"{_try(event)} {place(event)}: {category(event)}: {what_broke(event)}", "red"
    if isinstance(event, Decision):
        style = "green" if event.action == "retry" else "yellow"
        return "decision", f"{_try(event)} {action(event)}: {event.reason}", style
    if isinstance(event, Task):
        return "task", f"{_try(event)} {event.state}{_at(event)}", "cyan"
    if isinstance(event, ResourceSample):
        rss = f"{event.usage.rss / 1e6:,.0f} MB" if event.usage.rss is not None else "–"
        return "resource", f"{_try(event)} rss {rss}{_at(event)}", "dim"
    if isinstance(event, Heartbeat):
        workers = f", {event.worker_count} workers" if event.worker_count is not None else ""
        return "heartbeat", f"{event.component} {place(event)} {event.state}{workers}", "dim"
    if isinstance(event, Run):
        counts = f": {event.tasks_done} tasks done, {event.tasks_failed} failed" if event.state == "ended" else ""
        return "run", f"{event.run_id} {event.state}{counts}", "bold"
    if isinstance(event, Block):
        return "block", f"{event.executor} block {event.block} {event.state}", "magenta"
    return type(event).__name__.lower(), event.id, ""


def _try(event: Any) -> str:
    if event.task_id == "*":
        return "all runs" if event.run_id == "*" else f"run {event.run_id}"
    app = f" {event.app}" if event.app else ""
    again = f" try {event.try_id}" if event.try_id else ""
    return f"task {event.task_id}{again}{app}"


def _at(event: Any) -> str:
    return f" on {place(event)}" if event.host or event.executor else ""
