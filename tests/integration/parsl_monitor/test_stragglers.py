"""A node that stops dead in the middle of a task: it is done elsewhere, at once only where tasks may run twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
import workflow_apps as apps
from parsl.config import Config

from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler
from parsl_monitor.demo.nodes import Node, NodeLauncher, nodes_have_names
from parsl_monitor.errors import StragglerError

from . import processes

Make = Callable[..., Any]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

RULES = {"factor": 2.0, "minimum": 1.0, "silence": 5.0}


@pytest.fixture(scope="module", autouse=True)
def nodes_with_names() -> None:
    if not nodes_have_names():
        pytest.skip("needs UTS namespaces: Linux, as root or with kernel.unprivileged_userns_clone=1")


@contextmanager
def stopped(run_dir: Path, block: str) -> Iterator[list[psutil.Process]]:
    """All processes of one block stand still, as those of a node whose file system hangs; killed at the end."""
    found = [
        process
        for process in processes.of_run(run_dir)
        if f"--block_id={block}" in process.cmdline() or _belongs(process, f"--block_id={block}")
    ]
    for process in found:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield found
    finally:
        for process in found:
            if process.is_running():
                os.kill(process.pid, signal.SIGCONT)


def _belongs(process: psutil.Process, option: str) -> bool:
    """Whether a parent of the process was started with this option."""
    return any(option in parent.cmdline() for parent in process.parents())


def wait_until(condition: Callable[[], object], seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)


def host_of(future: Any) -> str | None:
    """The node of a task that runs; known from its first sample on."""
    attempt = parsl.dfk().monitoring.attempts.of_task(str(future.tid))
    return attempt.place.get("host") if attempt is not None else None


@pytest.mark.parametrize("speculate", [True, False])
def test_a_task_on_a_node_that_stands_still_is_done_on_another(
    run: Make, executor: Make, settings: Make, tmp_path: Path, speculate: bool
) -> None:
    octopus = settings()
    # Without a word that tasks may run twice, the node is given as long as Parsl gives it.
    threshold = 120 if speculate else 15
    launcher = NodeLauncher("pair", {"*": Node()})
    pair = executor("pair", nodes=2, launcher=launcher, heartbeat_threshold=threshold)
    config = Config(
        executors=[pair],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retry_handler=WrathRetryHandler({"stragglers": {**RULES, "speculate": speculate}}),
        retries=2,
        strategy="none",
        initialize_logging=False,
    )
    where, go_on = tmp_path / "where", tmp_path / "go on"
    where.mkdir()

    def workflow() -> dict[str, Any]:
        hosts: set[str] = set()
        while not {"pair-0", "pair-1"} <= hosts:
            hosts |= {future.result(timeout=150) for future in [apps.work_on(str(where), 0.3) for _ in range(4)]}
        for file in where.iterdir():
            file.unlink()
        # One for each node; the app has taken 0.3 s so far, and this time it takes a little longer.
        futures = {f"task-{number}": apps.work_on(str(where), 0.9, str(go_on)) for number in range(2)}
        wait_until(lambda: {file.name.partition("@")[0] for file in where.iterdir()} == {"pair-0", "pair-1"})
        wait_until(lambda: {host_of(future) for future in futures.values()} == {"pair-0", "pair-1"})
        with stopped(Path(pair.run_dir), "0") as still:
            assert len(still) >= 2
            go_on.touch()
            begin = time.monotonic()
            assert {future.result(timeout=150) for future in futures.values()} == {"pair-1"}
            took = time.monotonic() - begin
            assert took < 60
            assert speculate or took >= threshold - 5.0, took
        # What the node says when it goes on again comes too late, and harms nobody.
        futures["after"] = apps.work_on(str(where), 0.1)
        return futures

    told = run(config, workflow, octopus=octopus)
    assert told.outcomes["task-0"] == told.outcomes["task-1"] == "pair-1"
    if speculate:
        assert told.failures() == []  # the first copy may still end well
        return
    (failure,) = told.failures()
    # Parsl's own judgement comes at the same time: either is right.
    assert failure.exception.type.endswith((StragglerError.__name__, "ManagerLost"))
    assert failure.host == "pair-0"
    assert failure.categorization.category in {"node_down", "manager_lost"}
    (decision,) = told.decisions()
    assert decision.action == "retry"
    assert decision.placement.rung == "other_node"
