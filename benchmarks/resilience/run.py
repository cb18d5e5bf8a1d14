"""Run the evaluation: what ``make resilience`` does. ``python -m benchmarks.resilience.run --help``."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.resilience import page, plot
from benchmarks.resilience.goals import Verdict, verdicts
from benchmarks.resilience.nodes import missing_means
from benchmarks.resilience.outcomes import Outcomes, Run
from benchmarks.resilience.process import ROOT, Launcher
from benchmarks.resilience.replays import replayed
from benchmarks.resilience.scenarios import SCENARIOS
from benchmarks.resilience.systems import SYSTEMS
from octopus_plugins.local import EmbeddedBroker

JSON_DIRECTORY = ROOT / "build" / "resilience"
DOCUMENT = ROOT / "docs" / "resilience.md"
PLOT = DOCUMENT.with_suffix(".svg")
LIMIT = 25.0


def in_turn(scenarios: Sequence[str], systems: Sequence[str], seeds: int) -> Iterator[tuple[str, str, int]]:
    """All runs in the order in which they are made: seed by seed, so that a busy machine is busy for all of them.

    Each scenario's systems follow one another at once, and take turns in being the first.
    """
    for seed in range(1, seeds + 1):
        for number, scenario in enumerate(scenarios):
            turn = (seed + number) % len(systems)
            for system in [*systems[turn:], *systems[:turn]]:
                yield scenario, system, seed


def evaluate(
    scenarios: Sequence[str],
    systems: Sequence[str],
    seeds: int,
    *,
    limit: float = LIMIT,
    streams: Path | None = None,
    keep: Path | None = None,
    report: Callable[[Run, float], None] = lambda run, seconds: None,
) -> Outcomes:
    """Make all runs, one at a time.

    Args:
        scenarios: Names of scenarios.
        systems: Names of systems.
        seeds: How many seeds; they are 1, 2, ….
        limit: Seconds after which a task counts as hung.
        streams: Directory for the events of our runs, one file each.
        keep: Directory in which what the runs write is left.
        report: Called after each run with it and the seconds it took in all.

    Returns:
        What came of them; after an interrupt (Ctrl-C), of those that were made.
    """
    runs = []
    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory(prefix="octopus-resilience-") as scratch:
        directory = keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        # The runs have working directories of their own.
        kept = streams.resolve() if streams is not None else None
        launcher = Launcher(broker.address, directory.resolve(), limit, kept, keep is not None)
        with contextlib.suppress(KeyboardInterrupt):
            for scenario, system, seed in in_turn(scenarios, systems, seeds):
                began = time.monotonic()
                runs.append(launcher.run(scenario, system, seed))
                report(runs[-1], time.monotonic() - began)
    # By name, not by turn: the tables have them in the order of the command line.
    order = {name: number for number, name in enumerate([*scenarios, *systems])}
    return Outcomes(sorted(runs, key=lambda run: (order[run.scenario], order[run.system], run.seed)))


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and write the files.

    Args:
        arguments: The command line; default: that of the process.

    Returns:
        0 when everything could be measured, whether or not the goals were met; 1 otherwise.
    """
    options = _options(arguments)
    if problem := missing_means():
        print(f"resilience: {problem}", file=sys.stderr)
        return 1
    console = Console(width=None if sys.stdout.isatty() else 160)
    described = machine.describe()
    console.print("; ".join(f"{name} {value}" for name, value in described.items()), highlight=False)
    if options.again is not None:
        outcomes, again, described = _read(options.again)
    else:
        with tempfile.TemporaryDirectory(prefix="octopus-streams-") as scratch:
            streams = options.keep_streams or Path(scratch)
            outcomes = evaluate(
                options.scenarios,
                options.systems,
                options.seeds,
                limit=options.limit,
                streams=streams,
                keep=options.keep,
                report=_progress,
            )
            again = replayed(sorted(streams.glob("*.jsonl")))
        console.print(f"Written: {_write(outcomes, again, described)}", highlight=False)
    found = [*verdicts(outcomes), again]
    page.show(outcomes, found, console)
    if options.write_docs:
        command = "make resilience OPTIONS=--write-docs"
        PLOT.write_text(plot.svg(outcomes), encoding="utf-8")
        DOCUMENT.write_text(page.markdown(outcomes, found, described, command, PLOT.name), encoding="utf-8")
        console.print(f"Written: {DOCUMENT}, {PLOT}", highlight=False)
    return int(any(not run.told for run in outcomes.runs))


def _write(outcomes: Outcomes, again: Verdict, described: Mapping[str, str]) -> Path:
    JSON_DIRECTORY.mkdir(parents=True, exist_ok=True)
    file = JSON_DIRECTORY / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    found = [
        {"name": each.name, "goal": each.goal, "value": each.value, "met": each.met} for each in verdicts(outcomes)
    ]
    content = {
        "machine": dict(described),
        "goals": found,
        "replayed": asdict(again),
        "runs": [asdict(run) for run in outcomes.runs],
    }
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return file


def _read(file: Path) -> tuple[Outcomes, Verdict, dict[str, str]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    return Outcomes(Run(**run) for run in content["runs"]), Verdict(**content["replayed"]), content["machine"]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Inject failures, and see which system's runs end well.")
    parser.add_argument("--scenarios", type=_names(SCENARIOS), default=list(SCENARIOS), help="comma-separated names")
    parser.add_argument("--systems", type=_names(SYSTEMS), default=list(SYSTEMS), help="comma-separated names")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each scenario and system (default: 5)")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"seconds until a task hangs (default: {LIMIT:g})")
    parser.add_argument("--keep-streams", type=Path, metavar="DIR", help="keep the events of our runs there")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave what the runs write there, Parsl's logs too")
    parser.add_argument("--again", type=Path, metavar="JSON", help="run nothing: show what an earlier invocation wrote")
    parser.add_argument("--write-docs", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)} and its plot")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    return options


def _names(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
        return names

    return split


def _progress(run: Run, seconds: float) -> None:
    state = "hung" if run.hung else "well" if run.ended_well else "not well"
    makespan = f"{run.makespan:.2f} s" if run.makespan is not None else "–"
    line = f"{run.seed} {run.scenario:10} {run.system:8} {state:8} makespan {makespan:>8}, {seconds:.1f} s in all"
    print(f"{line} {run.trouble[-200:]}".rstrip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
