"""The shortest way through Globus Compute: its engine, started as an endpoint does, with no endpoint or web service."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Result, Task
from globus_compute_endpoint.engines.base import GCFuture
from globus_compute_sdk.serialize import ComputeSerializer, DillCodeSource
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from globus_compute_hooks import OctopusEngine
from octopus_plugins import decisions, failures, runs, tasks
from octopus_plugins.config import OctopusConfig

from .compute import functions

PATIENCE = 120.0


@pytest.fixture
def engine(config: OctopusConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OctopusEngine]:
    """An engine with one worker, which reports to the embedded broker."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.chdir(tmp_path)
    engine = OctopusEngine(
        address="127.0.0.1",
        max_workers_per_node=1,
        encrypted=False,
        job_status_kwargs={"strategy_period": 0.5},  # the block is started after it
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, launcher=SimpleLauncher()),
        octopus={
            "profile": "local",
            "bootstrap_servers": config.servers,
            "namespace": config.namespace,
            "spool_dir": str(config.spool_dir),
        },
    )
    engine.start(endpoint_id=uuid.uuid4(), run_dir=str(tmp_path))
    try:
        yield engine
    finally:
        engine.shutdown()


def submit(engine: OctopusEngine, function: Callable[..., Any], *arguments: Any) -> tuple[str, GCFuture]:
    """Submit a call as an endpoint hands it over; the task's id, and what becomes of it."""
    serializer, task_id = ComputeSerializer(strategy_code=DillCodeSource()), uuid.uuid4()
    parts = [serializer.serialize(part) for part in (function, arguments, {})]
    packed = messagepack.pack(Task(task_id=task_id, task_buffer=serializer.pack_buffers(parts)))
    future = GCFuture(task_id)
    engine.submit(future, packed, {})
    return str(task_id), future


def test_tasks_have_their_results_and_the_topics_their_story(engine: OctopusEngine, config: OctopusConfig) -> None:
    double, doubled = submit(engine, functions.double, 21)
    bug, broken = submit(engine, functions.look_up, "omega")
    result, error = (messagepack.unpack(future.result(timeout=PATIENCE)) for future in (doubled, broken))
    assert isinstance(result, Result) and isinstance(error, Result)
    assert (result.is_error, ComputeSerializer().deserialize(result.data)) == (False, 42)
    assert error.is_error and "KeyError" in error.data
    engine.shutdown()

    states = [task.state for task in tasks(task_id=double, config=config)]
    assert states == ["pending", "launched", "running", "running_ended", "exec_done"]
    (failure,) = failures(config=config)
    assert (failure.task_id, failure.exception.type) == (bug, "KeyError")
    (decision,) = decisions(config=config)
    assert (decision.task_id, decision.action) == (bug, "terminate")
    assert [run.state for run in runs(config=config)] == ["started", "configured", "ended"]
