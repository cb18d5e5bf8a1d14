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
    """Run them; the exit status is pytest's. Only a whole run that passes is written down."""
    selected = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        counted = Path(directory) / "counted.jsonl"
        command = [sys.executable, "-m", "pytest", "-q", TESTS, *selected]
        environment = {**os.environ, "OCTOPUS_GUARANTEES": str(counted), "CI": "true"}
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        lines = [json.loads(line) for line in counted.read_text().splitlines()] if counted.exists() else []
    text = table(lines)
    print(text)
    if status == 0 and not selected:
        write_section("guarantees", text)
    return status


def table(lines: list[dict[str, object]]) -> str:
    """What was counted, as Markdown."""
    counts = ("emitted", "delivered", "replayed", "dropped", "records", "events")
    rows = [
        "| meanwhile | emitted | delivered | replayed | given up, counted | records in the topic | events by id |",
        "|---|" + "---:|" * len(counts),
    ]
    for line in lines:
        rows.append(f"| {line['guarantee']} | " + " | ".join(f"{line[name]:,}" for name in counts) + " |")
    tests = ["| meanwhile | test |", "|---|---|", *(f"| {line['guarantee']} | `{line['test']}` |" for line in lines)]
    return "\n".join([*rows, "", *tests, "", measured("make guarantees")])


if __name__ == "__main__":
    sys.exit(main())
