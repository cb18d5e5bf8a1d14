"""Run the small workflow with several versions of Parsl: what ``make parsl-versions`` does.

Each version gets a fresh virtual environment with the working tree, and what the installer finds for it: an old Parsl
has bounds of its own, which the pinned versions do not keep. The versions are the oldest that ``pyproject.toml``
allows, one whose interchange reports in clear text, the first whose does not, and the newest. Others:
``python -m benchmarks.versions.run 2026.7.27``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = Path(__file__).with_name("workflow.py")
NEWEST = "newest"
TIMEOUT = 240.0

EXPECTED = {"doubled": True, "failed": "ValueError", "retried": "second", "nodes": 1}


def oldest() -> str:
    """The oldest version of Parsl that the package says it works with."""
    found = re.search(r'"parsl\[monitoring\]>=([0-9.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def environment(directory: Path, version: str) -> Path:
    """Make a virtual environment with a version of Parsl; returns its Python."""
    uv = str(Path(sys.executable).with_name("uv"))
    python = directory / "venv" / "bin" / "python"
    wanted = "parsl[monitoring]" + ("" if version == NEWEST else f"=={version}")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(directory / "venv")], check=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", str(python), wanted, "-e", f"{ROOT}[parsl]"], check=True
    )
    return python


def outcome(python: Path, directory: Path, mode: str) -> dict[str, Any]:
    """Run the workflow; what it printed, or why it printed nothing."""
    own = directory / mode
    own.mkdir()
    surroundings = {
        **os.environ,
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        "XDG_CONFIG_HOME": str(own / "config"),
        "XDG_STATE_HOME": str(own / "state"),
    }
    try:
        finished = subprocess.run(
            [str(python), str(WORKFLOW), str(own), mode],
            check=False,
            env=surroundings,
            cwd=own,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"does not end within {TIMEOUT:g} s"}
    lines = finished.stdout.strip().splitlines()
    if finished.returncode or not lines:
        return {"error": (finished.stderr.strip().splitlines() or ["nothing printed"])[-1]}
    return dict(json.loads(lines[-1]))


def is_right(found: dict[str, Any]) -> bool:
    """Whether every task came to what it should, and the interchange's reports arrived."""
    return all(found.get(name) == value for name, value in EXPECTED.items()) and found.get("spooled", 0) > 0


def main() -> int:
    """Run all; the exit code tells whether every version is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=[oldest(), "2026.6.1", "2026.8.10", NEWEST])
    right = True
    for version in parser.parse_args().versions:
        with tempfile.TemporaryDirectory(prefix="octopus-parsl-") as name:
            directory = Path(name)
            python = environment(directory, version)
            for mode in ("encrypted", "plain"):
                found = outcome(python, directory, mode)
                right = right and is_right(found)
                print(f"{version:10} {mode:10} {'right' if is_right(found) else 'WRONG'} {found}", flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
