"""What the evaluation prints and what stands in the documentation."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from benchmarks import tables
from benchmarks.figures import Spread
from benchmarks.harmless.catalogue import WORKLOADS
from benchmarks.harmless.judging import IDLE, PAIRS, SLACK, SLACK_BELOW, Verdict
from benchmarks.harmless.workload import DOOMED, RATIO, IdleRule, Workload

COLUMNS = (
    "workload",
    "retries",
    "nodes × workers",
    "tasks",
    "well, stock / ours",
    "makespan, s, stock / ours",
    "ratio",
    "blocks, stock / ours",
    "longest idle, s",
    "verdict",
)

RULE = f"""
`enable(config)` does no harm: a task that ends well in stock Parsl ends well with it, with the run's `retries` honoured
in full unless a stop is certain ([policy.md](policy.md#how-a-decision-is-made) lists what is); a healthy run takes no
more than 1.05 times as long; and inside a task a worker looks as Parsl's own does ([workers.md](workers.md) lists what
can be seen). With `retries=0` a run is watched and nothing in it is steered.

Each workload runs in stock Parsl and with `enable(config)`, which is the only difference, with the same seeds and in
turn. The nodes are processes of one machine with host names of their own.

- **Tasks**: never fewer end well, with the right result, than in stock Parsl.
- **Time**: the median of the paired makespan ratios is at most {RATIO} (n ≥ {PAIRS}); where the makespan of stock
  Parsl is below {SLACK_BELOW:g} s, {SLACK} s more are allowed. The makespan runs from the first submission to the last
  result. All workers have run something by then, unless the workload is marked as a cold start. Where every task fails
  at each of its tries, {DOOMED} times are allowed: that run is doomed, and has only to end about as soon.
- **Idle nodes**: no node has a free worker for more than {IDLE:g} s while a task waits that could run there. A task
  waits from when it is submitted and has all its inputs until its first try begins, and between its tries.
- **Left out**: a result that the serializer itself refuses twice and would have taken at the third try. That stop is
  certain by the rule.
- **Facts**: what a workload states beyond results (what a task sees of its worker, how often a handler is called) is
  the same in both.
""".strip().splitlines()


def rows(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    """One row for each workload."""
    return [_row(verdict) for verdict in verdicts]


def show(verdicts: Sequence[Verdict], console: Console) -> None:
    """Print the table, and what else there is to say."""
    tables.show("Stock Parsl and enable(config)", COLUMNS, rows(verdicts), console)
    for line in _remarks(verdicts):
        console.print(line, markup=False, highlight=False)
    console.print(summary(verdicts), highlight=False)


def summary(verdicts: Sequence[Verdict]) -> str:
    """How many workloads met the bars."""
    met = sum(not verdict.missed and not verdict.flaws for verdict in verdicts)
    return f"{met} of {len(verdicts)} workloads are not harmed."


def markdown(verdicts: Sequence[Verdict], machine: Mapping[str, str], command: str, pairs: int, note: str = "") -> str:
    """The page.

    Args:
        verdicts: What became of the workloads.
        machine: Where they ran.
        command: What was called.
        pairs: How often.
        note: What else there is to say of how the runs were made.
    """
    described = "; ".join(f"{name} {value}" for name, value in machine.items())
    return "\n".join(
        [
            "# First, do no harm",
            "",
            f"Written by `{command}` on {time.strftime('%Y-%m-%d', time.gmtime())}; do not edit.",
            "",
            *RULE,
            "",
            " ".join(filter(None, [summary(verdicts), f"Pairs of runs: {pairs}. Machine: {described}.", note])),
            "",
            "## Results",
            "",
            "Tasks are counted over all pairs. Makespans are medians; the ratio is the median of the pairs, with the"
            " smallest and largest.",
            "",
            *tables.markdown(COLUMNS, rows(verdicts)),
            "",
            "## Workloads",
            "",
            *(f"- `{verdict.workload}`: {_title(WORKLOADS[verdict.workload])}." for verdict in verdicts),
            "",
            *_section("What failed otherwise than in stock Parsl", _remarks(verdicts)),
        ]
    )


def _title(workload: Workload) -> str:
    return workload.title if workload.warm else f"{workload.title}; cold start"


def _row(verdict: Verdict) -> tuple[str, ...]:
    workload = WORKLOADS[verdict.workload]
    judged = workload.idle is not IdleRule.NOT_JUDGED
    return (
        f"`{verdict.workload}`",
        str(workload.retries),
        f"{workload.size.nodes} × {workload.size.workers}",
        str(verdict.tasks),
        f"{verdict.well[0]} / {verdict.well[1]}",
        f"{_seconds(verdict.stock)} / {_seconds(verdict.ours)}",
        _ratio(verdict.ratio),
        f"{verdict.submits[0]:g} / {verdict.submits[1]:g}",
        f"{verdict.idle:.1f}" if judged else "not judged",
        verdict.text,
    )


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f}"


def _ratio(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    median, low, high = (
        "∞" if math.isinf(value) else f"{value:.3f}" for value in (spread.median, spread.low, spread.high)
    )
    return median if spread.count == 1 else f"{median} ({low} – {high})"


def _remarks(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"- {verdict.workload}, {remark}" for verdict in verdicts for remark in verdict.remarks]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []
