"""Run the tests of the guarantees, and write what they counted into ``docs/delivery.md``.

make guarantees
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.delivery.page import measured, write_section

ROOT = Path(__file__).parents[2]
TESTS = "tests/integration/kafka/guarantees"


def main() -> int:
    """Run them; the exit status is pytest's."""
    with tempfile.TemporaryDirectory() as directory:
        counted = Path(directory) / "counted.jsonl"
        command = [sys.executable, "-m", "pytest", "-q", TESTS, *sys.argv[1:]]
        environment = {**os.environ, "OCTOPUS_GUARANTEES": str(counted), "CI": "true"}
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        lines = [json.loads(line) for line in counted.read_text().splitlines()] if counted.exists() else []
    if status == 0:
        write_section("guarantees", table(lines))
    return status


def table(lines: list[dict[str, object]]) -> str:
    """The counts as Markdown."""
    rows = [
        "| meanwhile | emitted | records in the topic | events by id | given up, counted |",
        "|---|---:|---:|---:|---:|",
    ]
    for line in lines:
        records, events, dropped = (int(str(line.get(name, 0))) for name in ("records", "events", "dropped"))
        rows.append(f"| {line['guarantee']} | {events + dropped:,} | {records:,} | {events:,} | {dropped:,} |")
    return "\n".join([*rows, "", measured("make guarantees")])


if __name__ == "__main__":
    sys.exit(main())
