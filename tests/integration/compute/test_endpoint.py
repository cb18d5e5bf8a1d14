"""One endpoint with everything on, tasks that fail in the ways they can, and what the topics then say."""

from __future__ import annotations

import platform
import signal
from collections.abc import Callable
from typing import Any

import pytest
from globus_compute_sdk.errors import TaskExecutionFailed

from benchmarks.compute.endpoint import PATIENCE, engine
from octopus_plugins import decisions, failures, heartbeats, resources, runs, tasks
from octopus_plugins.config import OctopusConfig
from octopus_plugins.frameworks import failure_text

from . import functions

HOST = platform.node()
LOST = "parsl.executors.high_throughput.errors.WorkerLost"


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Callable[..., Any], octopus: OctopusConfig) -> Any:
    """One worker: nobody but the node agent is there to see how it ends."""
    return start_endpoint(engine(octopus, workers=1))


@pytest.fixture(scope="module")
def outcomes(endpoint: Any, sdk: Callable[..., Any]) -> dict[str, Any]:
    """The futures of all tasks, done."""
    executor = sdk(endpoint)
    done: dict[str, Any] = {}

    def run(**futures: Any) -> None:
        try:
            for future in futures.values():
                future.exception(timeout=PATIENCE)
        except TimeoutError:
            pytest.fail(f"not all tasks ended:\n{endpoint.log[-12000:]}")
        done.update(futures)

    run(
        double=executor.submit(functions.double, 21),
        bug=executor.submit(functions.look_up, "omega"),
        missing=executor.submit(functions.import_missing),
        large=executor.submit(functions.fill, 11),
    )
    run(rest=executor.submit(functions.rest, 4), left=executor.submit(functions.leave, 3))
    run(killed=executor.submit(functions.die))
    return done


def id_of(outcomes: dict[str, Any], name: str) -> str:
    return str(outcomes[name].task_id)


def test_results_are_what_they_are_without_us(outcomes: dict[str, Any]) -> None:
    assert outcomes["double"].result() == 42
    assert isinstance(outcomes["bug"].exception(), TaskExecutionFailed)
    assert "KeyError: 'omega'" in str(outcomes["bug"].exception())


def test_a_task_is_told_from_its_receipt_to_its_end(outcomes: dict[str, Any], octopus: OctopusConfig) -> None:
    told = list(tasks(task_id=id_of(outcomes, "double"), config=octopus))
    assert [task.state for task in told] == ["pending", "launched", "running", "running_ended", "exec_done"]
    assert told[0].time <= told[1].time <= told[2].time <= told[3].time <= told[4].time
    assert {task.framework for task in told} == {"globus_compute"}
    assert told[-1].app == "double"
    assert (told[2].host, told[2].block) == (HOST, "0")
    assert told[2].pid


@pytest.mark.parametrize(
    ("name", "category", "layer"),
    [
        ("bug", "code_error", "application"),
        ("missing", "module_missing", "environment"),
        ("large", "serialization", "application"),
        ("killed", "worker_lost", "runtime"),
        ("left", "app_exit", "application"),
    ],
)
def test_each_failure_is_told_once_with_its_category_host_and_decision(
    outcomes: dict[str, Any], octopus: OctopusConfig, name: str, category: str, layer: str
) -> None:
    (failure,) = failures(task_id=id_of(outcomes, name), config=octopus)
    assert failure.categorization is not None
    assert (failure.categorization.category, failure.categorization.layer) == (category, layer)
    assert (failure.host, failure.block) == (HOST, "0")
    (decision,) = decisions(task_id=id_of(outcomes, name), config=octopus)
    assert (decision.action, decision.category, decision.host) == ("terminate", category, HOST)
    assert decision.reason


def test_how_a_worker_ended_is_told(outcomes: dict[str, Any], octopus: OctopusConfig) -> None:
    (left,) = failures(task_id=id_of(outcomes, "left"), config=octopus)
    (killed,) = failures(task_id=id_of(outcomes, "killed"), config=octopus)
    assert (left.exit_code, left.signal) == (3, None)
    assert (killed.exit_code, killed.signal) == (None, signal.SIGKILL)
    assert (left.exception.type, left.exception.type) == (killed.exception.type, LOST)
    assert (left.host, killed.host) == (HOST, HOST)
    assert left.pid and killed.pid and left.pid != killed.pid
    for failure in (left, killed):
        assert failure.node is not None and failure.node.memory_total
        assert failure.limits is not None and failure.limits.open_files


def test_whoever_submitted_reads_what_broke_where_and_what_was_decided(outcomes: dict[str, Any]) -> None:
    for name, category in (("bug", "code_error"), ("killed", "worker_lost")):
        told = str(outcomes[name].exception()).strip()
        first = told.splitlines()[0].strip()
        assert first.startswith(f"Octopus: {category} on {HOST}, terminate: ")
        machine = failure_text.read(told)
        assert machine is not None
        assert (machine["category"], machine["host"], machine["action"]) == (category, HOST, "terminate")
        assert machine["task_id"] == id_of(outcomes, name)
    assert "Traceback (most recent call last)" in str(outcomes["bug"].exception())


def test_a_task_that_runs_for_a_while_is_sampled(outcomes: dict[str, Any], octopus: OctopusConfig) -> None:
    samples = list(resources(task_id=id_of(outcomes, "rest"), config=octopus))
    assert len(samples) > 1
    assert all(sample.usage.rss and sample.host == HOST for sample in samples)
    # The submit side did not know what it runs before a worker unpacked it.
    assert {sample.app for sample in samples} == {"rest"}
    assert samples[0].period == 0.2


def test_the_endpoint_its_manager_and_its_node_give_signs_of_life(
    outcomes: dict[str, Any], octopus: OctopusConfig
) -> None:
    beats = list(heartbeats(config=octopus))
    assert {beat.component for beat in beats} == {"endpoint", "manager", "node"}
    of_endpoint = [beat for beat in beats if beat.component == "endpoint"]
    assert of_endpoint[-1].labels["managers"] == "1"
    assert of_endpoint[-1].worker_count == 1


def test_the_session_tells_how_it_is_configured(outcomes: dict[str, Any], octopus: OctopusConfig) -> None:
    started, configured = runs(config=octopus)
    assert (started.state, configured.state) == ("started", "configured")
    assert started.versions["globus-compute-endpoint"]
    assert configured.retries == 0
    assert configured.pools[0].kind == "OctopusEngine"
