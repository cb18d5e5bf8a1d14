"""Run the evaluation: what ``make harmless-compute`` does. ``python -m benchmarks.harmless.compute.run --help``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
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
from benchmarks.compute import rabbitmq
from benchmarks.harmless.compute import page
from benchmarks.harmless.compute.case import Case
from benchmarks.harmless.compute.catalogue import CASES
from benchmarks.harmless.compute.judging import LadderVerdict, Run, Verdict, judge, judge_ladder
from benchmarks.harmless.compute.process import Launcher
from benchmarks.harmless.configuring import OURS, STOCK
from benchmarks.harmless.judging import PAIRS
from benchmarks.resilience import nodes
from benchmarks.resilience.process import ROOT

JSON_DIRECTORY = ROOT / "build" / "harmless-compute"
FIGURES = Path(__file__).parent / "figures.json"
DOCUMENT = ROOT / "docs" / "harmless-compute.md"


def evaluate(
    cases: Sequence[Case],
    pairs: int,
    *,
    jobs: int = 1,
    keep: Path | None = None,
    report: Callable[[Run], None] = lambda run: None,
) -> dict[str, list[Run]]:
    """Make all runs: of each case in turn, pair by pair.

    Args:
        cases: What to run.
        pairs: How often each system runs.
        jobs: How many cases run at a time, each with a RabbitMQ of its own.
        keep: Directory in which what the runs write is left.
        report: Called after each run, by several threads where there are several jobs.

    Returns:
        The runs of each case, in the order in which they were made; after an interrupt (Ctrl-C), those that were.
    """
    runs: dict[str, list[Run]] = {case.name: [] for case in cases}
    over = threading.Event()
    free: queue.SimpleQueue[Launcher] = queue.SimpleQueue()

    def in_turn(case: Case) -> None:
        launcher = free.get()
        try:
            for pair in range(1, pairs + 1):
                # Every second pair the other way around: what a run leaves in caches is then no advantage of one.
                both = (STOCK, OURS) if pair % 2 else (OURS, STOCK)
                for system in (OURS,) if case.ladder else both:
                    if over.is_set():
                        return
                    run = launcher.run(case, system, pair)
                    runs[case.name].append(run)
                    report(run)
        finally:
            free.put(launcher)

    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="octopus-harmless-"))
        directory = (keep or Path(scratch)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        for _ in range(min(jobs, len(cases))):
            server = stack.enter_context(rabbitmq.RabbitMQ())
            free.put(Launcher(server.url, directory, keep is not None))
        with contextlib.suppress(KeyboardInterrupt), ThreadPoolExecutor(jobs) as pool:
            try:
                list(pool.map(in_turn, cases))
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
        runs.setdefault(one["case"], []).append(Run(**{**one, "well": tuple(one["well"])}))
    return runs


def judged(runs: Mapping[str, Sequence[Run]]) -> list[Verdict]:
    """The verdict on each case that ran in both systems."""
    found = []
    for made in runs.values():
        stock, ours = ([run for run in made if run.system == system] for system in (STOCK, OURS))
        if stock and ours:
            disturbed = bool(CASES[stock[0].case].steps)
            found.append(judge(list(zip(stock, ours, strict=False)), disturbed=disturbed))
    return found


def judged_ladders(runs: Mapping[str, Sequence[Run]]) -> list[LadderVerdict]:
    """The verdict on each case with a ladder that ran."""
    return [judge_ladder(made, CASES[name].harmful) for name, made in runs.items() if made and CASES[name].ladder]


def missing_means(cases: Sequence[Case]) -> str:
    """Why this machine cannot run these cases; empty where it can."""
    if missing := rabbitmq.ensure_installed():
        return missing
    if any(case.disk is not None for case in cases) and os.geteuid() != 0:
        return "a case with a disk of its own needs root: leave it out, or run it as root"
    return nodes.missing_means() if any(case.named_nodes for case in cases) else ""


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and write the files.

    Args:
        arguments: The command line; default: that of the process.

    Returns:
        0 when all bars are met; 1 when one is missed or a case could not be judged.
    """
    options = _options(arguments)
    chosen = [case for case in CASES.values() if _wanted(case, options)]
    if options.list:
        _list(chosen)
        return 0
    if problem := missing_means(chosen):
        print(f"harmless-compute: {problem}", file=sys.stderr)
        return 1
    console = Console(width=None if sys.stdout.isatty() else 200)
    described = machine.describe()
    earlier = remembered(options.add_to) if options.add_to is not None else {}
    runs = evaluate(
        chosen, 1 if options.short else options.pairs, jobs=options.jobs, keep=options.keep, report=_progress
    )
    if options.add_to is not None:
        runs = {name: runs.get(name) or earlier[name] for name in CASES if name in runs or name in earlier}
    verdicts, ladders = judged(runs), judged_ladders(runs)
    name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    console.print(f"Written: {_write(runs, [*verdicts, *ladders], described, JSON_DIRECTORY / name)}", highlight=False)
    page.show(verdicts, ladders, console)
    if options.write_docs:
        command = "make harmless-compute OPTIONS=--write-docs"
        text = page.markdown(verdicts, ladders, described, command, options.note)
        DOCUMENT.write_text(text, encoding="utf-8")
        _write(runs, [*verdicts, *ladders], described, FIGURES)
        console.print(f"Written: {DOCUMENT}, {FIGURES}", highlight=False)
    missed = [verdict.missed or verdict.flaws for verdict in verdicts] + [verdict.missed for verdict in ladders]
    return int(any(missed))


def _write(
    runs: Mapping[str, Sequence[Run]],
    verdicts: Sequence[Verdict | LadderVerdict],
    described: Mapping[str, str],
    file: Path,
) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    lists = {
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "runs": [asdict(run) for made in runs.values() for run in made],
    }
    # A line for each verdict and run: there are hundreds.
    parts = [f'"time": {json.dumps(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))}']
    parts.append(f'"machine": {json.dumps(dict(described))}')
    for name, items in lists.items():
        lines = ",\n".join(json.dumps(item, default=str) for item in items)
        parts.append(f'"{name}": [\n{lines}\n]')
    file.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")
    return file


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Stock Globus Compute against Octopus: is any task harmed?")
    parser.add_argument("--only", nargs="+", choices=list(CASES), metavar="NAME", help="these cases")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"runs of each system (default: {PAIRS})")
    parser.add_argument("--jobs", type=int, default=1, help="cases that run at a time (default: 1): they mostly wait")
    parser.add_argument("--short", action="store_true", help="the cases of the short form, one pair each")
    parser.add_argument("--list", action="store_true", help="list the cases and run nothing")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave what the runs write there, the logs too")
    parser.add_argument("--add-to", type=Path, metavar="FILE", help="keep what this file has of other cases")
    parser.add_argument("--note", default="", metavar="TEXT", help="how the runs were made, for the page")
    parser.add_argument("--write-docs", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)} and the figures")
    options = parser.parse_args(arguments)
    if min(options.pairs, options.jobs) < 1:
        parser.error("--pairs and --jobs must be at least 1")
    if options.add_to is not None and not options.add_to.is_file():
        parser.error(f"--add-to {options.add_to}: no such file; runs are written to {JSON_DIRECTORY}")
    if options.write_docs and options.short:
        parser.error("--write-docs needs the full form")
    return options


def _wanted(case: Case, options: argparse.Namespace) -> bool:
    return (options.only is None or case.name in options.only) and (case.short or not options.short)


def _list(cases: Sequence[Case]) -> None:
    for case in cases:
        shape = f"{case.tasks} tasks of {case.seconds:g} s"
        print(f"{case.name:40} {shape:18} {'short ' if case.short else '      '} {case.title}")


def _progress(run: Run) -> None:
    answered = [end for end in run.ends.values() if end is not None]
    last = f"last answer after {max(answered):.2f} s" if answered else "no answer"
    line = f"{run.pair} {run.case:40} {run.system:6} {len(run.well):3} of {len(run.ends):3} well, {last},"
    line += f" {run.ran_again} ran again (at most {run.most_runs} times), {run.answered_twice} answered twice"
    line += f" ({run.contradicted} differently), {run.ended_alone} ended alone, {run.wall:.1f} s in all {run.trouble}"
    print(line.rstrip(), file=sys.stderr, flush=True)
    for error, count in run.errors.items():
        print(f"    {count} × {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
