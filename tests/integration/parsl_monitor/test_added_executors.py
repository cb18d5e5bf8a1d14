"""Executors that are added while the run goes on, in a script that cannot spawn processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from octopus_plugins.local.embedded import EmbeddedBroker

from . import processes
from .conftest import SITE


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_executor_that_is_added_later_works_in_a_script_without_a_main_guard(
    tmp_path: Path, broker: EmbeddedBroker, when: str
) -> None:
    finished = subprocess.run(
        [sys.executable, str(SITE / "unguarded_run.py"), str(tmp_path), broker.address, when],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    processes.wait_until_gone(tmp_path)
    found = json.loads(finished.stdout.splitlines()[-1])
    assert found == {"results": [2, 4, 6], "nodes": 1, "warnings": []}
