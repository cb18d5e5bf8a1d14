"""The parts of Parsl's own suite that once ended otherwise, or later, under ``enable`` than in stock Parsl.

The whole of it, and the comparison with stock, is `make parsl-suite` (docs/parsl-suite.md).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # the benchmarks are no part of the wheel

from benchmarks.parsl_suite.suite import Selection, Session  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE = 120.0
"""Seconds that a process of Parsl's may take to start, where its tests give it five: others share the machine."""

AS_ROOT = "not unix_filesystem_permissions_required" if os.geteuid() == 0 else ""

DIFFERED = {
    "a block that dies at its start": [
        "test_htex/test_disconnected_blocks.py",
        "test_htex/test_missing_worker.py",
        "test_htex/test_multiple_disconnected_blocks.py",
    ],
    "a scheduler that refuses": ["test_htex/test_disconnected_blocks_failing_provider.py"],
    "a task's parent is the manager": [
        "test_htex/test_manager_failure.py",
        "test_serialization/test_3495_deserialize_managerlost.py",
    ],
    "the node rows of Parsl's database": ["test_monitoring/test_basic.py::test_row_counts_base[htex_config]"],
    "tasks by priority": ["test_htex/test_priority_queue.py"],
    "runs that end at once": ["test_checkpointing/test_get_last_checkpoint.py"],
}
"""Of ``--config local``: test modules, or tests."""


@pytest.mark.parametrize("part", DIFFERED)
def test_what_passes_in_stock_passes_under_enable(part: str, tmp_path: Path) -> None:
    passes(tmp_path, Selection("local", AS_ROOT, DIFFERED[part]))


@pytest.mark.parametrize("config", ["local_threads", "htex_local"])
def test_a_whole_configuration_passes_under_enable(config: str, tmp_path: Path) -> None:
    assert passes(tmp_path, Selection(config, AS_ROOT)) > 140


def passes(directory: Path, selection: Selection) -> int:
    cases = Session(directory, patience=PATIENCE).run("ours", "enable", selection)
    not_passed = {case.test: case.text for case in cases if case.outcome != "passed"}
    assert not_passed == {}
    return len(cases)
