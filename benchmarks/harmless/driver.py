"""One run of one workload by one system, in a process of its own. Writes what came of it as JSON.

``python -m benchmarks.harmless.driver --workload noop --system stock --seed 1 --directory run --out run.json``
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import parsl

from benchmarks.harmless import recording
from benchmarks.harmless.catalogue import WORKLOADS
from benchmarks.harmless.configuring import SYSTEMS, configuration
from benchmarks.harmless.trial import Trial


def run(options: argparse.Namespace) -> None:
    """Run once, and write what became of it: after the tasks, and again after the end."""
    directory: Path = options.directory
    workload = WORKLOADS[options.workload]
    size = workload.sized(short=options.short)
    os.environ[recording.JOURNAL] = str(directory / "journal")
    os.environ[recording.MARKERS] = str(directory / "markers")
    for name in ("markers", "scratch", "shared"):
        (directory / name).mkdir(parents=True)
    dfk = parsl.load(configuration(workload, size, directory, options.system))
    trial = Trial(workload, size, options.seed, directory, dfk)
    if workload.warm:
        trial.warm_up()
    started = time.time()
    with trial.nodes_watched():
        workload.body(trial)
        trial.wait(max(options.limit - (time.time() - started), 0.0))
    result = outcome(trial)
    write(options.out, result)
    if not result["hung"]:
        closing = time.monotonic()
        dfk.cleanup()
        write(options.out, {**result, "closing": time.monotonic() - closing})


def outcome(trial: Trial) -> dict[str, Any]:
    """What became of the tasks of a run, as data."""
    settled = {id(task.future): task.settled for task in trial.tasks if task.settled is not None}
    tasks = [task.told(settled) for task in trial.tasks]
    hung = sum(task["settled"] is None for task in tasks)
    ends = [task["settled"] for task in tasks if task["settled"] is not None]
    return {
        "workers": trial.size.workers,
        "makespan": None if hung or not ends else max(ends) - min(task["submitted"] for task in tasks),
        "hung": hung,
        "submits": len(list(trial.directory.glob("runinfo/*/submit_scripts/*.sh"))),
        "facts": trial.facts,
        "nodes": trial.nodes,
        "marks": recording.read(trial.journal),
        "tasks": tasks,
    }


def write(file: Path, result: dict[str, Any]) -> None:
    """Write the result, whole or not at all."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(result), encoding="utf-8")
    fresh.replace(file)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", required=True, choices=list(WORKLOADS))
    parser.add_argument("--system", required=True, choices=list(SYSTEMS))
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--directory", required=True, type=Path, help="new directory for everything else")
    parser.add_argument("--limit", type=float, default=90.0, help="seconds after which a task counts as hung")
    parser.add_argument("--short", action="store_true", help="the short form")
    run(parser.parse_args())
    sys.stdout.flush()
    # Threads of a run that hangs must not keep the process; whoever started it ends what is left.
    os._exit(0)


if __name__ == "__main__":
    main()
