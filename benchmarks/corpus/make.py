"""Make the corpus anew, by really running it: ``python -m benchmarks.corpus.make``. Needs Linux and root."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.corpus import lab, scenes, store
from benchmarks.corpus.scenes import busy, files
from benchmarks.session import end_session

ROOT = Path(__file__).resolve().parents[2]

LONGEST = 600.0
"""Seconds that a scene may take."""


def main(arguments: list[str] | None = None) -> int:
    """Run the scenes, each in a process of its own, and write their files.

    Returns:
        0 when every case failed as it was made to; 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--only", metavar="SCENE", action="append", choices=sorted(scenes.SCENES), help="this one only")
    parser.add_argument("--here", metavar="SCENE", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.here:
        return _make(asked.here)
    if sys.platform != "linux" or os.geteuid() != 0:
        parser.error("nodes, cgroups and file systems of their own need Linux and root; the kept data needs neither")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        # Parsl starts its interchange and its worker pools by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    failed = False
    for name in asked.only or scenes.SCENES:
        command = [sys.executable, "-m", "benchmarks.corpus.make", "--here", name]
        # A session of its own: nodes that were stopped or cut off outlive their run.
        process = subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True)
        try:
            failed |= process.wait(LONGEST) != 0
        except subprocess.TimeoutExpired:
            failed = True
            print(f"{name}: not made within {LONGEST:g} s", file=sys.stderr)
        finally:
            end_session(process.pid)
            process.wait()
    _sweep()
    return int(failed)


def _make(name: str) -> int:
    scene = scenes.SCENES[name]
    events, labels, problems = lab.run(scene)
    count = store.write(name, events, labels)
    print(f"{name}: {count} labelled failures of {len(scene.cases)} cases", flush=True)
    for problem in problems:
        print(f"  {problem}", flush=True)
    return int(bool(problems))


def _sweep() -> None:
    """Remove the cgroups of the nodes and their mount points: both are empty once the processes are gone."""
    leftovers = [Path(files.FULL), Path(files.READ_ONLY), Path(busy.MOUNT)]
    for group in [*Path("/sys/fs/cgroup").glob("*/octopus-corpus-*"), *filter(Path.exists, leftovers)]:
        try:
            group.rmdir()
        except OSError as error:
            print(f"{group} is left behind: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
