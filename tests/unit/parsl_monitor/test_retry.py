"""The handler on its own: task records as Parsl makes them, no monitoring hub."""

from __future__ import annotations

import datetime
import logging
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from parsl.app.errors import BashExitFailure
from parsl.dataflow.errors import DependencyError
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor

from octopus_plugins.errors import ConfigError, PolicyError
from octopus_plugins.events import Decision, Failure, Placement
from octopus_plugins.htex.steering import SteeredSpecification, Steering
from parsl_monitor import OctopusHighThroughputExecutor, WrathRetryHandler, retry


@pytest.fixture
def record() -> dict[str, Any]:
    """A task on an executor of two."""
    executors = {
        label: OctopusHighThroughputExecutor(label=label, address="127.0.0.1", mem_per_worker=memory)
        for label, memory in (("small", 1), ("large", 8))
    }
    executors["threads"] = ThreadPoolExecutor(label="threads")
    dfk = SimpleNamespace(
        run_id="run", monitoring=None, executors=executors, config=SimpleNamespace(retries=3, retry_handler=None)
    )
    return {
        "dfk": dfk,
        "id": 7,
        "try_id": 0,
        "func_name": "app",
        "executor": "small",
        "time_invoked": datetime.datetime.now(),
        "try_time_launched": datetime.datetime.now(),
        "kwargs": {},
        "fail_cost": 0.0,
        "resource_specification": {},
    }


def placed(record: dict[str, Any]) -> dict[str, Any]:
    """What a handler may have changed."""
    return {name: record[name] for name in ("executor", "resource_specification")}


def test_a_first_failure_is_retried_with_a_note_for_the_executor(record: dict[str, Any]) -> None:
    shared = record["resource_specification"]
    assert WrathRetryHandler()(ValueError("x"), record) == 1.0
    assert isinstance(record["resource_specification"], SteeredSpecification)
    assert shared == {}  # Parsl's default, which all tasks share


def test_a_priority_that_the_user_chose_stays(record: dict[str, Any]) -> None:
    record["resource_specification"] = {"priority": 5}
    WrathRetryHandler()(ValueError("x"), record)
    assert record["resource_specification"]["priority"] == 5


def test_a_failed_dependency_is_charged_more_than_is_left(record: dict[str, Any]) -> None:
    error = DependencyError([(ValueError("x"), "task 1")], 7)
    assert record["fail_cost"] + WrathRetryHandler()(error, record) > 3


def costs(record: dict[str, Any], handler: WrathRetryHandler, error: Exception, tries: int) -> list[float]:
    """What so many failures in a row bring the task's cost to."""
    found = []
    for number in range(tries):
        record["try_id"] = number
        record["fail_cost"] += handler(error, record)
        found.append(record["fail_cost"])
    return found


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), NameError("name 'x' is not defined"), NotImplementedError(), ImportError("no x"), MemoryError()],
    ids=repr,
)
def test_a_task_is_retried_as_often_as_the_run_says(record: dict[str, Any], error: Exception) -> None:
    assert costs(record, WrathRetryHandler(), error, 4) == [1.0, 2.0, 3.0, 4.0]


def test_by_the_published_policy_a_bug_that_shows_twice_is_given_up(record: dict[str, Any]) -> None:
    first, second = costs(record, WrathRetryHandler("published"), ValueError("x"), 2)
    assert first == 1.0
    assert second > 3


def test_a_user_may_say_that_tasks_may_run_twice() -> None:
    assert not WrathRetryHandler().policy.stragglers.speculate
    assert WrathRetryHandler(speculate=True).policy.stragglers.speculate
    assert WrathRetryHandler("published", speculate=True).policy.name == "published"


def test_without_retries_nothing_is_retried(record: dict[str, Any]) -> None:
    record["dfk"].config.retries = 0
    assert WrathRetryHandler()(ConnectionRefusedError(111, "refused"), record) > 0
    assert record["resource_specification"] == {}


def test_a_task_that_needs_more_memory_climbs_the_ladder(record: dict[str, Any]) -> None:
    assert WrathRetryHandler(ladder=["small", "large"])(MemoryError(), record) <= 3
    assert record["executor"] == "large"


def test_an_executor_that_cannot_be_steered_gets_no_steering(record: dict[str, Any]) -> None:
    record["executor"] = "threads"
    record["resource_specification"] = SteeredSpecification({"cores": 1}, Steering(delay=5.0))
    WrathRetryHandler()(ValueError("x"), record)
    assert type(record["resource_specification"]) is dict
    assert record["resource_specification"] == {"cores": 1}


def test_the_user_reads_beside_the_exception_why_it_was_not_retried(record: dict[str, Any]) -> None:
    record["dfk"].config.retries = 0
    error: Any = FileNotFoundError(2, "No such file or directory", "/data/x")
    WrathRetryHandler()(error, record)
    (note,) = error.__notes__
    assert note.startswith("Octopus: bad_input")
    assert "the run allows no retries" in note


def test_an_exception_that_is_retried_has_no_note_and_in_a_passive_run_none_has(record: dict[str, Any]) -> None:
    retried, passive = ValueError("x"), ValueError("x")
    WrathRetryHandler()(retried, record)
    record["dfk"].config.retries = 0
    WrathRetryHandler(mode="passive")(passive, record)
    assert not hasattr(retried, "__notes__")
    assert not hasattr(passive, "__notes__")


def test_an_app_that_names_an_executor_that_is_not_there_is_retried_as_any(
    record: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    record["executor"] = "nope"
    assert WrathRetryHandler()(ValueError("Task 7 requested invalid executor nope"), record) == 1.0
    assert record["executor"] == "nope"
    assert not caplog.records


def test_passive_charges_as_parsl_does_and_places_nothing(record: dict[str, Any]) -> None:
    before = placed(record)
    handler = WrathRetryHandler(mode="passive", ladder=["small", "large"])
    for error in (ValueError("x"), MemoryError(), DependencyError([(ValueError("x"), "task 1")], 7)):
        assert handler(error, record) == 1.0
        record["try_id"] += 1
    assert placed(record) == before


def test_the_workflow_s_own_handler_is_asked_with_what_parsl_gave(record: dict[str, Any]) -> None:
    asked: list[Any] = []

    def own(error: Exception, task: Any) -> float:
        asked.append((error, task))
        return 0.5

    error = ValueError("x")
    assert WrathRetryHandler(retry_handler=own)(error, record) == 0.5
    assert asked == [(error, record)]


def test_the_workflow_s_own_handler_can_end_what_we_would_retry(record: dict[str, Any]) -> None:
    assert WrathRetryHandler(retry_handler=lambda error, task: 50.0)(MemoryError(), record) == 50.0


def test_the_workflow_s_own_handler_can_retry_what_we_would_end(record: dict[str, Any]) -> None:
    handler = WrathRetryHandler(retry_handler=lambda error, task: 0.25)
    for _ in range(4):
        assert handler(ValueError("x"), record) == 0.25
        record["fail_cost"] += 0.25
        record["try_id"] += 1


def test_where_the_workflow_s_own_handler_sends_a_task_there_it_goes(record: dict[str, Any]) -> None:
    decided: list[tuple[Failure, Decision]] = []

    def own(error: Exception, task: Any) -> float:
        task["executor"] = "large"
        return 1.0

    handler = WrathRetryHandler(retry_handler=own)
    tell = handler._alone.tell
    handler._alone.tell = lambda *events: (decided.append(events), tell(*events))[1]  # type: ignore[method-assign,assignment,func-returns-value]
    assert handler(ValueError("x"), record) == 1.0
    failure, decision = decided[-1]
    assert (failure.executor, decision.executor) == ("small", "small"), "it failed where it ran"
    assert record["executor"] == "large"
    assert decision.placement is not None and decision.placement.executor == "large"


def test_what_the_workflow_s_own_handler_raises_is_its_own(record: dict[str, Any]) -> None:
    def own(error: Exception, task: Any) -> float:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        WrathRetryHandler(retry_handler=own)(ValueError("x"), record)


def test_a_decision_that_breaks_is_said_once_and_costs_one(
    record: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(retry, "decide", broken)
    handler = WrathRetryHandler()
    before = placed(record)
    with caplog.at_level(logging.WARNING, "octopus_plugins"):
        assert [handler(ValueError("x"), record) for _ in range(3)] == [1.0] * 3
    assert placed(record) == before
    assert len(caplog.records) == 1


def test_a_ladder_with_an_unknown_executor_is_warned_of_once_with_the_close_one(
    record: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    handler = WrathRetryHandler(ladder=["small", "larg"])
    with caplog.at_level(logging.WARNING, "octopus_plugins"):
        handler(ValueError("x"), record)
        handler(ValueError("y"), record)
    (said,) = [entry.getMessage() for entry in caplog.records]
    assert "'larg'" in said and "did you mean 'large'?" in said


def test_a_wrong_policy_is_refused_when_it_is_given() -> None:
    with pytest.raises(PolicyError, match=r"memory_exausted.*memory_exhausted"):
        WrathRetryHandler({"categories": {"memory_exausted": {}}})


def test_a_bash_app_s_exit_is_decided_like_any_other(record: dict[str, Any]) -> None:
    handler = WrathRetryHandler()
    assert handler(BashExitFailure("app", 7), record) == 1.0
    assert record["executor"] == "small"


def test_a_second_run_tells_the_handler_of_its_executors_anew(record: dict[str, Any]) -> None:
    handler = WrathRetryHandler()
    handler(ValueError("x"), record)
    record["dfk"].run_id = "another"
    handler(ValueError("x"), record)
    assert handler._alone.history.run("another").retries == record["dfk"].config.retries


@pytest.mark.parametrize(
    "options",
    [{"decider": "oracle"}, {"deadline": 0}, {"deadline": -1.0}, {"deadline": float("nan")}, {"deadline": 61}],
)
def test_a_wrong_decider_or_deadline_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        WrathRetryHandler(**options)


def test_a_service_without_a_hub_is_warned_of_once_and_the_workflow_decides(
    record: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    handler = WrathRetryHandler(decider="service", deadline=60)
    with caplog.at_level(logging.WARNING, "octopus_plugins"):
        assert handler(ValueError("x"), record) == 1.0
        handler(ValueError("y"), record)
    (said,) = [entry.getMessage() for entry in caplog.records]
    assert "OctopusMonitoringHub" in said


def test_a_decision_changes_the_resources_that_the_task_asked_for_and_no_others(record: dict[str, Any]) -> None:
    record["executor"] = "threads"
    asked = record["resource_specification"] = {"memory": 100, "cores": 1}
    retry._place(record, decision(resources={"memory": 200, "disk": 5}))
    assert record["resource_specification"] == {"memory": 200, "cores": 1}
    assert asked == {"memory": 100, "cores": 1}


def test_a_task_that_moves_takes_along_only_what_its_new_executor_accepts(record: dict[str, Any]) -> None:
    record["executor"] = "threads"
    record["resource_specification"] = {"memory": 100, "priority": 5}
    retry._place(record, decision(placement=Placement(rung="other_executor", executor="large")))
    assert record["executor"] == "large"
    specification = record["resource_specification"]
    assert specification == {"memory": 100, "priority": 5}  # to users' code, what they gave
    assert specification.for_executor() == {"priority": 5}
    retry._place(record, decision())
    assert record["resource_specification"].for_executor() == {"priority": 5}
    record["dfk"].executors["threads"] = HighThroughputExecutor(label="threads", address="127.0.0.1")
    retry._place(record, decision(placement=Placement(rung="other_executor", executor="threads")))
    assert type(record["resource_specification"]) is dict
    assert record["resource_specification"] == {"priority": 5}  # nobody drops there what Parsl refuses


def test_a_retry_takes_along_where_it_should_and_should_not_go(record: dict[str, Any]) -> None:
    placement = Placement(rung="other_node", avoid_hosts=("bad",), prefer_hosts=("good", "fair"), first=False)
    retry._place(record, decision(placement=placement, delay=2.5))
    assert record["resource_specification"].steering == Steering(
        delay=2.5, avoid_hosts=("bad",), prefer_hosts=("good", "fair"), first=False
    )


def test_to_users_code_a_retried_task_s_record_reads_as_parsl_made_it(record: dict[str, Any]) -> None:
    seen: list[Any] = []

    def own(error: Exception, task: Any) -> float:
        seen.append((type(task["resource_specification"]).__mro__[-2], dict(task["resource_specification"])))
        return 0.5

    record["resource_specification"] = {"priority": 5}
    handler = WrathRetryHandler(retry_handler=own)
    for try_id in range(3):
        record["try_id"] = try_id
        handler(ConnectionResetError("x"), record)
    assert seen == [(dict, {"priority": 5})] * 3
    assert pickle.loads(pickle.dumps(record["resource_specification"])) == {"priority": 5}


def test_what_a_task_asked_for_stands_in_its_failure(record: dict[str, Any]) -> None:
    record["resource_specification"] = SteeredSpecification({"memory": 100, "note": object()}, Steering())
    assert retry._subject(record, "small").resources == {"memory": 100}


def decision(**fields: Any) -> Decision:
    return Decision(run_id="run", time=1.0, task_id="7", action="retry", **fields)
