"""The short form of ``make harmless``: no workload of it ends worse with ``enable(config)`` than in stock Parsl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from parsl_monitor.demo.nodes import nodes_have_names

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_COMPUTE = Path(__file__).resolve().parent / "without_compute"
sys.path.append(str(ROOT))  # the benchmarks are no part of the wheel

from benchmarks.harmless.catalogue import WORKLOADS  # noqa: E402

# Several times what a busy machine takes; alone it is about a minute for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]

SHORT = [workload.name for workload in WORKLOADS.values() if workload.short is not None]

DRIVER = """
import json
from dataclasses import asdict
from pathlib import Path
from benchmarks.harmless.catalogue import WORKLOADS
from benchmarks.harmless.page import markdown
from benchmarks.harmless.run import evaluate, judged

chosen = [workload for workload in WORKLOADS.values() if workload.short is not None]
runs = evaluate(chosen, 1, short=True, jobs=2)
verdicts = judged(runs)
Path("outcome.json").write_text(json.dumps({
    verdict.workload: {**asdict(verdict), "text": verdict.text, "runs": [asdict(run) for run in runs[verdict.workload]]}
    for verdict in verdicts
}))
Path("page.md").write_text(markdown(verdicts, {}, "the test", 1))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the evaluation ran, with what it wrote."""
    if not nodes_have_names():
        pytest.skip("needs UTS namespaces: Linux, as root or with kernel.unprivileged_userns_clone=1")
    home = tmp_path_factory.mktemp("harmless")
    # From here the benchmarks can be imported, and the packages are those that are installed.
    (home / "benchmarks").symlink_to(ROOT / "benchmarks")
    inherited = [str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(WITHOUT_COMPUTE), *inherited])}
    environment |= {"TMPDIR": str(home), "XDG_CONFIG_HOME": str(home), "XDG_STATE_HOME": str(home)}
    shown = subprocess.run(
        [sys.executable, "-c", DRIVER], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return home


@pytest.fixture(scope="module")
def outcome(home: Path) -> Any:
    """Verdicts by workload, each with its two runs."""
    return json.loads((home / "outcome.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SHORT)
def test_a_workload_ends_no_worse_than_in_stock_parsl(outcome: Any, name: str) -> None:
    verdict = outcome[name]
    assert not verdict["flaws"], f"stock Parsl does not end {name} as the workload expects: {verdict}"
    assert not verdict["missed"], f"{name}: {verdict['text']}\n{verdict}"


def test_each_workload_ran_in_both_systems_and_has_a_row_in_the_page(home: Path, outcome: Any) -> None:
    page = (home / "page.md").read_text(encoding="utf-8")
    for name in SHORT:
        assert [run["system"] for run in outcome[name]["runs"]] == ["stock", "ours"]
        assert f"| `{name}` |" in page


def test_the_evaluation_leaves_no_process_behind(home: Path, outcome: Any) -> None:
    left = [p.info for p in psutil.process_iter(["pid", "cmdline", "cwd"]) if str(home) in str(p.info)]
    assert not left, left
    assert not list(home.glob("octopus-*"))
