"""``octopus wrath replay`` and ``octopus wrath record``: what another policy would have decided of a recorded run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import json_option, load_config
from octopus_plugins.errors import PolicyError
from octopus_plugins.text import printable

if TYPE_CHECKING:
    from octopus_plugins.events import Decision, Event
    from octopus_plugins.wrath import Policy
    from octopus_plugins.wrath.replay.replay import Replayed
    from octopus_plugins.wrath.replay.summary import ReplaySummary

SHORT = 20
"""Characters of a value that is shown beside the one it was before."""

_profile_option = click.option("--profile", metavar="NAME", help="Settings to use: local, kafka or octopus.")


@click.command(epilog="Example: octopus wrath replay --run last --policy new.toml")
@click.option("--run", "--run-id", "run_id", metavar="ID", help="The run; 'last' is the newest.")
@click.option(
    "--file", "file", type=click.Path(path_type=Path), help="A recording, as `octopus wrath record` writes it."
)
@click.option(
    "--policy", type=click.Path(), help="The policy to try: a TOML file, or published; default: the one of the run."
)
@click.option("--ladder", metavar="A,B", help="Executors that a retry may climb, in place of the run's.")
@click.option("--categorize-again", is_flag=True, help="Categorise each failure anew, with the rules installed here.")
@click.option("--all", "show_all", is_flag=True, help="Show what is decided the same, too.")
@_profile_option
@json_option
def replay(
    *,
    run_id: str | None,
    file: Path | None,
    policy: str | None,
    ladder: str | None,
    categorize_again: bool,
    show_all: bool,
    profile: str | None,
    as_json: bool,
) -> None:
    """Decide each failure of a recorded run once more, and show what differs.

    With --policy or --ladder: what would have been decided, each failure judged on the history that really was.
    Without: whether the decisions of the record come out again, exactly; exit status 1 if one does not.
    """
    from octopus_plugins.wrath.replay.replay import missing
    from octopus_plugins.wrath.replay.replay import replay as replayed_by
    from octopus_plugins.wrath.replay.summary import summarise

    events = _events(run_id, file, profile)
    what_if = policy is not None or ladder is not None
    tried, note = _policy(events, policy, ladder)
    found = list(replayed_by(events, tried, rules=_rules(categorize_again), categorize_again=categorize_again))
    summary = summarise(found, events, exact=not what_if, missing=missing(events))
    shown = [one for one in found if show_all or one.recorded is None or _marked(one, what_if)]
    if as_json:
        _print_json(shown, summary, what_if)
    else:
        screen.say(note)
        _print_table(shown, tried, what_if)
        _print_summary(summary, what_if)
    if summary.different and not what_if:
        raise click.exceptions.Exit(1)


@click.command(epilog="Example: octopus wrath record --run last -o events.jsonl.gz")
@click.option("--run", "--run-id", "run_id", metavar="ID", required=True, help="The run; 'last' is the newest.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The file; .gz at its end packs it."
)
@_profile_option
def record(run_id: str, output: Path, profile: str | None) -> None:
    """Keep all that the topics have of a run in a file, one CloudEvent per line."""
    from octopus_plugins.streams.run_file import write_file
    from octopus_plugins.wrath.replay.replay import in_order, missing

    events = in_order(_events(run_id, None, profile))
    number = write_file(output, events)
    gaps = missing(events)
    lost = f"; {gaps:,} that the run told are not in the topics" if gaps else ""
    click.echo(f"Wrote {number:,} events of run {events[0].run_id} to {output}{lost}.")


def _events(run_id: str | None, file: Path | None, profile: str | None) -> list[Event]:
    """The events of the run that was asked for, from a file or from the topics."""
    from octopus_plugins.streams import run_file

    if file is not None:
        events = run_file.read_file(file, run_id)
        where = str(file)
    elif run_id is not None:
        root = click.get_current_context().find_root()
        config = load_config(profile or root.params.get("profile"))
        events = run_file.read_run(config, run_id)
        where = f"the topics of {config.namespace} at {config.servers} (profile {config.profile})"
    else:
        raise click.UsageError("say which run: --run last, --run ID, or --file with a recording")
    if not events:
        raise click.ClickException(f"no events of run {run_id or 'any'} in {where}; `octopus runs` lists the runs")
    return events


def _policy(events: Sequence[Event], file: str | None, ladder: str | None) -> tuple[Policy, str]:
    """The policy to try, and what to say of it."""
    from octopus_plugins.wrath import policy_from
    from octopus_plugins.wrath.policy.data import policy_from_data
    from octopus_plugins.wrath.replay.replay import recorded_policy

    data = recorded_policy(events)
    labels = None if ladder is None else [label.strip() for label in ladder.split(",") if label.strip()]
    try:
        if file is not None:
            policy = policy_from(file, ladder=labels)
            note = f"Policy {policy.name!r} of {file}" if file != policy.name else f"Policy {policy.name!r}"
            if labels is None and not policy.ladder and data is not None:
                policy = policy_from(policy, ladder=policy_from_data(data).ladder)
                note += ", with the run's own ladder"
        elif data is not None:
            policy = policy_from(policy_from_data(data), ladder=labels)
            note = f"Policy {policy.name!r}, as the run recorded it"
        else:
            policy = policy_from(None, ladder=labels)
            note = "The run recorded no policy: the built-in one is tried"
    except PolicyError as error:
        raise click.UsageError(str(error)) from error
    return policy, f"{note}; ladder {' → '.join(policy.ladder) or 'none'}."


def _rules(categorize_again: bool) -> tuple[Any, ...]:
    from octopus_plugins.wrath import DEFAULT_RULES

    if not categorize_again:
        return DEFAULT_RULES
    from octopus_plugins.plugins import load_plugins

    return (*load_plugins().rules(), *DEFAULT_RULES)


def _marked(one: Replayed, what_if: bool) -> bool:
    return bool(one.changes if what_if else one.differs)


def _print_json(shown: Sequence[Replayed], summary: ReplaySummary, what_if: bool) -> None:
    import msgspec

    from octopus_plugins.streams.tables import plain

    for one in shown:
        line = {
            "failure": plain(one.failure),
            "recorded": plain(one.recorded) if one.recorded is not None else None,
            "decision": plain(one.decision),
            "differs": list(one.changes if what_if else one.differs),
        }
        click.echo(msgspec.json.encode(line).decode())
    click.echo(msgspec.json.encode({"summary": summary}).decode())


def _print_table(shown: Sequence[Replayed], policy: Policy, what_if: bool) -> None:
    from rich.text import Text

    if not shown:
        return
    rows = screen.table("", "Task", "Try", "Where", "Category", "In the run", _heading(policy, what_if))
    for one in shown:
        marked = _marked(one, what_if)
        category = one.failure.categorization.category if one.failure.categorization is not None else "unknown"
        cells = [one.failure.task_id, str(one.failure.try_id), one.failure.host or "–", category]
        now = _cell(one.decision) if marked or one.recorded is None else Text("the same", style="dim")
        if marked and one.recorded is not None and screen.action(one.recorded) == screen.action(one.decision):
            now.append(f"\n{printable(_changed(one))}", style="yellow")
        before = _cell(one.recorded) if one.recorded is not None else Text("not decided", style="dim")
        mark = Text("≠", style="bold yellow") if marked else Text("=" if one.recorded is not None else "·", style="dim")
        rows.add_row(mark, *map(printable, cells), before, now)
    screen.console().print(rows)


def _changed(one: Replayed) -> str:
    """The fields that differ, with both values where they are short."""
    parts = []
    for name in one.changes or one.differs:
        before, now = getattr(one.recorded, name), getattr(one.decision, name)
        plain = all(isinstance(value, (str, int, float)) and len(str(value)) <= SHORT for value in (before, now))
        parts.append(f"{name} {before} → {now}" if plain else f"another {name}")
    return ", ".join(parts)


def _heading(policy: Policy, what_if: bool) -> str:
    return printable(f"By {policy.name}") if what_if else "Replayed"


def _cell(decision: Decision) -> Any:
    from rich.text import Text

    style = {"retry": "green", "terminate": "red"}.get(decision.action, "")
    cell = Text(printable(screen.action(decision)), style=style)
    to_whom = f" tasks of {printable(decision.deny_app)}" if decision.deny_app else ""
    for host, until in decision.deny_hosts.items():
        does = "denies" if until > decision.time else "allows"
        cell.append(f"\n{does} {printable(host)}{to_whom}", style="yellow")
    if decision.systemic:
        cell.append(f"\nof the run: {printable(decision.systemic)} ({printable(decision.on_systemic)})", style="yellow")
    if decision.halts_run:
        cell.append("\nhalts the run", style="bold red")
    return cell.append(f"\n{printable(decision.reason)}", style="dim")


def _print_summary(summary: ReplaySummary, what_if: bool) -> None:
    out = screen.console()
    decided = summary.failures - summary.undecided
    how = "with another effect" if what_if else "differently"
    parts = [f"{_count(summary.failures, 'failure')} replayed"]
    if summary.undecided:
        parts.append(f"{summary.undecided} that nobody had decided")
    if decided:
        parts.append(f"{summary.same} decided the same, {summary.different} {how}")
    out.print("; ".join(parts) + ".", style="bold")
    if summary.retries_saved or summary.retries_added or summary.moved:
        out.print(
            f"{_count(summary.retries_saved, 'retry')} saved, {summary.retries_added} added,"
            f" {summary.moved} in another place or at another time."
        )
    if summary.retries_saved:
        out.print(
            f"Of the tries that followed in the run, {summary.tries_saved} would not have been made:"
            f" {summary.tries_wasted} of them of tasks that failed all the same."
        )
    if summary.rescued_lost:
        out.print(
            f"{_count(summary.rescued_lost, 'task')} that ended well in the run would have been given up.", style="red"
        )
    if summary.missing:
        screen.say(
            f"{_count(summary.missing, 'event')} that the run told are not in the record (samples or heartbeats that"
            " were dropped, or withheld by a plugin): a decision that rested on one may come out differently."
        )


def _count(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what[:-1]}ies" if what.endswith("y") else f"{number:,} {what}s"
