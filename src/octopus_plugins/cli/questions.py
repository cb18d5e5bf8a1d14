"""``octopus failures | decisions | tasks | runs``: the questions of `octopus_plugins.streams` as tables or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import asked, filters, given, json_option, limit_option, with_config
from octopus_plugins.text import printable

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
        _print_tries(
            found,
            App=lambda one: one.app or "–",
            Where=screen.place,
            Category=screen.category,
            Why=screen.what_broke,
        )

    _answer(question, "failures", show, config=config, as_json=as_json, options=options)


@click.command(epilog="Example: octopus decisions --run-id last --action terminate")
@filters("run", "task", "since", "until", "action", "category", "layer", "host", "app", "executor")
@limit_option
@json_option
@with_config
def decisions(config: OctopusConfig, as_json: bool, **options: Any) -> None:
    """List decisions: retry or terminate, where to, and why; and what people decided."""
    from octopus_plugins.streams import decisions as question

    def show(found: Sequence[Any]) -> None:
        others = any(one.decider != "workflow" for one in found)
        by: dict[str, Callable[[Any], str]] = {"By": screen.decider} if others else {}
        what: dict[str, Callable[[Any], str]] = {"Category": _category, "Decision": screen.action}
        _print_tries(found, **by, **what, Why=lambda one: one.reason)

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
        _print_tries(_latest(found), App=lambda one: one.app or "–", Where=screen.place, State=lambda one: one.state)

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
        rows = screen.table("Started", "Run", "Name", "Host", "Ended", "Done", "Failed")
        rows.columns[1].no_wrap = True  # to be copied
        starts = {run.run_id: run for run in found if run.state == "started"}
        ends = {run.run_id: run for run in found if run.state == "ended"}
        for run_id in dict.fromkeys(run.run_id for run in found):
            start, end = starts.get(run_id), ends.get(run_id)
            known = start or end
            assert known is not None
            begin = screen.local_time(start.time) if start else "–"
            outcome = (screen.local_time(end.time), str(end.tasks_done), str(end.tasks_failed)) if end else ("–",) * 3
            cells = map(printable, (run_id, known.name or "–", known.host or "–"))
            rows.add_row(begin, *cells, *outcome)
        screen.console().print(rows)

    _answer(question, "runs", show, config=config, as_json=as_json, options=options)


def _category(decision: Any) -> str:
    return "–" if decision.action in {"deny", "allow"} else str(decision.category)


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


def _print_tries(found: Sequence[Any], **columns: Callable[[Any], str]) -> None:
    """Print a table of what is said of tries; the run stands below it where there is only one."""
    from octopus_plugins.events import ANY

    run_ids = {one.run_id for one in found}
    several = len(run_ids) > 1
    rows = screen.table("When", *(["Run"] if several else []), "Task", "Try", *columns)
    tasks = _short_ids({one.task_id for one in found})
    for one in found:
        run = ["all" if one.run_id == ANY else one.run_id[:8]] if several else []
        about = (tasks[one.task_id], str(one.try_id)) if one.task_id != ANY else ("all", "–")
        cells = [*run, *about, *(text(one) for text in columns.values())]
        rows.add_row(screen.local_time(one.time), *map(printable, cells))
    out = screen.console()
    out.print(rows)
    if not several:
        (run_id,) = run_ids
        out.print(printable("\nall runs" if run_id == ANY else f"\nrun {run_id}"), style="dim")
    if any(len(shown) < len(task_id) for task_id, shown in tasks.items()):
        out.print("Of task ids the beginning, as `octopus explain` takes it; --json has them whole.", style="dim")


def _short_ids(task_ids: set[str]) -> dict[str, str]:
    """How each task is shown: by the beginning of its UUID where that is one task's only."""
    times = Counter(screen.short(task_id) for task_id in task_ids)
    return {one: screen.short(one) if times[screen.short(one)] == 1 else one for one in task_ids}


def _latest(changes: Iterable[Task]) -> list[Task]:
    """The last change of each task, in the order of the tasks' first ones."""
    latest: dict[tuple[str, str], Task] = {}
    for change in changes:
        latest[change.run_id, change.task_id] = change
    return list(latest.values())
