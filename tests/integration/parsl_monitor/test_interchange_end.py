"""An interchange that is killed: stock Parsl waits for ever for the tasks it held, and for its own end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import workflow_apps as apps
from parsl.config import Config
from parsl.executors.errors import BadStateException

from octopus_plugins.wrath import Category
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler


def kill_interchange_of(label: str, directory: Path) -> None:
    """Kill it under a task."""
    deadline = time.monotonic() + 60
    while not any(directory.iterdir()):
        assert time.monotonic() < deadline, "no task begins"
        time.sleep(0.05)
    parsl.dfk().executors[label].interchange_proc.send_signal(signal.SIGKILL)


def test_the_tasks_of_an_executor_whose_interchange_is_killed_fail_and_the_run_ends(
    run: Callable[..., Any], executor: Callable[..., Any], settings: Callable[..., Any], tmp_path: Path
) -> None:
    def workflow() -> dict[str, Any]:
        futures = {f"task-{number}": apps.mark(str(tmp_path), number, 60.0) for number in range(3)}
        kill_interchange_of("small", tmp_path)
        return futures

    octopus = settings()
    hub = OctopusMonitoringHub(octopus=octopus)
    told = run(
        Config(executors=[executor()], monitoring=hub, retry_handler=WrathRetryHandler(), initialize_logging=False),
        workflow,
        octopus=octopus,
    )
    assert {type(error) for error in told.outcomes.values()} == {BadStateException}
    assert all("its interchange was ended by SIGKILL" in str(error) for error in told.outcomes.values())
    assert {decision.category for decision in told.decisions()} == {Category.executor_bad_state}
    assert told.seconds < 120, "the three tasks one after the other would take 180 s"


def test_with_another_executor_the_tasks_end_well_there(
    run: Callable[..., Any], executor: Callable[..., Any], settings: Callable[..., Any], tmp_path: Path
) -> None:
    def workflow() -> dict[str, Any]:
        futures = {f"task-{number}": apps.mark(str(tmp_path), number, 0.5) for number in range(12)}
        kill_interchange_of("small", tmp_path)
        # Parsl chooses the executor: some of these go to the one that is gone.
        return futures | {f"task-{number}": apps.mark(str(tmp_path), number, 0.5) for number in range(12, 20)}

    octopus = settings()
    config = Config(
        executors=[executor(), executor("large")],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retries=1,
        retry_handler=WrathRetryHandler(ladder=["small", "large"]),
        initialize_logging=False,
    )
    told = run(config, workflow, octopus=octopus)
    assert told.outcomes == {f"task-{number}": number for number in range(20)}
