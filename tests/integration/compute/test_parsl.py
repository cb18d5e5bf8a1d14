"""A monitored Parsl run whose tasks go to an endpoint of Globus Compute: one story of each task."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compute.endpoint import Endpoint, engine
from octopus_plugins import decisions, failures, tasks
from octopus_plugins.config import OctopusConfig
from octopus_plugins.fabric import Emitter

HOST = platform.node()
WORKFLOW = Path(__file__).with_name("workflow.py")


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Callable[..., Any], octopus: OctopusConfig) -> Any:
    told = {"OCTOPUS_BOOTSTRAP_SERVERS": octopus.servers, "OCTOPUS_NAMESPACE": octopus.namespace}
    return start_endpoint(engine(octopus), environment=told)


@pytest.fixture(scope="module")
def run_id(endpoint: Endpoint, octopus: OctopusConfig) -> str:
    """A run with a task that ends well, one with a bug, and one that kills its worker."""
    run_id, *ended = endpoint.run(WORKFLOW, endpoint.id, str(endpoint.home / "runinfo")).splitlines()
    assert ended == ["0 42", "1 KeyError", "2 TaskExecutionFailed"]
    return run_id


def test_each_task_is_told_with_its_ids_at_globus_compute(
    run_id: str, endpoint: Endpoint, octopus: OctopusConfig
) -> None:
    ended = {task.task_id: task for task in tasks(run_id=run_id, state=["exec_done", "failed"], config=octopus)}
    assert {number: task.state for number, task in ended.items()} == {"0": "exec_done", "1": "failed", "2": "failed"}
    for task in ended.values():
        assert task.labels["endpoint_id"] == endpoint.id
        there = list(tasks(task_id=task.labels["compute_task_id"], config=octopus))
        assert there[0].state == "pending"
        assert {one.framework for one in there} == {"globus_compute"}
        assert {one.host for one in there if one.host} == {HOST}


def test_a_failure_has_what_its_endpoint_found(run_id: str, endpoint: Endpoint, octopus: OctopusConfig) -> None:
    (here,) = failures(run_id=run_id, task_id=2, config=octopus)
    (there,) = failures(task_id=here.labels["compute_task_id"], config=octopus)
    assert here.labels["endpoint_run_id"] == there.run_id
    assert here.categorization is not None and there.categorization is not None
    assert here.categorization.category == there.categorization.category == "worker_lost"
    assert here.categorization.rule == "endpoint"
    assert (here.host, here.block, here.manager, here.pid) == (HOST, there.block, there.manager, there.pid)
    assert (here.exit_code, here.signal) == (there.exit_code, there.signal)
    assert here.exception.type == there.exception.type
    (decision,) = decisions(run_id=run_id, task_id=2, config=octopus)
    assert (decision.category, decision.host) == ("worker_lost", HOST)


def test_what_an_app_itself_raises_comes_back_as_it_was(
    run_id: str, endpoint: Endpoint, octopus: OctopusConfig
) -> None:
    (failure,) = failures(run_id=run_id, task_id=1, config=octopus)
    assert failure.exception.type == "KeyError"
    assert failure.categorization is not None
    assert failure.categorization.category == "code_error"
    assert failure.labels["endpoint_id"] == endpoint.id
    # Parsl carries it as a result: to the endpoint the task went well.
    states = [task.state for task in tasks(task_id=failure.labels["compute_task_id"], config=octopus)]
    assert states[-1] == "exec_done"


@pytest.mark.parametrize("task", ["0", "1", "2"])
def test_explain_tells_one_story_of_both(run_id: str, endpoint: Endpoint, octopus: OctopusConfig, task: str) -> None:
    told = endpoint.call("octopus", "explain", run_id, task)
    (ended,) = tasks(run_id=run_id, task_id=task, state=["exec_done", "failed"], config=octopus)
    parsl, found, there = told.partition("\nAt endpoint ")
    assert found
    assert "sent to executor site" in parsl
    assert f"as task {ended.labels['compute_task_id']}" in there
    assert f"Try 0 on {HOST} (" in there
    assert "began after" in there


def test_explain_gives_the_events_of_both_to_machines(run_id: str, endpoint: Endpoint) -> None:
    events = [json.loads(line) for line in endpoint.call("octopus", "explain", run_id, "0", "--json").splitlines()]
    assert {event.get("framework", "parsl") for event in events} == {"parsl", "globus_compute"}


def test_where_the_endpoint_tells_nothing_here_explain_says_so(
    run_id: str, endpoint: Endpoint, octopus: OctopusConfig, emitter: Emitter, config: OctopusConfig
) -> None:
    emitter.emit(*tasks(run_id=run_id, task_id=0, config=octopus))  # into a namespace of its own
    assert emitter.flush(10)
    told = endpoint.call("octopus", "explain", run_id, "0", OCTOPUS_NAMESPACE=config.namespace)
    assert "Its endpoint told nothing here of task " in told
