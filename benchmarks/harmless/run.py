"""Run the evaluation: what ``make harmless`` does. ``python -m benchmarks.harmless.run --help``."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.harmless import page
from benchmarks.harmless.catalogue import WORKLOADS
from benchmarks.harmless.configuring import OURS, STOCK
from benchmarks.harmless.judging import PAIRS, Run, Verdict, judge
from benchmarks.harmless.process import Launcher
from benchmarks.harmless.workload import Workload
from benchmarks.resilience.nodes import missing_means
from benchmarks.resilience.process import ROOT

JSON_DIRECTORY = ROOT / "build" / "harmless"
FIGURES = Path(__file__).parent / "figures.json"
DOCUMENT = ROOT / "docs" / "harmless.md"
LIMIT = 90.0


def evaluate(
    workloads: Sequence[Workload],
    pairs: int,
    *,
    short: bool = False,
    jobs: int = 1,
    limit: float = LIMIT,
    keep: Path | None = None,
    systems: Sequence[str] = (STOCK, OURS),
    report: Callable[[Run], None] = lambda run: None,
) -> dict[str, list[Run]]:
    """Make all runs: of each workload in turn, pair by pair.

    Args:
        workloads: What to run.
        pairs: How often each system runs.
        short: Whether to run the short forms.
        jobs: How many workloads run at a time.
        limit: Seconds after which a task counts as hung.
        keep: Directory in which what the runs write is left.
        systems: In which order.
        report: Called after each run, by several threads where there are several jobs.

    Returns:
        The runs of each workload, in the order in which they were made; after an interrupt (Ctrl-C), those that were.
    """
    runs: dict[str, list[Run]] = {workload.name: [] for workload in workloads}
    over = threading.Event()

    def in_turn(workload: Workload) -> None:
        for pair in range(1, pairs + 1):
            for system in systems:
                if over.is_set():
                    return
                runs[workload.name].append(launcher.run(workload, system, pair))
                report(runs[workload.name][-1])

    with tempfile.TemporaryDirectory(prefix="octopus-harmless-") as scratch:
        directory = (keep or Path(scratch)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        launcher = Launcher(directory, limit, short, keep is not None)
        with contextlib.suppress(KeyboardInterrupt), ThreadPoolExecutor(jobs) as pool:
            try:
                list(pool.map(in_turn, workloads))
            finally:
                over.set()
    return runs


def remembered(file: Path) -> dict[str, list[Run]]:
    """The runs that an evaluation wrote to a file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no such file.
    """
    runs: dict[str, list[Run]] = {}
    for one in json.loads(file.read_text(encoding="utf-8"))["runs"]:
        runs.setdefault(one["workload"], []).append(Run(**one))
    return runs


def judged(runs: Mapping[str, Sequence[Run]]) -> list[Verdict]:
    """The verdict on each workload that ran in both systems."""
    found = []
    for name, made in runs.items():
        stock, ours = ([run for run in made if run.system == system] for system in (STOCK, OURS))
        if stock and ours:
            found.append(judge(list(zip(stock, ours, strict=False)), WORKLOADS[name].idle, WORKLOADS[name].ratio))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and write the files.

    Args:
        arguments: The command line; default: that of the process.

    Returns:
        0 when all bars are met; 1 when one is missed or a workload could not be judged.
    """
    options = _options(arguments)
    chosen = [workload for workload in WORKLOADS.values() if _wanted(workload, options)]
    if options.list:
        _list(chosen)
        return 0
    if problem := missing_means():
        print(f"harmless: {problem}", file=sys.stderr)
        return 1
    console = Console(width=None if sys.stdout.isatty() else 200)
    described = machine.describe()
    systems = (STOCK,) if options.stock_only else (STOCK, OURS)
    earlier = remembered(options.add_to) if options.add_to is not None else {}
    runs = evaluate(
        chosen,
        1 if options.short else options.pairs,
        short=options.short,
        jobs=options.jobs,
        limit=options.limit,
        keep=options.keep,
        systems=systems,
        report=_progress,
    )
    if options.add_to is not None:
        runs = {name: runs.get(name) or earlier[name] for name in WORKLOADS if name in runs or name in earlier}
    verdicts = judged(runs)
    written = _write(
        runs, verdicts, described, JSON_DIRECTORY / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    )
    console.print(f"Written: {written}", highlight=False)
    if options.stock_only:
        return int(any(run.trouble or run.unexpected for made in runs.values() for run in made))
    page.show(verdicts, console)
    if options.write_docs:
        command = "make harmless OPTIONS=--write-docs"
        text = page.markdown(verdicts, described, command, options.pairs, options.note)
        DOCUMENT.write_text(text, encoding="utf-8")
        _write({}, verdicts, described, FIGURES)
        console.print(f"Written: {DOCUMENT}, {FIGURES}", highlight=False)
    return int(any(verdict.missed or verdict.flaws for verdict in verdicts))


def _write(
    runs: Mapping[str, Sequence[Run]], verdicts: Sequence[Verdict], described: Mapping[str, str], file: Path
) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": dict(described),
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "runs": [asdict(run) for made in runs.values() for run in made],
    }
    file.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
    return file


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Stock Parsl against enable(config): is any workload harmed?")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), metavar="NAME", help="these workloads")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"runs of each system (default: {PAIRS})")
    parser.add_argument("--short", action="store_true", help="the short forms, one pair each")
    parser.add_argument("--list", action="store_true", help="list the workloads and run nothing")
    parser.add_argument("--jobs", type=int, default=1, help="workloads that run at a time (default: 1)")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"seconds until a task hangs (default: {LIMIT:g})")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave what the runs write there, Parsl's logs too")
    parser.add_argument("--stock-only", action="store_true", help="see whether the workloads are sound: no comparison")
    parser.add_argument("--add-to", type=Path, metavar="FILE", help="keep what this file has of other workloads")
    parser.add_argument("--write-docs", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)} and the figures")
    parser.add_argument("--note", default="", metavar="TEXT", help="how the runs were made, for the page")
    options = parser.parse_args(arguments)
    if options.pairs < 1 or options.jobs < 1:
        parser.error("--pairs and --jobs must be at least 1")
    if options.add_to is not None and not options.add_to.is_file():
        parser.error(f"--add-to {options.add_to}: no such file; runs are written to {JSON_DIRECTORY}")
    if options.write_docs and (options.short or options.stock_only):
        parser.error("--write-docs needs the full form of both systems")
    return options


def _wanted(workload: Workload, options: argparse.Namespace) -> bool:
    named = options.only is None or workload.name in options.only
    return named and (workload.short is not None or not options.short)


def _list(workloads: Sequence[Workload]) -> None:
    for workload in workloads:
        size = workload.size
        shape = f"{size.nodes} × {size.workers}, {size.tasks} tasks, retries {workload.retries}"
        print(f"{workload.name:22} {shape:36} {'short ' if workload.short else '      '} {workload.title}")


def _progress(run: Run) -> None:
    makespan = "never" if run.makespan is None else f"{run.makespan:.2f} s"
    others = ", ".join(f"{count} × {error}" for error, count in run.unexpected.items())
    line = f"{run.pair} {run.workload:22} {run.system:6} {run.well:4} of {run.tasks:4} well, makespan {makespan:>8},"
    line += f" idle {run.idle:4.1f} s, {run.submits} blocks, {run.wall:.1f} s in all {others} {run.trouble}"
    print(line.rstrip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
