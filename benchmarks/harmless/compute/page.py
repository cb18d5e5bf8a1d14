"""What the evaluation prints and what stands in the documentation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.figures import Spread
from benchmarks.harmless.compute.catalogue import CASES
from benchmarks.harmless.compute.judging import Verdict
from benchmarks.harmless.judging import PAIRS, RATIO, SLACK, SLACK_BELOW, STANDS_OUT, STANDS_OUT_SECONDS

COLUMNS = (
    "case",
    "retries",
    "tasks",
    "well, stock / ours",
    "ran again, stock / ours",
    "two answers, stock / ours",
    "time, s, stock / ours",
    "ratio",
    "verdict",
)

RULE = f"""
`OctopusEngine` and `OctopusExecutor` do no harm: a task that ends well with the stock engine and the SDK's `Executor`
ends well with them, no task is answered twice or runs oftener than with those, and none waits longer
([globus-compute.md](globus-compute.md)).

Each case runs in turn with `type: GlobusComputeEngine` and the SDK's `Executor`, and with `type: OctopusEngine` and
`OctopusExecutor`, both with their defaults, on a real endpoint with RabbitMQ; only the Globus Compute web service is a
stand-in. An endpoint has one block of two workers and gets 6 tasks of 2 s unless the case says otherwise. Each block is
up and each worker has run something before the first submission, unless the case says otherwise. Where a user endpoint
has ended, one more task is submitted, as the web service starts the next one only then.

- **Tasks**: never fewer end well than in stock. A task ends well that returns, or raises, what it must. One that is
  never answered does not.
- **Answers**: no more tasks than in stock have two different answers, as the web service receives them.
- **Runs**: no task runs oftener than a task in stock does. Each run appends a line to a file of the task's own.
- **User endpoints**: no more than in stock end by themselves under running tasks.
- **Time**: the median of the paired ratios of the seconds from the first submission to the last answer is at most
  {RATIO} (n ≥ {PAIRS}); where stock takes less than {SLACK_BELOW:g} s, {SLACK} s more are allowed. Only tasks count
  that are answered in both and end alike. With fewer than {PAIRS} pairs a time is missed only where it is both more
  than {STANDS_OUT:g} times as long and {STANDS_OUT_SECONDS:g} s longer: that is no proof that times are equal.
""".strip().splitlines()


def rows(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    """One row for each case."""
    return [_row(verdict) for verdict in verdicts]


def show(verdicts: Sequence[Verdict], console: Console) -> None:
    """Print the table, and what else there is to say."""
    table = Table(title="Stock Globus Compute and Octopus")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows(verdicts):
        # As text: what a message has in brackets is no markup.
        table.add_row(*(Text(cell.replace("**", "").replace("`", "")) for cell in row))
    console.print(table)
    for line in _remarks(verdicts):
        console.print(line, markup=False, highlight=False)
    console.print(summary(verdicts), highlight=False)


def summary(verdicts: Sequence[Verdict]) -> str:
    """How many cases met the bars."""
    met = sum(not verdict.missed and not verdict.flaws for verdict in verdicts)
    return f"{met} of {len(verdicts)} cases are not harmed."


def markdown(verdicts: Sequence[Verdict], machine: Mapping[str, str], command: str, pairs: int) -> str:
    """The page."""
    described = "; ".join(f"{name} {value}" for name, value in machine.items())
    return "\n".join(
        [
            "# First, do no harm: Globus Compute",
            "",
            f"Written by `{command}` on {time.strftime('%Y-%m-%d', time.gmtime())}; do not edit.",
            "",
            *RULE,
            "",
            f"{summary(verdicts)} Pairs of runs: {pairs}. Machine: {described}.",
            *_reservations(verdicts, pairs),
            "",
            "## Results",
            "",
            "Tasks are counted over all pairs. Times are medians; the ratio is the median of the pairs, with the"
            " smallest and largest.",
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|" + "---|" * len(COLUMNS),
            *("| " + " | ".join(row) + " |" for row in rows(verdicts)),
            "",
            "## Cases",
            "",
            *(f"- `{verdict.case}`: {CASES[verdict.case].title}." for verdict in verdicts),
            "",
            *_section("What did not end well", _remarks(verdicts)),
        ]
    )


def _reservations(verdicts: Sequence[Verdict], pairs: int) -> list[str]:
    """What these runs do not show."""
    found = []
    if pairs < PAIRS:
        found.append(f"With {pairs} of {PAIRS} pairs the runs are enough to count tasks, not to judge times.")
    if missing := len(CASES) - len(verdicts):
        found.append(f"{missing} of the {len(CASES)} cases have yet to be run.")
    return ["", "> " + " ".join(found)] if found else []


def _row(verdict: Verdict) -> tuple[str, ...]:
    seconds = "–" if verdict.seconds is None else f"{verdict.seconds[0]:.2f} / {verdict.seconds[1]:.2f}"
    return (
        f"`{verdict.case}`",
        str(CASES[verdict.case].retries),
        str(verdict.tasks),
        f"{verdict.well[0]} / {verdict.well[1]}",
        f"{verdict.ran_again[0]} / {verdict.ran_again[1]}",
        f"{verdict.contradicted[0]} / {verdict.contradicted[1]}",
        seconds,
        _ratio(verdict.ratio),
        verdict.text.replace("|", "\\|"),
    )


def _ratio(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return (
        f"{spread.median:.3f}" if spread.count == 1 else f"{spread.median:.3f} ({spread.low:.3f} – {spread.high:.3f})"
    )


def _remarks(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"- {verdict.case}, {remark}" for verdict in verdicts for remark in verdict.remarks]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []
