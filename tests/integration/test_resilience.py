"""The short form of the fault-injection evaluation (``make resilience``): two scenarios, ours and stock Parsl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from octopus_plugins.events import Decision, Failure, decode
from parsl_monitor.demo.nodes import nodes_have_names

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_COMPUTE = Path(__file__).resolve().parent / "without_compute"
sys.path.append(str(ROOT))  # the benchmarks are no part of the wheel

from benchmarks.resilience.replays import replayed  # noqa: E402

# Twice the time of a busy machine; alone it is about a minute for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DRIVER = """
import json, sys
from pathlib import Path
from benchmarks.resilience.goals import verdicts
from benchmarks.resilience.page import markdown
from benchmarks.resilience.plot import svg
from benchmarks.resilience.run import evaluate

outcomes = evaluate(["memory", "bug"], ["ours", "stock"], 1, streams=Path("streams"))
Path("outcome.json").write_text(json.dumps({
    "runs": {f"{run.scenario}/{run.system}": {**run.told, "trouble": run.trouble, "well": run.ended_well,
                                              "hung": run.hung} for run in outcomes.runs},
    "goals": {verdict.name: [verdict.value, verdict.met] for verdict in verdicts(outcomes)},
}))
Path("page.md").write_text(markdown(outcomes, verdicts(outcomes), {}, "the test", "plot.svg"))
Path("plot.svg").write_text(svg(outcomes))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the evaluation ran, with what it wrote."""
    if not nodes_have_names():
        pytest.skip("needs UTS namespaces: Linux, as root or with kernel.unprivileged_userns_clone=1")
    home = tmp_path_factory.mktemp("resilience")
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
    """Runs by scenario and system, goals by name."""
    return json.loads((home / "outcome.json").read_text(encoding="utf-8"))


def doomed(run: Any) -> list[Any]:
    return [task for task in run["tasks"] if task["doomed"]]


def test_tasks_too_large_for_their_pool_end_well_with_us_and_fail_in_stock_parsl(outcome: Any) -> None:
    ours, stock = outcome["runs"]["memory/ours"], outcome["runs"]["memory/stock"]
    assert ours["well"] and not ours["hung"], ours
    assert {task["app"] for task in ours["tasks"] if task["failed_tries"]} == {"assemble"}
    broken = [task for task in stock["tasks"] if task["app"] == "assemble"]
    assert [(task["outcome"], task["failed_tries"], task["error"][:11]) for task in broken] == (
        [("failed", 4, "MemoryError")] * 4
    )


def test_tasks_with_a_bug_fail_sooner_and_with_fewer_tries_than_in_stock_parsl(outcome: Any) -> None:
    ours, stock = outcome["runs"]["bug/ours"], outcome["runs"]["bug/stock"]
    assert ours["well"] and stock["well"], (ours, stock)
    assert {task["failed_tries"] for task in doomed(stock)} == {4}
    assert outcome["goals"]["tries of doomed tasks"][1] is True, outcome["goals"]
    # As shares of their runs: a machine that stalls makes both longer.
    latest = max(task["seconds"] for task in doomed(ours)) / ours["makespan"]
    earliest = min(task["seconds"] for task in doomed(stock)) / stock["makespan"]
    assert latest < earliest, (ours, stock)


def test_the_events_of_our_runs_are_kept_as_they_were_sent(home: Path, outcome: Any) -> None:
    lines = (home / "streams" / "bug-1.jsonl").read_bytes().splitlines()
    events = [decode(line) for line in lines]
    assert {event.run_id for event in events if event is not None} == {outcome["runs"]["bug/ours"]["run_id"]}
    failures = [event for event in events if isinstance(event, Failure)]
    assert len(failures) == sum(task["failed_tries"] for task in outcome["runs"]["bug/ours"]["tasks"])
    decided = {(event.task_id, event.try_id) for event in events if isinstance(event, Decision)}
    assert decided == {(failure.task_id, failure.try_id) for failure in failures}


def test_the_recorded_streams_give_the_same_decisions_again(home: Path) -> None:
    found = replayed(sorted((home / "streams").glob("*.jsonl")))
    assert found.met and found.value.endswith(" of 2 runs"), found


def test_the_page_and_the_plot_say_what_came_of_each_scenario(home: Path) -> None:
    page = (home / "page.md").read_text(encoding="utf-8")
    assert "| memory | ours | 1 of 1 |" in page
    assert "| memory | stock | 0 of 1 |" in page
    plot = (home / "plot.svg").read_text(encoding="utf-8")
    assert plot.startswith("<svg") and ">memory<" in plot and ">none ended well<" in plot


def test_the_evaluation_leaves_no_process_behind(home: Path) -> None:
    left = [p.info for p in psutil.process_iter(["pid", "cmdline", "cwd"]) if str(home) in str(p.info)]
    assert not left, left
    assert not list(home.glob("octopus-*"))
