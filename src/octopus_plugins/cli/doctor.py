"""``octopus doctor``: what is wrong on the way to the topics, and what to do about it."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from octopus_plugins.cli import screen
from octopus_plugins.cli.options import json_option, load_config
from octopus_plugins.text import escaped_json, printable

if TYPE_CHECKING:
    from octopus_plugins.doctor import Finding

_WIDTH = 80
_MARKS = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "failed": ("✗", "red"),
    "not_needed": ("–", "bright_black"),
    "not_tried": ("·", "bright_black"),
}
_NAME_COLUMNS = 8
_INDENT = " " * (_NAME_COLUMNS + 4)


@click.command(epilog="Example: octopus doctor --profile kafka")
@json_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=1, max=3600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="End within this time; one step may take a quarter of it.",
)
@click.option("--profile", metavar="NAME", help="Settings to use: local, kafka or octopus.")
@click.pass_context
def doctor(context: click.Context, as_json: bool, timeout: float, profile: str | None) -> None:
    """Look at each step of the way to your topics, and say what to do where one fails (exit status 1).

    From the settings over login, key, clock, names, connections, TLS and access to a record that is written and read
    back; then the spool on this machine, and what became of the events of the last runs. Nothing is changed, but for
    that one record, which nothing else ever shows, and the spool's directory, which is made where it is missing.
    """
    from octopus_plugins.doctor import diagnose

    root = context.find_root().params
    if not root.get("debug"):  # what is found is told here, once, and not by the way too
        logging.getLogger("octopus_plugins").setLevel(logging.CRITICAL)
    findings = []
    for finding in diagnose(lambda: load_config(profile or root.get("profile")), timeout=timeout):
        findings.append(finding)
        click.echo(_json(finding) if as_json else _lines(finding))
        sys.stdout.flush()
    if not as_json:
        click.echo(f"\n{_summary(findings)}")
    if any(finding.state == "failed" for finding in findings):
        raise click.exceptions.Exit(1)


def _json(finding: Finding) -> str:
    names = ("step", "state", "seen", "code", "why", "remedy", "notes", "details", "seconds")
    return escaped_json(json.dumps({name: getattr(finding, name) for name in names}))


def _lines(finding: Finding) -> str:
    mark, colour = _MARKS[finding.state]
    head = f"{click.style(mark, fg=colour)} {finding.step:<{_NAME_COLUMNS}}  "
    lines = [head + _wrapped(finding.seen)]
    lines += [_INDENT + _wrapped(note) for note in finding.notes]
    if finding.why:
        lines.append(f"{_INDENT}why: " + _wrapped(finding.why, 5))
    if finding.remedy:
        lines.append(f"{_INDENT}do:  " + click.style(_wrapped(finding.remedy, 5), bold=True))
    return "\n".join(lines)


def _wrapped(text: str, more: int = 0) -> str:
    """Text that fits beside the names, and is never broken within a word: that may be a command or a path."""
    indent = len(_INDENT) + more
    width = min(shutil.get_terminal_size((_WIDTH, 24)).columns, screen.WIDTH) if sys.stdout.isatty() else _WIDTH
    lines = textwrap.wrap(
        printable(" ".join(text.split())),
        max(width - indent, 20),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"\n{' ' * indent}".join(lines)


def _summary(findings: list[Finding]) -> str:
    failed = [finding.step for finding in findings if finding.state == "failed"]
    warned = [finding.step for finding in findings if finding.state == "warning"]
    if failed:
        return f"Broken: {', '.join(failed)}. Do what stands there, then run it again."
    untried = [finding.step for finding in findings if finding.state == "not_tried"]
    if untried:
        return f"Nothing failed, but there was no time for {', '.join(untried)}."
    trip = next((each.details.get("round_trip_ms") for each in findings if each.step == "consume"), None)
    well = "All is well" if not warned else f"It works; look at {', '.join(warned)}"
    return f"{well}: a record goes to your topics and back in {trip:,.0f} ms." if trip is not None else f"{well}."
