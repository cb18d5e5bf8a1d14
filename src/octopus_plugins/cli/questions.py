"""``octopus failures | decisions | tasks | runs``: the questions of `octopus_plugins.streams` as tables or JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import asked, filters, given, json_option, limit_option, with_config

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.events import Run, Task


@click.command(epilog="Example: octopus failures --run-id last --layer runtime --since 1h")
@filters("run", "task", "since", "until", "category", "layer", "host", "app", "executor")
@limit_option
@json_option
@with_config
def failures(config: OctopusConfig, as_json: bool, **options: Any) -> None:
    """List failed tries: what failed, where, and why."""
    from octopus_plugins.streams import failures as question

    def show(found: Sequence[Any]) -> None:
        rows = screen.table("When", "Run", "Task", "Try", "App", "Where", "Category", "Why")
        for one in found:
            place, category, why = screen.place(one), screen.category(one), screen.what_broke(one)
            rows.add_row(*_head(one), one.app or "–", place, category, why)
        _print(rows, found)

    _answer(question, "failures", show, config=config, as_json=as_json, options=options)


@click.command(epilog="Example: octopus decisions --run-id last --action terminate")
@filters("run", "task", "since", "until", "action", "category", "layer", "host", "app", "executor")
@limit_option
@json_option
@with_config
def decisions(config: OctopusConfig, as_json: bool, **options: Any) -> None:
    """List decisions: retry or terminate, where to, and why."""
    from octopus_plugins.streams import decisions as question

    def show(found: Sequence[Any]) -> None:
        rows = screen.table("When", "Run", "Task", "Try", "Category", "Decision", "Why")
        for one in found:
            rows.add_row(*_head(one), one.category, screen.action(one), one.reason)
        _print(rows, found)

    _answer(question, "decisions", show, config=config, as_json=as_json, options=options)


@click.command(epilog="Example: octopus tasks --run-id last --app simulate")
@filters("run", "task", "since", "until", "state", "host", "app", "executor")
@limit_option
@json_option
@with_config
def tasks(config: OctopusConfig, as_json: bool, **options: Any) -> None:
    """List tasks, each with its last state.

    With --json, every change of state.
    """
    from octopus_plugins.streams import tasks as question

    def show(found: Sequence[Any]) -> None:
        rows = screen.table("When", "Run", "Task", "Try", "App", "Where", "State")
        latest = _latest(found)
        for one in latest:
            rows.add_row(*_head(one), one.app or "–", screen.place(one), one.state)
        _print(rows, latest)

    _answer(question, "tasks", show, config=config, as_json=as_json, options=options)


@click.command(epilog="Example: octopus runs --since 1d")
@filters("run", "since", "until", "host")
@limit_option
@json_option
@with_config
def runs(config: OctopusConfig, as_json: bool, **options: Any) -> None:
    """List runs, with the ids that the other commands take."""
    from octopus_plugins.streams import runs as question

    def show(found: Sequence[Run]) -> None:
        rows = screen.table("Started", "Run", "Name", "Host", "State", "Tasks")
        rows.columns[1].no_wrap = True  # to be copied
        starts = {run.run_id: run for run in found if run.state == "started"}
        ends = {run.run_id: run for run in found if run.state == "ended"}
        for run_id in dict.fromkeys(run.run_id for run in found):
            start, end = starts.get(run_id), ends.get(run_id)
            known = start or end
            assert known is not None
            when = screen.local_time(start.time) if start else "?"
            state = f"ended {screen.local_time(end.time)}" if end else "started"
            counts = f"{end.tasks_done} done, {end.tasks_failed} failed" if end else "–"
            rows.add_row(when, run_id, known.name or "–", known.host or "–", state, counts)
        screen.console().print(rows)

    _answer(question, "runs", show, config=config, as_json=as_json, options=options)


def _answer(
    question: Callable[..., Any],
    kind: str,
    show: Callable[[Sequence[Any]], None],
    *,
    config: OctopusConfig,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    chosen = given(options)
    stream = asked(question, config=config, **chosen)
    if as_json:
        number = screen.print_json(stream)
    else:
        found = list(stream)
        number = len(found)
        if found:
            show(found)
    if not number:
        topic = str(stream.query.event_class.TOPIC)
        screen.print_nothing_found(kind, topic, config, str(stream.query), filtered=bool(chosen))


def _head(event: Any) -> tuple[str, str, str, str]:
    return screen.local_time(event.time), event.run_id[:8], event.task_id, str(event.try_id)


def _print(rows: Any, found: Sequence[Any]) -> None:
    """Print a table without its column of runs where there is only one, which stands below instead."""
    run_ids = {one.run_id for one in found}
    if len(run_ids) == 1:
        rows.columns = [column for column in rows.columns if column.header != "Run"]
    out = screen.console()
    out.print(rows)
    if len(run_ids) == 1:
        out.print(f"\nrun {run_ids.pop()}", style="dim")


def _latest(changes: Iterable[Task]) -> list[Task]:
    """The last change of each task, in the order of the tasks' first ones."""
    latest: dict[tuple[str, str], Task] = {}
    for change in changes:
        latest[change.run_id, change.task_id] = change
    return list(latest.values())
