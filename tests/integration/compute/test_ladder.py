"""OctopusExecutor with two endpoints: what one cannot do any more, the other one does."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.compute.endpoint import PATIENCE, engine
from globus_compute_hooks import OctopusExecutor
from octopus_plugins import decisions, failures, heartbeats, tasks
from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Heartbeat
from octopus_plugins.fabric import Emitter

from . import functions
from .told import own


@pytest.fixture(scope="module")
def second(start_endpoint: Callable[..., Any], octopus: OctopusConfig) -> Any:
    return start_endpoint(engine(octopus), name="second")


@pytest.fixture
def first(start_endpoint: Callable[..., Any], octopus: OctopusConfig) -> Iterator[Any]:
    """An endpoint that will be killed."""
    endpoint = start_endpoint(engine(octopus), name="first")
    yield endpoint
    kill(endpoint)


def kill(endpoint: Any) -> None:
    """Kill all processes of an endpoint at once, as the end of its node would."""
    while left := endpoint.processes():
        for process in left:
            process.send_signal(signal.SIGSTOP)  # none starts another one, or answers, meanwhile
        for process in left:
            process.kill()
        for process in left:
            process.wait(10)


def test_all_tasks_of_an_endpoint_that_is_killed_complete_on_the_second_each_once(
    first: Any,
    second: Any,
    recovering: Callable[..., OctopusExecutor],
    octopus: OctopusConfig,
    wait_for: Any,
    web: Any,
) -> None:
    executor = recovering(first.id, ladder=[first.id, second.id], octopus=octopus)
    assert executor.submit(functions.double, 1).result(timeout=PATIENCE) == 2  # it is up
    answers: list[int] = []
    futures = []
    for number in range(100):
        future = executor.submit(functions.double_slowly, number, 0.2)
        future.add_done_callback(lambda done: answers.append(done.result()))
        futures.append(future)
    wait_for(lambda: sum(future.done() for future in futures) >= 20, PATIENCE)
    kill(first)
    assert sum(future.done() for future in futures) < 80
    assert [future.result(timeout=PATIENCE) for future in futures] == [2 * number for number in range(100)]
    assert sorted(answers) == [2 * number for number in range(100)]
    moved = own(executor, decisions, octopus)
    assert moved
    assert {(decision.category, decision.action) for decision in moved} == {("executor_bad_state", "retry")}
    assert {decision.placement.executor for decision in moved} == {second.id}
    assert len(own(executor, failures, octopus)) == len(moved)
    ended = own(executor, tasks, octopus, state="exec_done")
    assert len({task.task_id for task in ended}) == len(ended) == 101
    assert {task.executor for task in ended} == {first.id, second.id}


def test_a_task_of_an_endpoint_that_is_lost_waits_as_in_the_sdk_where_the_ladder_ends(
    first: Any,
    recovering: Callable[..., OctopusExecutor],
    octopus: OctopusConfig,
    wait_for: Any,
    web: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = recovering(first.id, octopus=octopus)
    future = executor.submit(functions.rest, 600)
    wait_for(lambda: future.task_id is not None and any(tasks(task_id=future.task_id, config=octopus)), PATIENCE)
    wait_for(lambda: beats(executor, octopus), PATIENCE)
    kill(first)
    given = next(iter(executor._octopus._given()))
    wait_for(lambda: executor._octopus._status.is_gone(str(given.user_endpoint)), PATIENCE)
    wait_for(lambda: given.lost, PATIENCE)
    assert own(executor, failures, octopus) == []
    assert not future.done()
    (said,) = [line for line in caplog.messages if "may have lost its tasks" in line]
    assert "it has given no sign of life for" in said
    future.cancel()


@pytest.mark.parametrize("speculate", [False, True])
def test_an_endpoint_that_only_cannot_be_heard_keeps_its_tasks_unless_they_may_run_twice(
    second: Any,
    recovering: Callable[..., OctopusExecutor],
    octopus: OctopusConfig,
    wait_for: Any,
    speculate: bool,
) -> None:
    elsewhere = octopus.model_copy(update={"namespace": f"{octopus.namespace}-{speculate}".lower()})
    here = {"endpoint_id": second.id, "user_endpoint_config": {"account": "other"}}
    unknown = str(uuid.uuid4())
    executor = recovering(second.id, ladder=[here, unknown], octopus=elsewhere, speculate=speculate)
    assert executor.submit(functions.double, 4).result(timeout=PATIENCE) == 8
    future = executor.submit(functions.double_slowly, 21, 20.0)
    wait_for(lambda: bool(executor._octopus._given()), PATIENCE)
    (given,) = executor._octopus._given()
    emitter = Emitter(elsewhere)
    try:
        # The last words of an endpoint whose way to the broker is lost.
        words = {"host": "login-0", "component": "endpoint", "executor": given.user_endpoint, "period": 1.0}
        emitter.emit(Heartbeat(run_id="session", time=time.time(), **words))
    finally:
        emitter.close()
    assert future.result(timeout=PATIENCE) == 42
    moved = own(executor, decisions, elsewhere)
    assert bool(moved) is speculate


def beats(executor: OctopusExecutor, octopus: OctopusConfig) -> bool:
    """Whether an endpoint has been heard after it was given the executor's tasks."""
    given = next(iter(executor._octopus._given()))
    assert given.launched is not None
    return any(
        beat.executor == given.user_endpoint and beat.time > given.launched + 1
        for beat in heartbeats(config=octopus)
        if beat.component == "endpoint"
    )


def test_what_an_unknown_endpoint_refuses_climbs_the_ladder(
    second: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig
) -> None:
    unknown = str(uuid.uuid4())
    there = {"endpoint_id": second.id, "user_endpoint_config": {}}
    executor = recovering(unknown, ladder=[unknown, there], octopus=octopus, user_endpoint_config={"account": "here"})
    futures = [executor.submit(functions.double, number) for number in range(5)]
    assert [future.result(timeout=PATIENCE) for future in futures] == [0, 2, 4, 6, 8]
    # It is asked again for each batch, and goes on.
    assert executor.submit(functions.double, 5).result(timeout=PATIENCE) == 10
    (at,) = {future._metadata["endpoint_uuid"] for future in futures}  # without the account that only the first one has
    plain = recovering(second.id, octopus=octopus).submit(functions.double, 1)
    assert plain.result(timeout=PATIENCE) == 2
    assert plain._metadata["endpoint_uuid"] == at
    told = own(executor, failures, octopus)
    assert len(told) == 6
    assert {failure.causes[0].type for failure in told} == {"globus_sdk.services.compute.errors.ComputeAPIError"}
    assert {decision.placement.executor for decision in own(executor, decisions, octopus)} == {second.id}


def test_an_unknown_endpoint_without_a_ladder_fails_its_tasks_as_in_the_sdk(
    web: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig
) -> None:
    executor = recovering(uuid.uuid4(), octopus=octopus)
    error = executor.submit(functions.double, 1).exception(timeout=PATIENCE)
    assert type(error).__name__ == "ComputeAPIError"


def test_a_worker_that_is_killed_costs_another_try_where_there_is_a_next_endpoint(
    second: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig
) -> None:
    executor = recovering(second.id, octopus=octopus, retries=2)
    future = executor.submit(functions.die_once, str(second.home / "died"))
    assert future.result(timeout=PATIENCE) == "the second time"
    (decision,) = own(executor, decisions, octopus)
    assert (decision.action, decision.category) == ("retry", "worker_lost")
    assert (second.home / "died").exists()


def test_the_task_of_a_killed_user_endpoint_moves_to_the_next_one(
    first: Any, second: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig, wait_for: Any
) -> None:
    executor = recovering(first.id, ladder=[first.id, second.id], octopus=octopus)
    future = executor.submit(functions.rest_once, str(second.home / "moved"), 600)
    wait_for((second.home / "moved").exists, PATIENCE)
    wait_for(lambda: beats(executor, octopus), PATIENCE)
    (user_endpoint,) = first.user_endpoints()
    user_endpoint.kill()
    assert future.result(timeout=PATIENCE) == "the second time"
    (decision,) = own(executor, decisions, octopus)
    assert decision.placement.executor == second.id
    (of_second,) = {task.executor for task in tasks(task_id=future.task_id, config=octopus)}
    assert of_second == future._metadata["endpoint_uuid"].__str__()


def test_an_endpoint_that_only_stood_still_delivers_nothing_twice(
    first: Any, second: Any, recovering: Callable[..., OctopusExecutor], octopus: OctopusConfig, wait_for: Any, web: Any
) -> None:
    executor = recovering(first.id, ladder=[first.id, second.id], octopus=octopus)
    futures = [executor.submit(functions.double_slowly, number, 1) for number in range(6)]
    answers: list[int] = []
    for future in futures:
        future.add_done_callback(lambda done: answers.append(done.result()))
    wait_for(lambda: futures[0].task_id is not None and beats(executor, octopus), PATIENCE)
    before = {future.task_id for future in futures if not future.done()}
    assert before
    still = first.processes()
    for process in still:
        process.send_signal(signal.SIGSTOP)
    try:
        assert [future.result(timeout=PATIENCE) for future in futures] == [2 * number for number in range(6)]
    finally:
        for process in still:
            process.send_signal(signal.SIGCONT)
    # Its answers come all the same, and are nobody's any more.
    wait_for(lambda: all(web.tasks[task_id].results for task_id in before), PATIENCE)
    assert executor.submit(functions.double, 21).result(timeout=PATIENCE) == 42
    assert sorted(answers) == [2 * number for number in range(6)]
    ended = own(executor, tasks, octopus, state="exec_done")
    assert len({task.task_id for task in ended}) == len(ended) == 7
