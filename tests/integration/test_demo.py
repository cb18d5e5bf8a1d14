"""`octopus demo`, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

BIN = Path(sys.executable).parent


def octopus(*arguments: str, cwd: Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PATH": path} if path is not None else {})}
    return subprocess.run(
        [BIN / "octopus", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_ends_well_shows_what_it_promises_and_its_broker_answers_afterwards(tmp_path: Path) -> None:
    # As from a shell in which the virtual environment is not active.
    shown = octopus("demo", "--keep", cwd=tmp_path, path="/usr/local/bin:/usr/bin:/bin")
    try:
        assert shown.returncode == 0, shown.stdout + shown.stderr
        table = shown.stdout.partition("What failed, why")[2]
        categories = {"memory_exhausted", "module_missing", "worker_lost", "code_error", "dependency_failed"}
        assert {name for name in categories if name in table} == categories, table
        assert "walltime_exceeded" in table
        assert "terminate" in table
        assert re.search(r"memory_exhausted +retry on large +done", table)
        assert re.search(r"module_missing +retry on other node +done", table)
        assert "Regression over 82 tasks: right." in shown.stdout

        listed = octopus("failures", "--run-id", "last", "--category", "module_missing", cwd=tmp_path)
        assert listed.returncode == 0, listed.stderr
        assert "gptiles" in listed.stdout

        question = "from octopus_plugins import failures; print(failures(since='1h').to_pandas()['host'].tolist())"
        asked = subprocess.run(
            [sys.executable, "-c", question], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
        )
        assert "small-1" in asked.stdout

        task = re.search(r"octopus explain last (\d+)", shown.stdout)
        assert task is not None
        explained = octopus("explain", "last", task.group(1), cwd=tmp_path)
        assert explained.returncode == 0, explained.stderr
        assert "retry" in explained.stdout
    finally:
        down = octopus("broker", "down", cwd=tmp_path)
    assert down.returncode == 0, down.stderr
    left = [p.info for p in psutil.process_iter(["cmdline", "cwd"]) if p.info["cwd"] == str(tmp_path)]
    assert not left, left
