"""People and the circuit breaker stop runs and tasks, and keep nodes out. Real Parsl, a real broker."""

from __future__ import annotations

import json
import platform
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import pytest
import workflow_apps as apps
from parsl.config import Config
from parsl.dataflow.errors import DependencyError
from parsl.executors import ThreadPoolExecutor

from octopus_plugins.events import ANY, Decision
from octopus_plugins.fabric.kafka.produce_sync import send_now
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler
from parsl_monitor.errors import RunHaltedError

Make = Callable[..., Any]

HONOURED = 10.0
"""Seconds within which a person's decision must have taken effect: one, and what a loaded machine adds. It takes all
of that and more to wait for what would end the tasks otherwise."""


def config(octopus: Any, *executors: Any, policy: Any = None, **options: Any) -> Config:
    return Config(
        executors=list(executors),
        monitoring=OctopusMonitoringHub(octopus=octopus, **options),
        retry_handler=WrathRetryHandler(policy),
        retries=2,
        strategy="none",
        initialize_logging=False,
    )


def order(octopus: Any, action: str, **fields: Any) -> float:
    """Decide something as a person; the monotonic time when the broker had it."""
    plain = {"run_id": parsl.dfk().run_id, "task_id": ANY, "reason": "ada has seen enough", **fields}
    send_now(octopus, Decision(time=time.time(), action=action, decider="person", serial=uuid.uuid4().hex, **plain))
    return time.monotonic()


def until(condition: Callable[[], object], seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)


def attempt_of(future: Any) -> Any:
    return parsl.dfk().monitoring.attempts.of_task(str(future.tid))


@pytest.fixture(scope="module")
def stopped(run: Make, executor: Make, settings: Make) -> Any:
    """A run that a person ends: one task runs, others wait for a worker, for a dependency, and come later."""
    octopus = settings()
    found: dict[str, float] = {}

    def workflow() -> dict[str, Any]:
        done = apps.double(1)
        done.result(timeout=150)
        running = apps.double(1, seconds=100)
        until(lambda: (attempt := attempt_of(running)) and attempt.place)  # a sample came: it runs
        waiting = [apps.double(number) for number in range(20)]
        dependent = apps.total(running)
        ordered = order(octopus, "terminate", halts_run=True)
        for future in (running, dependent, *waiting):
            future.exception(timeout=30)
        found["seconds"] = time.monotonic() - ordered
        later = apps.double(2)
        later.exception(timeout=30)
        found["later"] = time.monotonic() - ordered - found["seconds"]
        return {"done": done, "running": running, "dependent": dependent, "later": later} | {
            f"waiting-{number}": future for number, future in enumerate(waiting)
        }

    told = run(config(octopus, executor("small")), workflow, octopus=octopus)
    told.found = found
    return told


def test_what_runs_and_what_waits_fails_within_a_second(stopped: Any) -> None:
    for name in ("running", *(f"waiting-{number}" for number in range(20))):
        assert isinstance(stopped.outcomes[name], RunHaltedError)
        assert str(stopped.outcomes[name]) == "ada has seen enough"
    assert stopped.outcomes["done"] == 2
    assert stopped.found["seconds"] < HONOURED


def test_what_depends_on_it_fails_by_parsl_s_own_error(stopped: Any) -> None:
    assert isinstance(stopped.outcomes["dependent"], DependencyError)


def test_what_comes_later_fails_at_once(stopped: Any) -> None:
    assert isinstance(stopped.outcomes["later"], RunHaltedError)
    assert stopped.found["later"] < HONOURED
    assert "launched" not in stopped.states("later")


def test_nothing_of_a_stopped_run_is_retried(stopped: Any) -> None:
    failures = [failure for failure in stopped.failures() if failure.task_id != stopped.task_ids["dependent"]]
    assert {failure.categorization.category for failure in failures} == {"halted"}
    assert {failure.try_id for failure in failures} == {0}
    assert {decision.action for decision in stopped.decisions()} == {"terminate"}
    of_tries = [decision for decision in stopped.decisions() if decision.decider == "workflow"]
    assert len(of_tries) == 23


def test_what_the_person_decided_and_that_it_was_applied_is_told(stopped: Any) -> None:
    published, applied = [decision for decision in stopped.decisions() if decision.decider == "person"]
    assert published.order == 0 and applied.order > 0
    assert (applied.halts_run, applied.reason, applied.mode) == (True, "ada has seen enough", "active")


@pytest.fixture(scope="module")
def steered(run: Make, executor: Make, settings: Make) -> Any:
    """A run in which a person ends one task and denies the node, and allows it again."""
    octopus = settings()
    found: dict[str, Any] = {}

    def workflow() -> dict[str, Any]:
        stop, stay = apps.double(1, seconds=100), apps.double(3, seconds=1.0)
        until(lambda: attempt_of(stop))
        ordered = order(octopus, "terminate", task_id=str(stop.tid))
        stop.exception(timeout=30)
        found["seconds"] = time.monotonic() - ordered
        host = platform.node()
        ordered = order(octopus, "deny", deny_hosts={host: time.time() + 600})
        file = parsl.dfk().executors["small"]._octopus_file
        until(lambda: file.exists() and host in json.loads(file.read_text(encoding="utf-8")).get("denied", {}))
        found["denied"] = time.monotonic() - ordered
        order(octopus, "allow", deny_hosts={host: 0.0})
        until(lambda: host not in json.loads(file.read_text(encoding="utf-8")).get("denied", {}))
        return {"stop": stop, "stay": stay}

    told = run(config(octopus, executor("small", workers=2)), workflow, octopus=octopus)
    told.found = found
    return told


def test_one_task_is_ended_and_no_other(steered: Any) -> None:
    assert isinstance(steered.outcomes["stop"], RunHaltedError)
    assert steered.outcomes["stay"] == 6
    assert steered.found["seconds"] < HONOURED
    assert steered.states("stop")[-1] == "failed"


def test_a_node_is_denied_and_allowed_within_a_second(steered: Any) -> None:
    assert steered.found["denied"] < HONOURED
    applied = [decision for decision in steered.decisions() if decision.decider == "person" and decision.order]
    assert [decision.action for decision in applied] == ["terminate", "deny", "allow"]


@pytest.fixture(scope="module")
def waiting(run: Make, executor: Make, settings: Make, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run in which a person ends tasks that no executor has: one waits for another task, one joins others."""
    octopus = settings()
    found: dict[str, float] = {}
    go_on = tmp_path_factory.mktemp("waiting") / "go on"

    def workflow() -> dict[str, Any]:
        apps.double(0).result(timeout=150)
        first, join = apps.double_once_there_is(str(go_on), 1), apps.fan_out_once_there_is(str(go_on), 2)
        dependent = apps.total(first)
        after = apps.total(dependent)
        until(lambda: join.task_status() == "joining")
        inner = join.task_record["joins"]
        for name, future in {"dependent": dependent, "join": join}.items():
            ordered = order(octopus, "terminate", task_id=str(future.tid))
            future.exception(timeout=30)
            found[name] = time.monotonic() - ordered
        assert not first.done() and not inner.done()
        go_on.touch()
        return {"dependent": dependent, "join": join, "after": after, "first": first, "inner": inner}

    told = run(config(octopus, executor("small", workers=2)), workflow, octopus=octopus)
    told.found = found
    return told


@pytest.mark.parametrize("name", ["dependent", "join"])
def test_a_task_that_no_executor_has_is_ended_within_a_second(waiting: Any, name: str) -> None:
    assert isinstance(waiting.outcomes[name], RunHaltedError)
    assert waiting.found[name] < HONOURED
    assert waiting.states(name)[-1] == "failed"
    (failure,) = waiting.failures(name)
    assert (failure.categorization.category, failure.exception.message) == ("halted", "ada has seen enough")
    assert [decision.action for decision in waiting.decisions(name) if decision.decider == "workflow"] == ["terminate"]


def test_what_it_waited_for_goes_on_and_what_waits_for_it_fails(waiting: Any) -> None:
    assert (waiting.outcomes["first"], waiting.outcomes["inner"]) == (2, 4)
    assert isinstance(waiting.outcomes["after"], DependencyError)


def test_a_waiting_task_is_ended_where_no_executor_is_observed_and_nothing_has_failed(
    run: Make, settings: Make
) -> None:
    octopus = settings()
    gate = threading.Event()

    def workflow() -> dict[str, Any]:
        first = parsl.python_app(gate.wait)()
        dependent = apps.total(first)
        order(octopus, "terminate", task_id=str(dependent.tid))
        try:
            dependent.exception(timeout=30)
        finally:
            gate.set()
        return {"first": first, "dependent": dependent}

    told = run(config(octopus, ThreadPoolExecutor(label="threads")), workflow, octopus=octopus)
    assert isinstance(told.outcomes["dependent"], RunHaltedError)
    assert told.outcomes["first"] is True
    assert "launched" not in told.states("dependent")


def test_the_breaker_stops_a_run_in_which_everything_fails(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()
    policy = {"on_systemic_failure": "halt", "breaker": {"minimum_tasks": 5, "share": 0.8}}

    def workflow() -> dict[str, Any]:
        return {f"bug-{number}": apps.look_up("omega") for number in range(60)}

    told = run(config(octopus, executor("small"), policy=policy), workflow, octopus=octopus)
    halting = [decision for decision in told.decisions() if decision.halts_run]
    assert len(halting) == 1
    ended = [outcome for outcome in told.outcomes.values() if isinstance(outcome, RunHaltedError)]
    assert len(ended) > 20
    assert str(ended[0]) == halting[0].reason
    assert all(isinstance(outcome, (ValueError, RunHaltedError)) for outcome in told.outcomes.values())


def test_by_default_it_is_said_once_that_everything_fails_and_no_task_is_ended_for_it(
    run: Make, executor: Make, settings: Make, caplog: pytest.LogCaptureFixture
) -> None:
    octopus = settings()
    policy = {"breaker": {"minimum_tasks": 5, "share": 0.8}}

    def workflow() -> dict[str, Any]:
        futures = {f"bug-{number}": apps.look_up("omega") for number in range(30)}
        return futures | {f"good-{number}": apps.double(number) for number in range(4)}

    told = run(config(octopus, executor("small"), policy=policy), workflow, octopus=octopus)
    assert [told.outcomes[f"good-{number}"] for number in range(4)] == [0, 2, 4, 6]
    assert {type(outcome) for name, outcome in told.outcomes.items() if name.startswith("bug")} == {ValueError}
    (found,) = [decision for decision in told.decisions() if decision.systemic]
    assert found.on_systemic == "warn"
    assert not found.halts_run
    warned = [record.getMessage() for record in caplog.records if found.systemic in record.getMessage()]
    assert len(warned) == 1
    assert f"octopus decide terminate --run {found.run_id}" in warned[0]


def test_a_paused_run_goes_on_by_itself_once_a_task_ends_well(
    run: Make, executor: Make, settings: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    octopus = settings()
    policy = {"on_systemic_failure": "pause", "breaker": {"minimum_tasks": 5, "share": 0.8}}
    mended = tmp_path / "mended"

    def workflow() -> dict[str, Any]:
        futures = {f"task-{number}": apps.needs(str(mended)) for number in range(40)}
        until(lambda: any("It is paused" in record.getMessage() for record in caplog.records))
        mended.touch()
        return futures

    told = run(config(octopus, executor("small", workers=4), policy=policy), workflow, octopus=octopus)
    done = [outcome for outcome in told.outcomes.values() if outcome is True]
    assert len(done) >= 20, told.outcomes
    assert any("goes on" in record.getMessage() for record in caplog.records)


@pytest.mark.slow
def test_a_passive_breaker_is_recorded_and_stops_nothing(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()
    policy = {"mode": "passive", "breaker": {"minimum_tasks": 3, "share": 0.5}}

    def workflow() -> dict[str, Any]:
        futures = {f"bug-{number}": apps.look_up("omega") for number in range(12)}
        for future in futures.values():
            future.exception(timeout=150)
        return futures | {"good": apps.double(2)}

    told = run(config(octopus, executor("small"), policy=policy), workflow, octopus=octopus)
    assert told.outcomes.pop("good") == 4
    assert {type(outcome) for outcome in told.outcomes.values()} == {ValueError}


@pytest.mark.slow
def test_a_hub_that_does_not_listen_obeys_nobody(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()

    def workflow() -> dict[str, Any]:
        task = apps.double(1, seconds=2.0)
        order(octopus, "terminate", halts_run=True)
        return {"task": task}

    told = run(config(octopus, executor("small"), listen=False), workflow, octopus=octopus)
    assert told.outcomes["task"] == 2
