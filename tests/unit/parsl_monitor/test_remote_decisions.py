"""What people and services decide of a run, and how it obeys; and how a hub ends tries."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from parsl.dataflow.states import States
from parsl.executors import ThreadPoolExecutor

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import ANY, Decision, Event, Failure, Run
from octopus_plugins.hookspecs import hookimpl
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import Standing
from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, WrathRetryHandler
from parsl_monitor.errors import RunHaltedError, StragglerError
from parsl_monitor.run import control
from parsl_monitor.run.attempts import Attempt, Attempts
from parsl_monitor.run.recorder import Story
from parsl_monitor.run.remote_decisions import Orders
from parsl_monitor.run.try_future import TryFuture

from .task_messages import task_info


class Collected:
    """In the place of the emitter: keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.hurried = 0

    def emit(self, *events: Event) -> None:
        self.events += (each for event in events for each in event.unfolded())

    def hurry(self) -> None:
        self.hurried += 1

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Steered(OctopusHighThroughputExecutor):
    """An executor that keeps what it is told of its nodes."""

    standing: Any = Standing()

    def steer(self, standing: Any) -> None:
        self.standing = standing


class Workflow:
    """A hub with a DataFlowKernel's stand-in: launches tasks, and does with failures as Parsl does."""

    def __init__(self, home: Path, *, plugins: Plugins | None = None, retries: int = 3, **handler: Any) -> None:
        config = OctopusConfig.load(profile="local", bootstrap_servers="127.0.0.1:1", spool_dir=home)
        self.collected = Collected()
        self.hub = OctopusMonitoringHub(octopus=config, plugins=plugins or Plugins())
        self.hub.attempts = Attempts()
        self.hub._story = Story(self.collected, self.hub.plugins, self.hub.attempts)  # type: ignore[arg-type]
        self.hub.story.run_id = "run"
        self.handler = WrathRetryHandler(**handler)
        self.executor = Steered(label="small", address="127.0.0.1")
        self.hub.register(self.executor)
        self.dfk = SimpleNamespace(
            run_id="run",
            monitoring=self.hub,
            tasks={},
            executors={"small": self.executor, "threads": ThreadPoolExecutor(label="threads")},
            config=SimpleNamespace(retries=retries, retry_handler=self.handler),
        )
        self.ended: dict[int, tuple[float, BaseException]] = {}
        self.alive = False
        self.hub.service_alive = lambda: self.alive  # type: ignore[method-assign]

    def launch(self, number: int, try_id: int = 0) -> Attempt:
        now = datetime.datetime.now()
        record = {
            "dfk": self.dfk,
            "id": number,
            "try_id": try_id,
            "func_name": "app",
            "executor": "small",
            "time_invoked": now,
            "try_time_launched": now,
            "kwargs": {},
            "fail_cost": float(try_id),
            "resource_specification": {},
        }
        attempt = self.hub.attempts.open("small")
        attempt.outer = TryFuture(attempt, self.hub)
        self.hub.story.hear(task_info("launched", task_id=number, try_id=try_id))
        attempt.outer.add_done_callback(partial(self.handle_exec_update, record))
        return attempt

    def handle_exec_update(self, record: dict[str, Any], future: Any) -> None:
        error = future.exception()
        if error is not None:
            cost = self.handler(error, record)
            left = self.dfk.config.retries - record["fail_cost"]
            self.ended[record["id"]] = (cost - left, error)
            state = "failed" if cost > left else "fail_retryable"
            self.hub.story.hear(task_info(state, task_id=record["id"], try_id=record["try_id"]))

    def was_given_up(self, number: int) -> bool:
        return self.ended[number][0] > 0


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Workflow]]:
    made: list[Workflow] = []

    def workflow(**options: Any) -> Workflow:
        made.append(Workflow(tmp_path, **options))
        return made[-1]

    yield workflow
    for each in made:
        each.hub.end_governing()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def person(action: str, **fields: Any) -> Decision:
    plain = {"run_id": "run", "task_id": ANY, "reason": "ada says so", "serial": "s1", **fields}
    return Decision(time=time.time(), action=action, decider="person", **plain)


def of_service(task_id: str, try_id: int = 0, action: str = "terminate", **fields: Any) -> Decision:
    return Decision(
        run_id="run", time=time.time(), task_id=task_id, try_id=try_id, action=action, decider="service", **fields
    )


def test_the_run_tells_how_it_is_configured_at_its_first_launch(make: Callable[..., Workflow]) -> None:
    workflow = make()
    assert workflow.hub.policy is None and workflow.hub.dfk is None
    workflow.launch(1)
    workflow.launch(2)
    (configured,) = workflow.collected.of(Run)
    assert [pool.label for pool in configured.pools] == ["small", "threads"]
    assert (configured.retries, configured.labels) == (3, {"decider": "workflow"})
    assert configured.policy["mode"] == "active"
    assert workflow.hub.policy is workflow.handler.policy
    assert workflow.hub.dfk is workflow.dfk


def test_an_executor_that_is_added_later_is_told_too(make: Callable[..., Workflow]) -> None:
    workflow = make()
    workflow.launch(1)
    workflow.dfk.executors["late"] = ThreadPoolExecutor(label="late")
    workflow.launch(2)
    assert [len(run.pools) for run in workflow.collected.of(Run)] == [2, 3]


def test_a_run_that_asks_a_service_tells_again_how_it_is_configured(
    make: Callable[..., Workflow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "TELL_AGAIN", 0.02)
    workflow = make(decider="service")
    workflow.launch(1)
    until(lambda: len(workflow.collected.of(Run)) >= 3)
    first, *again = workflow.collected.of(Run)
    assert first.order > 0 and {each.order for each in again} == {0}  # to a replay it is a second copy
    assert {each.id for each in again} == {first.id}
    assert all(each.policy == first.policy and each.pools == first.pools for each in again)
    assert again[0].time > first.time


def test_a_run_that_decides_by_itself_tells_that_once(
    make: Callable[..., Workflow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "TELL_AGAIN", 0.0)
    workflow = make()
    workflow.launch(1)
    assert len(workflow.hub._delays) <= 1  # to steer, and no more
    assert len(workflow.collected.of(Run)) == 1


def test_a_person_stops_the_run_and_nothing_is_retried(make: Callable[..., Workflow]) -> None:
    workflow = make()
    for number in (1, 2):
        workflow.launch(number)
    Orders(workflow.hub).hear(person("terminate"))
    until(lambda: len(workflow.ended) == 2)
    for number in (1, 2):
        assert isinstance(workflow.ended[number][1], RunHaltedError)
        assert workflow.was_given_up(number)
    with pytest.raises(RunHaltedError, match="ada says so"):
        workflow.launch(3)
    applied, *of_tasks = workflow.collected.of(Decision)
    assert (applied.decider, applied.halts_run, applied.serial) == ("person", True, "s1/applied")
    assert {decision.action for decision in of_tasks} == {"terminate"}
    assert {failure.categorization.category for failure in workflow.collected.of(Failure)} == {"halted"}


def test_a_person_stops_one_task_and_its_retries(make: Callable[..., Workflow]) -> None:
    workflow = make()
    stopped, other = workflow.launch(1), workflow.launch(2)
    Orders(workflow.hub).hear(person("terminate", task_id="1"))
    assert stopped.outer is not None and other.outer is not None
    assert isinstance(stopped.outer.exception(timeout=0), RunHaltedError)
    assert not other.outer.done()
    again = workflow.launch(1, try_id=1)
    assert again.outer is not None and isinstance(again.outer.exception(timeout=0), RunHaltedError)
    assert workflow.was_given_up(1)


def test_a_task_that_is_stopped_between_two_states_ends_at_the_next(make: Callable[..., Workflow]) -> None:
    workflow = make()
    workflow.launch(1)
    ended: list[tuple[int, States, str]] = []
    workflow.dfk._complete_task_exception = lambda record, state, error: ended.append((record["id"], state, str(error)))
    for number, state in ((5, States.joining), (6, States.pending), (7, States.launched)):
        locks = {"join_lock": threading.Lock(), "task_launch_lock": threading.Lock()}
        record = {"id": number, "status": state, "fail_history": [], "fail_count": 0, **locks}
        workflow.hub.halts.stop_task(str(number), "wrong input")
        workflow.dfk.tasks[number] = record
        workflow.hub.heed_stops(str(number), state.name)
        workflow.hub.heed_stops(f"{number}0", state.name)
    until(lambda: len(ended) == 2)
    assert ended == [(5, States.failed, "wrong input"), (6, States.failed, "wrong input")]


def test_a_person_denies_a_node_and_allows_it_again(make: Callable[..., Workflow]) -> None:
    workflow = make()
    workflow.launch(1)
    orders, until_then = Orders(workflow.hub), time.time() + 600
    orders.hear(person("deny", deny_hosts={"node": until_then, "past": 1.0}))
    assert workflow.executor.standing.denied == {"node": until_then}
    orders.hear(person("allow", deny_hosts={"node": 0.0}, serial="s2"))
    assert workflow.executor.standing.denied == {}
    assert [decision.action for decision in workflow.collected.of(Decision)] == ["deny", "allow"]


def test_a_person_denies_a_node_for_one_app_and_allows_it_again(make: Callable[..., Workflow]) -> None:
    workflow = make()
    workflow.launch(1)
    orders, until_then = Orders(workflow.hub), time.time() + 600
    orders.hear(person("deny", deny_hosts={"node": until_then}, deny_app="app"))
    standing = workflow.executor.standing
    assert (standing.denied, standing.denied_for) == ({}, {"app": {"node": until_then}})
    orders.hear(person("allow", deny_hosts={"node": 0.0}, serial="s2"))
    assert workflow.executor.standing.denied_for == {}
    assert [decision.deny_app for decision in workflow.collected.of(Decision)] == ["app", ""]


def test_a_run_without_retries_obeys_a_person_all_the_same(make: Callable[..., Workflow]) -> None:
    workflow = make(retries=0)
    workflow.launch(1)
    until_then = time.time() + 600
    Orders(workflow.hub).hear(person("deny", deny_hosts={"node": until_then}))
    assert workflow.executor.standing.denied == {"node": until_then}


def test_a_decision_on_all_runs_is_recorded_as_this_run_s(make: Callable[..., Workflow]) -> None:
    workflow = make()
    workflow.launch(1)
    Orders(workflow.hub).hear(person("deny", run_id=ANY, deny_hosts={"node": time.time() + 60}))
    (applied,) = workflow.collected.of(Decision)
    assert applied.run_id == "run" and applied.order > 0


def test_the_run_s_own_record_of_an_order_is_no_order(make: Callable[..., Workflow]) -> None:
    workflow = make()
    workflow.launch(1)
    Orders(workflow.hub).hear(person("terminate", serial="s1/applied"))
    assert workflow.hub.halts.reason() is None
    assert workflow.collected.of(Decision) == []


def test_a_passive_policy_records_an_order_and_does_nothing(make: Callable[..., Workflow]) -> None:
    workflow = make(mode="passive")
    attempt = workflow.launch(1)
    orders = Orders(workflow.hub)
    orders.hear(person("terminate"))
    orders.hear(person("deny", deny_hosts={"node": time.time() + 60}))
    assert attempt.outer is not None and not attempt.outer.done()
    assert workflow.hub.halts.reason() is None
    assert [decision.mode for decision in workflow.collected.of(Decision)] == ["passive", "passive"]


def test_an_order_that_makes_no_sense_is_passed_over(make: Callable[..., Workflow]) -> None:
    workflow = make()
    workflow.launch(1)
    orders = Orders(workflow.hub)
    for order in (person("dance"), person("deny"), person("retry", task_id="1"), of_service("99")):
        orders.hear(order)
    assert workflow.collected.of(Decision) == []


def test_a_try_ended_by_the_hub_ignores_what_comes_of_it_later(make: Callable[..., Workflow]) -> None:
    workflow = make()
    attempt = workflow.launch(1)
    lost = StragglerError("node", 100.0, 5.0, 60.0)
    workflow.hub.fail(attempt, lost)
    workflow.hub.fail(attempt, RunHaltedError("later"))
    assert attempt.outer is not None
    attempt.outer.set_result("late")
    assert attempt.outer.exception(timeout=0) is lost
    assert len(workflow.collected.of(Failure)) == 1


def test_a_service_s_decision_is_what_happens(make: Callable[..., Workflow]) -> None:
    workflow = make(decider="service", deadline=30.0)
    workflow.alive = True
    attempt = workflow.launch(1)
    assert attempt.outer is not None
    attempt.outer.set_exception(ValueError("x"))
    assert not attempt.outer.done()
    assert len(workflow.collected.of(Failure)) == workflow.collected.hurried == 1  # told at once
    Orders(workflow.hub).hear(of_service("1", reason="it fails in every run"))
    assert attempt.outer.done()
    assert workflow.was_given_up(1)
    (applied,) = workflow.collected.of(Decision)
    assert (applied.decider, applied.serial, applied.reason) == ("service", "applied", "it fails in every run")
    assert len(workflow.collected.of(Failure)) == 1


def test_at_the_deadline_the_workflow_s_own_decision_holds_as_it_was_made_before(
    make: Callable[..., Workflow],
) -> None:
    workflow = make(decider="service", deadline=0.05)
    workflow.alive = True
    attempt = workflow.launch(1)
    assert attempt.outer is not None
    attempt.outer.set_exception(ValueError("x"))
    until(attempt.outer.done)
    until(lambda: 1 in workflow.ended)
    assert not workflow.was_given_up(1)  # a first failure: seen once, though the history has it already
    (decision,) = workflow.collected.of(Decision)
    assert (decision.decider, decision.action) == ("workflow", "retry")
    Orders(workflow.hub).hear(of_service("1"))
    assert len(workflow.collected.of(Decision)) == 1


@pytest.mark.parametrize("options", [{"mode": "passive"}, {"retries": 0}, {"decider": "workflow"}])
def test_where_a_service_could_change_nothing_nobody_waits(
    make: Callable[..., Workflow], options: dict[str, Any]
) -> None:
    workflow = make(**{"decider": "service", "deadline": 50.0, **options})
    workflow.alive = True
    attempt = workflow.launch(1)
    assert attempt.outer is not None
    attempt.outer.set_exception(ValueError("x"))
    assert attempt.outer.done()


def test_a_service_without_signs_of_life_is_not_waited_for(make: Callable[..., Workflow]) -> None:
    workflow = make(decider="service", deadline=50.0)
    attempt = workflow.launch(1)
    assert attempt.outer is not None
    attempt.outer.set_exception(ValueError("x"))
    assert attempt.outer.done()


def test_a_service_that_is_late_again_and_again_is_not_waited_for(make: Callable[..., Workflow]) -> None:
    workflow = make(decider="service", deadline=0.02)
    workflow.alive = True
    attempts = [workflow.launch(number) for number in range(6)]
    for number, attempt in enumerate(attempts):
        assert attempt.outer is not None
        attempt.outer.set_exception(OSError("x"))
        if number >= 3:
            assert attempt.outer.done()
        until(lambda: number in workflow.ended)  # noqa: B023
    assert workflow.hub.verdicts.late == 3, "the first three waited"
    assert len(workflow.collected.of(Failure)) == len(workflow.collected.of(Decision)) == 6


def test_stopping_the_run_settles_what_waits_for_the_service(make: Callable[..., Workflow]) -> None:
    workflow = make(decider="service", deadline=50.0)
    workflow.alive = True
    attempt = workflow.launch(1)
    assert attempt.outer is not None
    attempt.outer.set_exception(ValueError("x"))
    Orders(workflow.hub).hear(person("terminate"))
    until(lambda: 1 in workflow.ended)
    assert isinstance(workflow.ended[1][1], ValueError)
    assert workflow.was_given_up(1)
    assert workflow.collected.of(Decision)[-1].rule == "halted"


def test_stopping_a_task_settles_it_while_it_waits_for_the_service_and_no_other(make: Callable[..., Workflow]) -> None:
    workflow = make(decider="service", deadline=50.0)
    workflow.alive = True
    stopped, other = workflow.launch(1), workflow.launch(2)
    for attempt in (stopped, other):
        assert attempt.outer is not None
        attempt.outer.set_exception(ValueError("x"))
    Orders(workflow.hub).hear(person("terminate", task_id="1"))
    assert workflow.was_given_up(1)
    assert workflow.collected.of(Decision)[-1].rule == "halted"
    assert 2 not in workflow.ended


def test_a_task_that_is_stopped_while_it_is_being_held_does_not_wait(make: Callable[..., Workflow]) -> None:
    workflow = make(decider="service", deadline=50.0)
    workflow.alive = True
    attempt = workflow.launch(1)
    hold = workflow.hub.verdicts.hold

    def stopped_meanwhile(*arguments: Any) -> bool:
        Orders(workflow.hub).hear(person("terminate", task_id="1"))
        return hold(*arguments)

    workflow.hub.verdicts.hold = stopped_meanwhile  # type: ignore[method-assign]
    assert attempt.outer is not None
    attempt.outer.set_exception(ValueError("x"))
    assert workflow.was_given_up(1)


def test_a_service_s_retry_stays_within_the_run_s_budget(make: Callable[..., Workflow]) -> None:
    workflow = make(decider="service", deadline=30.0)
    workflow.alive = True
    attempt = workflow.launch(1, try_id=3)
    assert attempt.outer is not None
    attempt.outer.set_exception(ValueError("x"))
    Orders(workflow.hub).hear(of_service("1", 3, "retry"))
    assert workflow.was_given_up(1)
    assert workflow.collected.of(Decision)[-1].rule == "retries"


def test_what_a_service_decides_under_another_policy_is_not_applied_unless_it_was_imposed(
    make: Callable[..., Workflow], caplog: pytest.LogCaptureFixture
) -> None:
    workflow = make(decider="service", deadline=30.0, policy={"name": "mine"})
    workflow.alive = True
    for number, imposed in ((1, False), (2, False), (3, True)):
        attempt = workflow.launch(number)
        assert attempt.outer is not None
        attempt.outer.set_exception(OSError("x"))
        Orders(workflow.hub).hear(of_service(str(number), policy="default", imposed=imposed))
    assert [workflow.was_given_up(number) for number in (1, 2, 3)] == [False, False, True]
    assert [decision.decider for decision in workflow.collected.of(Decision)] == ["workflow", "workflow", "service"]
    assert len([record for record in caplog.records if "another policy ('default')" in record.getMessage()]) == 1


def test_the_workflow_s_own_handler_keeps_the_last_word_over_a_service(make: Callable[..., Workflow]) -> None:
    workflow = make(decider="service", deadline=30.0, retry_handler=lambda error, task: 0.5)
    workflow.alive = True
    attempt = workflow.launch(1)
    assert attempt.outer is not None
    attempt.outer.set_exception(ValueError("x"))
    Orders(workflow.hub).hear(of_service("1"))
    assert not workflow.was_given_up(1)
    assert workflow.collected.of(Decision)[-1].rule == "retry_handler"


def test_the_workflow_s_own_handler_cannot_retry_in_a_stopped_run(make: Callable[..., Workflow]) -> None:
    workflow = make(retry_handler=lambda error, task: 0.0)
    workflow.launch(1)
    workflow.hub.halt("enough")
    until(lambda: 1 in workflow.ended)
    assert workflow.was_given_up(1)


def test_what_the_own_handler_raises_leaves_no_failure_without_a_decision(make: Callable[..., Workflow]) -> None:
    def own(error: Exception, task: Any) -> float:
        raise LookupError("mine")

    workflow = make(decider="service", deadline=30.0, retry_handler=own)
    workflow.alive = True
    attempt = workflow.launch(1)
    assert attempt.outer is not None
    attempt.outer.set_exception(ValueError("x"))
    Orders(workflow.hub).hear(of_service("1"))
    (decision,) = workflow.collected.of(Decision)
    assert (decision.action, decision.rule) == ("terminate", "retry_handler")
    assert workflow.hub.verdicts.take("1", 0) is None


def test_a_decision_that_halts_the_run_does(make: Callable[..., Workflow]) -> None:
    class Breaker:
        @hookimpl
        def octopus_decision(self, failure: Failure, decision: Decision) -> Decision:
            import msgspec

            return msgspec.structs.replace(decision, halts_run=True, reason="everything fails")

    plugins = Plugins()
    plugins.register(Breaker(), "breaker")
    workflow = make(plugins=plugins)
    first = workflow.launch(1)
    workflow.launch(2)
    assert first.outer is not None
    first.outer.set_exception(ValueError("x"))
    until(lambda: 2 in workflow.ended)
    assert str(workflow.ended[2][1]) == "everything fails"
    assert workflow.was_given_up(2)


SOON = {"breaker": {"minimum_tasks": 3}}


def fail_all(workflow: Workflow, numbers: range) -> None:
    for number in numbers:
        attempt = workflow.launch(number)
        assert attempt.outer is not None
        attempt.outer.set_exception(ValueError("x"))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "failed for one cause" in record.getMessage()]


def test_a_run_in_which_everything_fails_is_warned_of_once_and_goes_on(
    make: Callable[..., Workflow], caplog: pytest.LogCaptureFixture
) -> None:
    workflow = make(retries=0, policy=SOON)
    fail_all(workflow, range(9))
    (said,) = warnings(caplog)
    assert said.startswith("Run run: 3 of 3 ended tasks, 100% of the 3 submitted, failed for one cause")
    assert said.endswith("It goes on. To stop it: octopus decide terminate --run run")
    assert workflow.hub.halts.reason() is None


def test_a_run_in_which_everything_fails_is_paused_where_the_user_wants_it(
    make: Callable[..., Workflow], caplog: pytest.LogCaptureFixture
) -> None:
    workflow = make(retries=0, policy={**SOON, "on_systemic_failure": "pause"})
    fail_all(workflow, range(9))
    until(lambda: workflow.executor.standing.paused)
    (said,) = warnings(caplog)
    assert "It is paused: a few tasks at a time go on until one ends well." in said
    workflow.hub.heed_stops("9", "exec_done")
    until(lambda: not workflow.executor.standing.paused)


def test_a_run_in_which_everything_fails_is_halted_where_the_user_wants_it(make: Callable[..., Workflow]) -> None:
    workflow = make(retries=0, policy={**SOON, "on_systemic_failure": "halt"})
    fail_all(workflow, range(3))
    assert "3 of 3 ended tasks" in (workflow.hub.halts.reason() or "")
    with pytest.raises(RunHaltedError):
        workflow.launch(4)


def test_what_is_told_is_numbered_in_the_order_in_which_the_history_saw_it(make: Callable[..., Workflow]) -> None:
    workflow = make()
    for number in range(5):
        attempt = workflow.launch(number)
        assert attempt.outer is not None
        attempt.outer.set_exception(ValueError("x"))
    assert [event.order for event in workflow.collected.events] == list(range(1, len(workflow.collected.events) + 1))
