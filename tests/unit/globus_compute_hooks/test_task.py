"""What the engine makes of what its executor says of a task: told, tried again, answered. No endpoint, no workers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from globus_compute_common import messagepack
from globus_compute_endpoint.engines import GCFuture
from globus_compute_endpoint.engines.base import GCExecutorFuture
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from globus_compute_hooks import OctopusEngine
from globus_compute_hooks.endpoint.attempts import Attempt
from octopus_plugins.events import Decision, Event, Failure, ResourceSample, Task
from octopus_plugins.fabric.produce.budget import SampleBudget
from octopus_plugins.frameworks import failure_text
from octopus_plugins.htex.observation import lost_task

TASK = uuid.UUID("00000000-0000-4000-8000-000000000001")


class Told:
    """In the place of the fabric: keeps what is emitted."""

    budget: SampleBudget | None = None

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, *events: Event) -> None:
        self.events += (each for event in events for each in event.unfolded())

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def close(self, timeout: float | None = None) -> None:
        pass


@pytest.fixture
def make_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[OctopusEngine, Told]]]:
    """Make engines that are ready to be given tasks, with what they tell."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    told = Told()
    monkeypatch.setattr("globus_compute_hooks.endpoint.engine.Emitter", lambda *_, **__: told)
    made: list[OctopusEngine] = []

    def make(retries: int = 0, octopus: Any = None) -> tuple[OctopusEngine, Told]:
        engine = OctopusEngine(
            address="127.0.0.1", encrypted=False, max_retries_on_system_failure=retries, octopus=octopus
        )
        made.append(engine)
        assert engine.octopus is not None
        engine._octopus_open(engine.octopus, str(uuid.uuid4()), str(tmp_path))
        return engine, told

    yield make
    for engine in made:
        engine._octopus_delays.close()
        engine._octopus_ledger.close()
        engine.executor.zmq_monitoring.close()


def give(engine: OctopusEngine, outcomes: list[Any]) -> Any:
    """Give the engine a task whose tries end so, and wait for its answer."""
    future = GCFuture(TASK, function_id=uuid.uuid4())
    assert engine._octopus_session is not None
    engine._octopus_session.received(Attempt(str(TASK), str(future.function_id), {}, 1.0))
    left = list(outcomes)

    def submit() -> GCExecutorFuture:
        work = GCExecutorFuture()
        work.executor_task_id = len(left)
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            work.set_exception(outcome)
        else:
            work.set_result(outcome)
        return work

    engine._invoke_submission(future, submit, engine.max_retries_on_system_failure)
    answer = messagepack.unpack(future.result(timeout=60))
    assert left == []
    return answer


def well() -> bytes:
    from globus_compute_common.messagepack.message_types import Result

    return messagepack.pack(Result(task_id=TASK, data="42"))


def test_without_retries_a_lost_worker_is_told_decided_and_answered(make_engine: Callable[..., Any]) -> None:
    engine, told = make_engine()
    answer = give(engine, [WorkerLost(0, "n1")])
    (failure,), (decision,) = told.of(Failure), told.of(Decision)
    assert (failure.categorization.category, failure.host, failure.worker_id) == ("worker_lost", "n1", 0)
    assert decision.action == "terminate"
    assert answer.data.splitlines()[0].startswith("Octopus: worker_lost on n1, terminate: ")
    assert "WorkerLost" in answer.data
    assert failure_text.read(answer.data)["category"] == "worker_lost"
    assert [task.state for task in told.of(Task)] == ["pending", "launched", "failed"]


@pytest.mark.parametrize("error", [WorkerLost(0, "n1"), ManagerLost(b"m", "n1")])
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_the_host_s_own_number_of_retries_is_the_end(
    make_engine: Callable[..., Any], error: Exception, retries: int
) -> None:
    engine, told = make_engine(retries)
    assert give(engine, [error] * (retries + 1)).is_error
    assert [decision.action for decision in told.of(Decision)] == ["retry"] * retries + ["terminate"]


def of_agent(**found: Any) -> tuple[str, bytes]:
    """What a node agent answers in the place of a worker that died."""
    place = {"host": "n1", "block": "0", "manager": "m", "worker_id": 0, "pid": 11}
    mortem = {"node": {"time": 3.0, "memory_total": 1 << 30}, "limits": {"open_files": 1024}, **found}
    return lost_task(WorkerLost(0, "n1"), place, 2.0, {"time": 3.0, "rss": 4096}, mortem)


def test_what_a_node_agent_saw_of_a_lost_worker_is_told(make_engine: Callable[..., Any]) -> None:
    engine, told = make_engine()
    answer = give(engine, [of_agent(exit_code=3)])
    (failure,), (decision,) = told.of(Failure), told.of(Decision)
    assert (failure.categorization.category, failure.exit_code) == ("app_exit", 3)
    assert (failure.host, failure.block, failure.pid, failure.usage.rss) == ("n1", "0", 11, 4096)
    assert (failure.node.memory_total, failure.limits.open_files) == (1 << 30, 1024)
    assert decision.action == "terminate"
    assert "Octopus: app_exit on n1" in answer.data
    assert "WorkerLost" in answer.data
    assert [task.state for task in told.of(Task)] == ["pending", "launched", "running", "running_ended", "failed"]


def test_where_a_hook_raises_the_answer_of_an_agent_is_the_host_s(
    make_engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = make_engine()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a hook of ours is broken")

    monkeypatch.setattr(engine._octopus_session, "failed", broken)
    answer = give(engine, [of_agent(signal=9)])
    assert answer.is_error
    assert "WorkerLost" in answer.data and "Octopus" not in answer.data


def test_a_system_failure_is_tried_again_within_the_host_s_number_of_retries(make_engine: Callable[..., Any]) -> None:
    engine, told = make_engine(retries=2)
    answer = give(engine, [WorkerLost(0, "n1"), well()])
    assert (answer.is_error, answer.data) == (False, "42")
    (failure,), (decision,) = told.of(Failure), told.of(Decision)
    assert (failure.try_id, decision.action, decision.category) == (0, "retry", "worker_lost")
    states = [(task.try_id, task.state) for task in told.of(Task)]
    assert states[-2:] == [(1, "launched"), (1, "exec_done")]
    assert (0, "fail_retryable") in states


def test_what_a_function_raised_itself_is_not_tried_again(make_engine: Callable[..., Any]) -> None:
    from globus_compute_common.messagepack.message_types import Result, ResultErrorDetails

    details = ResultErrorDetails(code="RemoteExecutionError", user_message="it failed")
    trace = "Traceback (most recent call last):\n  File \"f.py\", line 1, in f\nKeyError: 'k'\n"
    engine, told = make_engine(retries=2)
    answer = give(engine, [messagepack.pack(Result(task_id=TASK, data=trace, error_details=details))])
    (failure,), (decision,) = told.of(Failure), told.of(Decision)
    assert failure.categorization.category == "code_error"
    assert decision.action == "terminate"
    assert answer.error_details == details
    assert trace.strip() in answer.data


def raised(kind: str, message: str) -> bytes:
    """A result of a function that raised."""
    from globus_compute_common.messagepack.message_types import Result, ResultErrorDetails

    details = ResultErrorDetails(code="RemoteExecutionError", user_message=message)
    trace = f'Traceback (most recent call last):\n  File "f.py", line 1, in f\n{kind}: {message}\n'
    return messagepack.pack(Result(task_id=TASK, data=trace, error_details=details))


@pytest.mark.parametrize(
    "failed",
    [
        raised("MemoryError", "unable to allocate 8 GiB"),
        raised("OSError", "[Errno 28] No space left on device: '/scratch/out'"),
        raised("ModuleNotFoundError", "No module named 'tool'"),
    ],
)
def test_what_ran_runs_again_for_what_it_raised_only_by_a_policy_of_the_owner(
    make_engine: Callable[..., Any], failed: bytes
) -> None:
    engine, told = make_engine(retries=2)
    assert give(engine, [failed]).is_error
    (decision,) = told.of(Decision)
    assert (decision.action, decision.rule) == ("terminate", "max_retries_on_system_failure")
    assert "only a policy of the endpoint's own retries what has run" in decision.reason

    engine, told = make_engine(retries=2, octopus={"policy": {}})
    assert give(engine, [failed, well()]).data == "42"
    assert [decision.action for decision in told.of(Decision)][-1] == "retry"


def test_a_function_that_could_not_be_read_has_not_run_and_is_tried_again(make_engine: Callable[..., Any]) -> None:
    from globus_compute_common.messagepack.message_types import Result, ResultErrorDetails

    trace = (
        "Traceback (most recent call last):\n"
        '  File "/env/globus_compute_sdk/serialize/facade.py", line 125, in unpack_and_deserialize\n'
        "ModuleNotFoundError: No module named 'tool'\n"
    )
    details = ResultErrorDetails(code="RemoteExecutionError", user_message="no")
    unread = messagepack.pack(Result(task_id=TASK, data=trace, error_details=details))
    engine, _ = make_engine(retries=2)
    assert give(engine, [unread, well()]).data == "42"


def test_a_result_that_could_not_be_written_is_of_a_function_that_has_run(make_engine: Callable[..., Any]) -> None:
    from globus_compute_common.messagepack.message_types import Result, ResultErrorDetails

    trace = (
        "Traceback (most recent call last):\n"
        '  File "/env/globus_compute_sdk/serialize/facade.py", line 88, in serialize_from_list\n'
        "ModuleNotFoundError: No module named 'tool'\n"
    )
    details = ResultErrorDetails(code="RemoteExecutionError", user_message="no")
    engine, told = make_engine(retries=2)
    assert give(engine, [messagepack.pack(Result(task_id=TASK, data=trace, error_details=details))]).is_error
    assert [decision.action for decision in told.of(Decision)] == ["terminate"]


def test_passive_records_what_it_would_do_and_changes_nothing(make_engine: Callable[..., Any]) -> None:
    engine, told = make_engine(retries=1, octopus={"mode": "passive"})
    answer = give(engine, [WorkerLost(0, "n1"), WorkerLost(0, "n1")])
    assert [failure.try_id for failure in told.of(Failure)] == [0, 1]
    assert {decision.mode for decision in told.of(Decision)} == {"passive"}
    assert "Octopus" not in answer.data
    assert answer.data.count("Traceback from attempt") == 2


def test_where_a_hook_raises_the_task_is_answered_as_without_us_and_it_is_said_once(
    make_engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine, _ = make_engine()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a hook of ours is broken")

    for name in ("launched", "succeeded", "failed"):
        monkeypatch.setattr(engine._octopus_session, name, broken)
    assert give(engine, [well()]).data == "42"
    answer = give(engine, [WorkerLost(0, "n1")])
    assert answer.is_error
    assert "WorkerLost" in answer.data
    assert "Octopus" not in answer.data
    said = [record for record in caplog.records if "could not be told" in record.getMessage()]
    assert len(said) == 1


def test_the_engine_prints_without_secrets(make_engine: Callable[..., Any]) -> None:
    engine, _ = make_engine()
    assert "OctopusEngine" in repr(engine)


def test_a_sample_that_comes_after_its_try_s_result_changes_nothing(make_engine: Callable[..., Any]) -> None:
    engine, told = make_engine()
    session = engine._octopus_session
    attempt = Attempt(str(TASK), "f", {}, 1.0)
    session.received(attempt)
    session.attempts.marked(attempt, 5)
    sample = {"number": 5, "app": "f", "worker_id": 0, "pid": 11, "started": 2.0, "sequence": 0, "usage": {"time": 3.0}}
    place = {"host": "n1", "block": "0", "manager": "m"}
    message = {"kind": "samples", "executor": "e", "place": place, "time": 3.0, "period": 1.0, "stretch": 1.0}
    session.hear("octopus", {**message, "tries": [sample]})
    assert [each.sequence for each in told.of(ResourceSample)] == [0]
    attempt.ended, attempt.usage = 4.0, {"time": 4.0}
    session.hear("octopus", {**message, "tries": [{**sample, "sequence": 1}]})
    assert [each.sequence for each in told.of(ResourceSample)] == [0]
    assert attempt.usage == {"time": 4.0}
