"""Results for people, for machines, and for the documentation."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Distribution, Figure, Result

_COLUMNS = ("figure", "median", "range", "n", "goal", "verdict")


def show(result: Result, console: Console) -> None:
    """Print a result as a table."""
    table = Table(title=f"{result.entry}: {result.title}", title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column in {"median", "range", "n", "goal"} else "left")
    for figure in result.figures:
        table.add_row(*_cells(figure))
    console.print(table)
    for distribution in result.distributions:
        console.print(_histogram(distribution))
    for note in result.notes:
        console.print(f"  {note}", markup=False, highlight=False)


def write_json(results: Sequence[Result], machine: Mapping[str, str], directory: Path, *, quick: bool = False) -> Path:
    """Write everything that was measured, under a name with the time in it.

    Args:
        results: What was measured.
        machine: On what.
        directory: Where to; it is made.
        quick: Whether the workloads were small, so that nobody takes the figures for more.

    Raises:
        OSError: The directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    now = time.gmtime()
    path = directory / f"{time.strftime('%Y%m%dT%H%M%SZ', now)}.json"
    content = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
        "machine": dict(machine),
        "quick": quick,
        "results": [asdict(result) for result in results],
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def markdown(results: Sequence[Result], machine: Mapping[str, str], command: str) -> str:
    """The results as a page of the documentation."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `{command}` on {time.strftime('%Y-%m-%d', time.gmtime())}; do not edit.",
        "",
        "Ratios are of runs made in turn within one invocation: the median, and the smallest and largest of n.",
        "",
        "Machine: " + "; ".join(f"{name} {value}" for name, value in machine.items()) + ".",
    ]
    return "\n".join(lines) + "\n" + "".join("\n" + _section(result) for result in results)


def with_sections(page: str, results: Sequence[Result], machine: Mapping[str, str]) -> str:
    """A page with the sections of some entries measured anew, each with its own date and machine.

    Args:
        page: What `markdown` wrote.
        results: What was measured since; of an entry that the page lacks the section comes last.
        machine: What it was measured on.
    """
    date = time.strftime("%Y-%m-%d", time.gmtime())
    note = f"measured on {date}; {'; '.join(f'{name} {value}' for name, value in machine.items())}"
    for result in results:
        fresh = _section(replace(result, notes=(*result.notes, note)))
        parts = re.split(rf"(?ms)^## {re.escape(result.entry)}\n.*?(?=^## |\Z)", page, maxsplit=1)
        if len(parts) == 2:
            page = parts[0] + fresh + ("\n" + parts[1] if parts[1] else "")
        else:
            page = page.rstrip("\n") + "\n\n" + fresh
    return page


def _section(result: Result) -> str:
    lines = [f"## {result.entry}", "", result.title[0].upper() + result.title[1:] + ".", ""]
    lines += ["| " + " | ".join(_COLUMNS) + " |", "|---|---:|---:|---:|---:|---|"]
    lines += ["| " + " | ".join(_cells(figure)) + " |" for figure in result.figures]
    for distribution in result.distributions:
        head, *rows = _rows(distribution)
        lines += ["", f"{distribution.title}:", "", "| " + " | ".join(head) + " |"]
        lines += ["|---|" + "---:|" * (len(head) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", *(f"- {note}" for note in result.notes)] if result.notes else []
    return "\n".join(lines) + "\n"


def _histogram(distribution: Distribution) -> Table:
    head, *rows = _rows(distribution)
    table = Table(title=distribution.title, title_justify="left")
    for column in head:
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _rows(distribution: Distribution) -> list[tuple[str, ...]]:
    """A head and one row for each series; an empty bin is a dot, so that the shape shows."""
    bounds = [_number(bound) for bound in distribution.bounds]
    head = ("", *(f"≤ {bound}" for bound in bounds), f"> {bounds[-1]}")
    return [head, *((name, *(f"{n:,}" if n else "·" for n in counts)) for name, counts in distribution.counts.items())]


def _cells(figure: Figure) -> tuple[str, ...]:
    value, goal = figure.value, figure.goal
    sign = "≥" if goal is not None and goal.at_least else "≤"
    return (
        figure.name,
        f"{_number(value.median)} {figure.unit}",
        f"{_number(value.low)} – {_number(value.high)}",
        str(value.count),
        f"{sign} {_number(goal.bound)} {figure.unit}" if goal is not None else "",
        goal.verdict(value.median) if goal is not None else "",
    )


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}"
