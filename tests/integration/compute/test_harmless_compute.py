"""The short form of ``make harmless-compute``: no case of it ends worse with Octopus than in stock Globus Compute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.compute import rabbitmq
from benchmarks.harmless.compute.catalogue import CASES
from benchmarks.harmless.compute.run import missing_means

ROOT = Path(__file__).resolve().parents[3]

# Several times what a busy machine takes; alone it is about two minutes for all of them.
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

SHORT = [case for case in CASES.values() if case.short]

DRIVER = """
import json
from dataclasses import asdict
from pathlib import Path
from benchmarks.harmless.compute.catalogue import CASES
from benchmarks.harmless.compute.page import markdown
from benchmarks.harmless.compute.run import evaluate, judged

runs = evaluate([case for case in CASES.values() if case.short], 1)
verdicts = judged(runs)
Path("outcome.json").write_text(json.dumps({
    verdict.case: {**asdict(verdict), "text": verdict.text, "runs": [asdict(run) for run in runs[verdict.case]]}
    for verdict in verdicts
}))
Path("page.md").write_text(markdown(verdicts, [], {}, "the test"))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the evaluation ran, with what it wrote."""
    if missing := rabbitmq.ensure_installed() or missing_means(SHORT):
        pytest.skip(missing)
    home = tmp_path_factory.mktemp("harmless")
    # From here the benchmarks can be imported, and the packages are those that are installed.
    (home / "benchmarks").symlink_to(ROOT / "benchmarks")
    environment = {**os.environ, "TMPDIR": str(home), "XDG_CONFIG_HOME": str(home), "XDG_STATE_HOME": str(home)}
    shown = subprocess.run(
        [sys.executable, "-c", DRIVER], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return home


@pytest.fixture(scope="module")
def outcome(home: Path) -> Any:
    """Verdicts by case, each with its two runs."""
    return json.loads((home / "outcome.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [case.name for case in SHORT])
def test_a_case_ends_no_worse_than_in_stock_globus_compute(outcome: Any, name: str) -> None:
    verdict = outcome[name]
    assert not verdict["flaws"], f"stock Globus Compute does not run {name} as the case expects: {verdict}"
    assert not verdict["missed"], f"{name}: {verdict['text']}\n{verdict}"


def test_each_case_ran_in_both_systems_and_has_a_row_in_the_page(home: Path, outcome: Any) -> None:
    page = (home / "page.md").read_text(encoding="utf-8")
    for case in SHORT:
        assert [run["system"] for run in outcome[case.name]["runs"]] == ["stock", "ours"]
        assert f"| `{case.name}` |" in page


def test_the_evaluation_leaves_no_process_behind(home: Path, outcome: Any) -> None:
    left = [p.info for p in psutil.process_iter(["pid", "cmdline", "cwd"]) if str(home) in str(p.info)]
    assert not left, left
    assert not list(home.glob("octopus-*"))
