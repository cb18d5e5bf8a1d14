"""What the evaluation prints and what stands in the documentation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from benchmarks import tables
from benchmarks.figures import Spread
from benchmarks.harmless.compute.case import Case
from benchmarks.harmless.compute.catalogue import CASES
from benchmarks.harmless.compute.judging import LadderVerdict, Verdict
from benchmarks.harmless.judging import PAIRS, SLACK, SLACK_BELOW, STANDS_OUT, STANDS_OUT_SECONDS
from benchmarks.harmless.workload import RATIO

COLUMNS = (
    "case",
    "pairs",
    "retries",
    "tasks",
    "well, stock / ours",
    "ran again, stock / ours",
    "two answers, stock / ours",
    "time, s, stock / ours",
    "ratio",
    "verdict",
)

LADDER_COLUMNS = (
    "case",
    "runs",
    "tasks",
    "well",
    "ran again",
    "ended again",
    "most runs of a task",
    "two answers",
    "last answer, s",
    "verdict",
)

LADDER_RULE = """
`OctopusExecutor(ladder=[first, second])` with two endpoints, the second of which has no user endpoint yet; stock has no
such thing, so the bars are absolute. All tasks end well, none has two different answers, and none runs again where the
first endpoint was merely silent. Where a process was ended, a task that it held may *run again*, which is what the
ladder is for; *ended again* counts those whose earlier run came to its end as well, so that the work was done twice:
its result was lost with the process that was to send it.
""".strip().splitlines()

RULE = f"""
`OctopusEngine` and `OctopusExecutor` do no harm: a task that ends well with the stock engine and the SDK's `Executor`
ends well with them, no task is answered twice or runs oftener than with those, and none waits longer
([globus-compute.md](globus-compute.md)).

Each case runs in turn with `type: GlobusComputeEngine` and the SDK's `Executor`, and with `type: OctopusEngine` and
`OctopusExecutor`, both with their defaults, on a real endpoint with RabbitMQ; only the Globus Compute web service is a
stand-in. An endpoint has one block of two workers and gets 6 tasks of 2 s unless the case says otherwise. Each block is
up and each worker has run something before the first submission, unless the case says otherwise. Where a user endpoint
has ended, one more task is submitted, as the web service starts the next one only then.

- **Tasks**: never fewer end well than in stock, and where nothing is done to the endpoint, each that does in stock. A
  task ends well that returns, or raises, what it must. One that is never answered does not.
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


def ladder_rows(verdicts: Sequence[LadderVerdict]) -> list[tuple[str, ...]]:
    """One row for each case with a ladder."""
    return [_ladder_row(verdict) for verdict in verdicts]


def show(verdicts: Sequence[Verdict], ladders: Sequence[LadderVerdict], console: Console) -> None:
    """Print the tables, and what else there is to say."""
    if verdicts:
        tables.show("Stock Globus Compute and Octopus", COLUMNS, rows(verdicts), console)
    if ladders:
        tables.show("A ladder of two endpoints", LADDER_COLUMNS, ladder_rows(ladders), console)
    for line in _remarks([*verdicts, *ladders]):
        console.print(line, markup=False, highlight=False)
    console.print(summary(verdicts, ladders), highlight=False)


def summary(verdicts: Sequence[Verdict], ladders: Sequence[LadderVerdict]) -> str:
    """How many cases met the bars."""
    met = sum(not verdict.missed and not verdict.flaws for verdict in verdicts)
    climbed = sum(not verdict.missed for verdict in ladders)
    said = [f"{met} of {len(verdicts)} cases are not harmed."] if verdicts else []
    said += [f"{climbed} of {len(ladders)} cases with a ladder end well."] if ladders else []
    return " ".join(said)


def markdown(
    verdicts: Sequence[Verdict],
    ladders: Sequence[LadderVerdict],
    machine: Mapping[str, str],
    command: str,
    note: str = "",
) -> str:
    """The page.

    Args:
        verdicts: What became of the cases.
        ladders: And of those with a ladder.
        machine: Where they ran.
        command: What was called.
        note: What else there is to say of how the runs were made.
    """
    described = "; ".join(f"{name} {value}" for name, value in machine.items())
    return "\n".join(
        [
            "# First, do no harm: Globus Compute",
            "",
            f"Written by `{command}` on {time.strftime('%Y-%m-%d', time.gmtime())}; do not edit.",
            "",
            *RULE,
            "",
            " ".join(filter(None, [summary(verdicts, ladders), f"Machine: {described}.", note])),
            *_reservations(verdicts, ladders),
            "",
            "## Results",
            "",
            "Tasks are counted over all pairs. Times are medians; the ratio is the median of the pairs, with the"
            " smallest and largest.",
            "",
            *tables.markdown(COLUMNS, rows(verdicts)),
            "",
            "## A ladder of two endpoints",
            "",
            *LADDER_RULE,
            "",
            *tables.markdown(LADDER_COLUMNS, ladder_rows(ladders)),
            "",
            "## Cases",
            "",
            *(f"- `{name}`: {case.title}." for name, case in CASES.items() if not _stands_twice(case)),
            "",
            *_section("What did not end well", _remarks([*verdicts, *ladders])),
        ]
    )


def _stands_twice(case: Case) -> bool:
    return case.ladder and case.name.removeprefix("ladder-") in CASES


def _reservations(verdicts: Sequence[Verdict], ladders: Sequence[LadderVerdict]) -> list[str]:
    """What these runs do not show."""
    found = []
    if any(verdict.pairs < PAIRS for verdict in verdicts):
        found.append(f"Fewer than {PAIRS} pairs are enough to count tasks, not to judge times.")
    if missing := len(CASES) - len(verdicts) - len(ladders):
        found.append(f"{missing} of the {len(CASES)} cases have yet to be run.")
    return ["", "> " + " ".join(found)] if found else []


def _row(verdict: Verdict) -> tuple[str, ...]:
    seconds = "–" if verdict.seconds is None else f"{verdict.seconds[0]:.2f} / {verdict.seconds[1]:.2f}"
    return (
        f"`{verdict.case}`",
        str(verdict.pairs),
        str(CASES[verdict.case].retries),
        str(verdict.tasks),
        f"{verdict.well[0]} / {verdict.well[1]}",
        f"{verdict.ran_again[0]} / {verdict.ran_again[1]}",
        f"{verdict.contradicted[0]} / {verdict.contradicted[1]}",
        seconds,
        _ratio(verdict.ratio),
        verdict.text,
    )


def _ladder_row(verdict: LadderVerdict) -> tuple[str, ...]:
    return (
        f"`{verdict.case}`",
        str(verdict.runs),
        str(verdict.tasks),
        str(verdict.well),
        str(verdict.ran_again),
        str(verdict.finished_again),
        str(verdict.most_runs),
        str(verdict.contradicted),
        "–" if verdict.seconds is None else f"{verdict.seconds:.2f}",
        verdict.text,
    )


def _ratio(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return (
        f"{spread.median:.3f}" if spread.count == 1 else f"{spread.median:.3f} ({spread.low:.3f} – {spread.high:.3f})"
    )


def _remarks(verdicts: Sequence[Verdict | LadderVerdict]) -> list[str]:
    return [f"- {verdict.case}, {remark}" for verdict in verdicts for remark in verdict.remarks]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []
