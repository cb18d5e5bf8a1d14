"""The numbered examples that run Parsl, as their READMEs say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from octopus_plugins import decisions, failures
from octopus_plugins.config import OctopusConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_example(script: str, config: OctopusConfig, cwd: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "OCTOPUS_BOOTSTRAP_SERVERS": config.servers,
        "OCTOPUS_NAMESPACE": config.namespace,
        "OCTOPUS_SPOOL_DIR": str(config.spool_dir),
        # Parsl's own scripts, as an active virtual environment has them.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_01_one_line_streams_an_ordinary_workflow_and_explains_its_bug(config: OctopusConfig, tmp_path: Path) -> None:
    shown = run_example("01_enable/workflow.py", config, tmp_path)
    assert "halves: [1, 2, 3, 4]" in shown
    assert "the odd one failed: 7 is odd" in shown
    assert "and so did what needed it: DependencyError" in shown
    actions = [decision.action for decision in decisions(config=config, task_id="4")]
    assert actions == ["retry", "retry", "retry", "terminate"], "retries=3 is honoured"
    assert [f.categorization.category for f in failures(config=config, app="total")] == ["dependency_failed"]


def test_02_a_policy_moves_a_task_that_needs_more_memory(config: OctopusConfig, tmp_path: Path) -> None:
    assert "filled 2000 MB" in run_example("02_policy/workflow.py", config, tmp_path)
    [decision] = decisions(config=config)
    assert decision.policy == "example"
    assert decision.category == "memory_exhausted"
    assert decision.placement.executor == "large"


def test_02_passive_mode_records_the_same_decision_and_changes_nothing(config: OctopusConfig, tmp_path: Path) -> None:
    assert "failed: MemoryError" in run_example("02_policy/workflow.py", config, tmp_path, "passive")
    first, *_ = decisions(config=config)
    assert (first.mode, first.placement.executor) == ("passive", "large")
    tries = [failure.executor for failure in failures(config=config)]
    assert tries == ["small"] * 4, "Parsl retries where the task was, three times"
