"""``octopus decide``: what a person decides about a run, a task or a node."""

from __future__ import annotations

import getpass
import platform
import time
import uuid
from typing import TYPE_CHECKING, Any

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import asked, json_option, with_config
from octopus_plugins.text import printable

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.events import Decision

_reason_option = click.option("--reason", metavar="TEXT", help="Why; stands in the decision, with your name.")
_host_option = click.option("--host", required=True, metavar="NAME", help="Host name of the node.")
_unseen_option = click.option(
    "--unseen", is_flag=True, help="Also for a run or task of which nothing stands in the topics."
)
_one_run_option = click.option(
    "--run-id", "--run", "run_id", metavar="ID", help="In this run only; 'last' is the newest. Default: in all runs."
)


@click.group(epilog="Example: octopus decide deny --host node-17 --for 2h --reason 'its GPU is broken'")
def decide() -> None:
    """Decide something yourself; runs that listen honour it within a second.

    The decision is published to the topic 'decisions', where `octopus decisions` shows it.
    """


@decide.command(epilog="Example: octopus decide terminate --run last --task 12 --reason 'wrong input'")
@click.option(
    "--run-id",
    "--run",
    "run_id",
    required=True,
    metavar="ID",
    help="The run; 'last' is the newest. Eight characters do.",
)
@click.option("--task-id", "--task", "task_id", metavar="ID", help="This task only. Default: the whole run.")
@_unseen_option
@_reason_option
@json_option
@with_config
def terminate(
    config: OctopusConfig, run_id: str, task_id: str | None, unseen: bool, reason: str | None, as_json: bool
) -> None:
    """Give up a run, or one task of it.

    Tasks that wait or run fail at once and are not retried.
    """
    from octopus_plugins.events import ANY

    run = _run(config, run_id, unseen=unseen)
    _task(config, run, task_id, unseen=unseen)
    what = "the run was given up" if task_id is None else f"task {task_id} was given up"
    _publish(
        config,
        as_json,
        f"Every task of run {run} that waits or runs fails now, and so does what it submits later."
        if task_id is None
        else f"Task {task_id} of run {run} fails now and is not retried.",
        run_id=run,
        task_id=task_id or ANY,
        action="terminate",
        stop="halted",
        category="halted" if task_id is None else "unknown",
        layer="framework" if task_id is None else "unknown",
        halts_run=task_id is None,
        reason=_because(what, reason),
    )


@decide.command(epilog="Example: octopus decide deny --host node-17 --for 2h --reason 'its GPU is broken'")
@_host_option
@_one_run_option
@_unseen_option
@click.option(
    "--for", "span", default="1h", show_default=True, metavar="TIME", help="Such as 90s, 30m, 2h; 24h at most."
)
@_reason_option
@json_option
@with_config
def deny(
    config: OctopusConfig,
    host: str,
    run_id: str | None,
    unseen: bool,
    span: str,
    reason: str | None,
    as_json: bool,
) -> None:
    """Give a node no new tasks for a while.

    What runs on it goes on. It holds for runs that start later, too.
    """
    seconds = _seconds(span)
    run = _run(config, run_id, unseen=unseen)
    until = time.time() + seconds
    _publish(
        config,
        as_json,
        f"{host} gets no new tasks in {_runs(run)} until {screen.local_time(until)};"
        f" `octopus decide allow --host {host}` lifts it.",
        run_id=run,
        action="deny",
        deny_hosts={host: until},
        host=host,
        reason=_because(f"{host} was denied for {screen.span(seconds)}", reason),
    )


@decide.command(epilog="Example: octopus decide allow --host node-17")
@_host_option
@_one_run_option
@_unseen_option
@_reason_option
@json_option
@with_config
def allow(
    config: OctopusConfig, host: str, run_id: str | None, unseen: bool, reason: str | None, as_json: bool
) -> None:
    """Give a node tasks again, whoever denied it."""
    run = _run(config, run_id, unseen=unseen)
    _publish(
        config,
        as_json,
        f"{host} gets tasks again in {_runs(run)}.",
        run_id=run,
        action="allow",
        deny_hosts={host: time.time()},
        host=host,
        reason=_because(f"{host} was allowed again", reason),
    )


def _publish(config: OctopusConfig, as_json: bool, effect: str, **fields: Any) -> None:
    """Send the decision of this person, and say what was sent and what happens now."""
    from octopus_plugins.errors import PluginError
    from octopus_plugins.events import ANY, Decision
    from octopus_plugins.fabric.kafka.produce_sync import send_now
    from octopus_plugins.plugins import load_plugins

    decision = Decision(
        **{"task_id": ANY, **fields},
        time=time.time(),
        rule="person",
        decider="person",
        serial=str(uuid.uuid4()),
        charge=0.0,
        labels={"person": _login()},
    )
    outgoing = load_plugins().transform(decision)
    if outgoing is None:
        raise PluginError(
            "a plugin withheld the decision", remedy="uninstall the plugin, or decide from another environment"
        )
    send_now(config, outgoing)
    if as_json:
        click.echo(screen.json_line(outgoing))
        return
    _say(config, decision, effect)


def _say(config: OctopusConfig, decision: Decision, effect: str) -> None:
    click.echo(printable(f"Published to {config.namespace}.decisions: {decision.action}: {decision.reason}."))
    click.echo(printable(effect))
    click.echo("Runs that listen to decisions take it within a second, those with listen=False do not.")


def _run(config: OctopusConfig, run_id: str | None, *, unseen: bool = False) -> str:
    """The run meant; all of them where none is named.

    Args:
        config: Where it is looked for.
        run_id: Its id, the beginning of it, or ``last``.
        unseen: Whether it is taken as it is.

    Raises:
        click.UsageError: There is no such run, or it has ended.
    """
    from octopus_plugins.events import ANY, Run
    from octopus_plugins.streams import runs
    from octopus_plugins.streams.query import LAST, is_begin_of_id

    if run_id is None:
        return ANY
    if unseen:
        return run_id
    wanted = None if run_id == LAST else run_id
    known: dict[str, Run] = {}
    for run in runs(run_id=wanted, config=config):
        before = known.get(run.run_id)
        if before is None or before.state != "ended":
            known[run.run_id] = run
    if not known:
        missing = "there is no run" if wanted is None else f"there is no run {wanted!r}"
        raise click.UsageError(
            f"{missing} in {config.namespace} (yet); `octopus runs` lists them, and --unseen decides all the same"
        )
    if wanted is None:
        found = max(known.values(), key=lambda run: run.time)
    elif len(known) == 1 or (wanted in known and not is_begin_of_id(wanted)):
        found = known[wanted] if wanted in known else next(iter(known.values()))
    else:
        raise click.UsageError(f"{wanted!r} is the beginning of {len(known)} runs: {', '.join(sorted(known))}")
    if found.state == "ended":
        raise click.UsageError(f"run {found.run_id} ended at {screen.local_time(found.time)}; nothing of it can go on")
    return found.run_id


def _task(config: OctopusConfig, run_id: str, task_id: str | None, *, unseen: bool) -> None:
    """See that a run has a task.

    Args:
        config: Where it is looked for.
        run_id: The run.
        task_id: The task; None is any.
        unseen: Whether it is taken as it is.

    Raises:
        click.UsageError: It has none of this id, or that one has ended.
    """
    from octopus_plugins.streams import tasks
    from octopus_plugins.wrath.history.history import FINAL_STATES

    if task_id is None or unseen:
        return
    states = [task.state for task in tasks(run_id=run_id, task_id=task_id, config=config)]
    if not states:
        raise click.UsageError(
            f"run {run_id} has no task {task_id!r} (yet); `octopus tasks --run {run_id}` lists them, and --unseen"
            " decides all the same"
        )
    if states[-1] in FINAL_STATES:
        raise click.UsageError(f"task {task_id} of run {run_id} has ended ({states[-1]}); there is nothing to give up")


def _seconds(span: str) -> float:
    from octopus_plugins.services.decision_subscriber import STANDING_SECONDS
    from octopus_plugins.streams.query import moment

    now = time.time()
    begin = asked(moment, value=span, name="for", now=now)
    seconds = now - begin if begin is not None else 0.0
    if not 0 < seconds <= STANDING_SECONDS:
        raise click.UsageError(f"--for {span} is not within a day; give a span such as 90s, 30m, 2h or 24h")
    return seconds


def _runs(run_id: str) -> str:
    from octopus_plugins.events import ANY

    return "all runs" if run_id == ANY else f"run {run_id}"


def _because(what: str, reason: str | None) -> str:
    return f"{what} by {_login()}" + (f": {reason.strip().rstrip('.')}" if reason and reason.strip() else "")


def _login() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "an unknown user"
    return f"{user}@{platform.node()}"
