"""Run the benchmarks: what ``make bench`` does."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

if __name__ == "__main__":
    # Run by its path: `benchmarks` is a package of the repository, not of the installed distribution.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console

from benchmarks import history, machine, report
from benchmarks.entries import ENTRIES
from benchmarks.figures import Options, Result

ROOT = Path(__file__).resolve().parents[1]
JSON_DIRECTORY = ROOT / "build" / "bench"
PLOT = JSON_DIRECTORY / "history.svg"
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write the files.

    Args:
        arguments: The command line; default: that of the process.

    Returns:
        0 when everything could be measured, whether or not the goals were met; 1 otherwise.
    """
    parser = argparse.ArgumentParser(description="Measure octopus-plugins against what stands beside it.")
    parser.add_argument("--only", metavar="NAME", action="append", choices=sorted(ENTRIES), help="run this entry only")
    parser.add_argument("--pairs", type=int, help="runs of each variant, in turn (default: 5, of some 7 or 3)")
    parser.add_argument("--quick", action="store_true", help="small workloads, 2 pairs at most: to see that it works")
    usual = Options()
    parser.add_argument(
        "--scale", type=int, default=usual.scale, metavar="TASKS", help=f"of `scale` (default: {usual.scale:,})"
    )
    parser.add_argument(
        "--outage", type=float, default=usual.outage, metavar="SECONDS", help=f"of `memory` (default: {usual.outage:g})"
    )
    page = DOCUMENT.relative_to(ROOT)
    parser.add_argument("--write-docs", action="store_true", help=f"write {page}; with --only, its sections in there")
    parser.add_argument(
        "--plot", action="store_true", help=f"draw all results that were kept into {PLOT.name} and stop"
    )
    parser.add_argument("--list", action="store_true", help="list the entries and stop")
    asked = parser.parse_args(arguments)
    if asked.list:
        for name, entry in ENTRIES.items():
            print(f"{name:14}{(entry.__doc__ or '').splitlines()[0]}")
        return 0
    if asked.plot:
        return _plot()
    if asked.pairs is not None and asked.pairs < 1:
        parser.error("--pairs must be at least 1")
    if asked.scale < 1_000:
        parser.error("--scale must be at least 1000")
    if asked.outage <= 0:
        parser.error("--outage must be above 0")
    options = Options(asked.pairs, asked.quick, asked.scale, asked.outage)
    console = Console(width=None if sys.stdout.isatty() else 120)
    described = machine.describe()
    console.print("; ".join(f"{name} {value}" for name, value in described.items()), highlight=False)
    results: list[Result] = []
    failed = False
    for name in asked.only or ENTRIES:
        try:
            results.append(ENTRIES[name](options))
        except Exception:  # noqa: BLE001 - one entry that fails must not cost the figures of the others
            failed = True
            print(f"{name} could not be measured:", file=sys.stderr)
            traceback.print_exc()
        else:
            report.show(results[-1], console)
    console.print(
        f"Written: {report.write_json(results, described, JSON_DIRECTORY, quick=options.quick)}", highlight=False
    )
    if asked.write_docs:
        if asked.only:
            page = report.with_sections(DOCUMENT.read_text(encoding="utf-8"), results, described)
        else:
            page = report.markdown(results, described, "make bench OPTIONS=--write-docs")
        DOCUMENT.write_text(page, encoding="utf-8")
        console.print(f"Written: {DOCUMENT}", highlight=False)
    return int(failed)


def _plot() -> int:
    """Draw the history."""
    series = history.read(JSON_DIRECTORY)
    if not series:
        print(f"nothing to draw: there are no results in {JSON_DIRECTORY}, but those of --quick", file=sys.stderr)
        return 1
    PLOT.write_text(history.svg(series), encoding="utf-8")
    print(f"Written: {PLOT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
