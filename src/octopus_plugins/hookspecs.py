"""The hooks that a plugin may implement. All of them are here.

A plugin is a module or an object with functions that carry ``@hookimpl`` and the name of a hook. A
distribution offers it by an entry point, and nothing else needs to be done::

    [project.entry-points.octopus_plugins]
    my-site = "my_site.octopus"

A function may take fewer arguments than its hook has. Plugins are called in pluggy's order: ``tryfirst``
ones, then the last registered before the earlier ones, then ``trylast`` ones. One that raises is reported
once in the log of ``octopus_plugins`` and passed over; it stops neither the others nor the host.
``docs/plugins.md`` has a chapter for each hook.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    import click

    from octopus_plugins.events import Decision, Event, Failure
    from octopus_plugins.wrath import Rule

PROJECT_NAME: Final = "octopus_plugins"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


class Withhold(Enum):
    """The type of `WITHHOLD`."""

    WITHHOLD = "withhold"


WITHHOLD: Final = Withhold.WITHHOLD
"""What ``octopus_transform`` returns for an event that must not leave."""


@hookspec
def octopus_rules() -> Iterable[Rule]:  # type: ignore[empty-body]
    """Add categorisation rules.

    They are tried before the built-in rules of the same trust.

    Returns:
        The rules.

    Example:
        A licence server that is out of seats deserves another try, later::

            @hookimpl
            def octopus_rules():
                return [
                    Rule(
                        name="app_exit.licence_seats",
                        category=Category.app_exit,
                        trust=Trust.text,
                        match=lambda failure, history: Match("found no free licence seat", resolvable="yes"),
                        words=("no licence seat",),
                    )
                ]
    """


@hookspec
def octopus_transform(event: Event) -> Event | Withhold | None:
    """Enrich, redact or withhold an event before it leaves the process.

    Called for each event in the thread that emits it, so keep it quick. Events are frozen: make a changed
    copy with ``msgspec.structs.replace``. Keep its class, and the fields its id is made of (run, task, try,
    state), or readers take it for something else.

    Args:
        event: The event as the plugins before this one left it.

    Returns:
        The event to send; None to leave it as it is; ``WITHHOLD`` for one that must not be sent.

    Example:
        Tracebacks stay at home::

            @hookimpl
            def octopus_transform(event):
                if isinstance(event, Failure):
                    return msgspec.structs.replace(event, traceback=None)
    """


@hookspec
def octopus_decision(failure: Failure, decision: Decision) -> Decision | None:
    """Change a decision before it is applied and published.

    Args:
        failure: The failure, with its categorisation.
        decision: What the policy decided, as the plugins before this one left it.

    Returns:
        The decision to take; None to leave it as it is.

    Example:
        On Fridays nothing is retried::

            @hookimpl
            def octopus_decision(failure, decision):
                if time.localtime(failure.time).tm_wday == 4:
                    return msgspec.structs.replace(decision, action="terminate", placement=None, reason="a Friday")
    """


@hookspec
def octopus_decided(failure: Failure, decision: Decision) -> None:
    """Be told of each decision, once it is final.

    Called in the thread that decides, so hand slow work, such as sending mail, to a thread of your own.

    Args:
        failure: The failure, with its categorisation.
        decision: What was decided.

    Example:
        ::

            @hookimpl
            def octopus_decided(failure, decision):
                if decision.action == "terminate":
                    outbox.put(f"{failure.app} was given up: {decision.reason}")
    """


@hookspec
def octopus_commands(group: click.Group) -> None:
    """Add commands to ``octopus``.

    Import what is slow inside the commands, not in the plugin's module: ``octopus --help`` loads every plugin.

    Args:
        group: The ``octopus`` command; the names of its own commands are taken.

    Example:
        ::

            @hookimpl
            def octopus_commands(group):
                @group.command()
                def nodes():
                    \"\"\"List our nodes.\"\"\"
    """
