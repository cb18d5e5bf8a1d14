"""``WrathRetryHandler(decider="service")``: a real service, none, a silent one, and one that lies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import parsl
import pytest
import workflow_apps as apps
from parsl.config import Config

from octopus_plugins.events import ANY, Decision, Failure, Heartbeat, Placement, Topic
from octopus_plugins.fabric import Emitter
from octopus_plugins.fabric.kafka.follower import Follower, Wanted
from octopus_plugins.services import Decider
from octopus_plugins.services import decider_service as decider_module
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler
from parsl_monitor.run.pending_decisions import LATE_IN_A_ROW

Make = Callable[..., Any]
START = 150
"""Seconds that a loaded machine may take to start a worker."""

Answer = Callable[[Failure], Decision | None]


def config(octopus: Any, *executors: Any, deadline: float = 0.5, retries: int = 2, **options: Any) -> Config:
    return Config(
        executors=list(executors),
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retry_handler=WrathRetryHandler(decider="service", deadline=deadline, **options),
        retries=retries,
        strategy="none",
        initialize_logging=False,
    )


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)


def hub() -> OctopusMonitoringHub:
    found: OctopusMonitoringHub = parsl.dfk().monitoring
    return found


@contextmanager
def stand_in(octopus: Any, answer: Answer) -> Iterator[None]:
    """A service that gives signs of life, and answers each failure as the test wants."""
    ended = threading.Event()
    emitter = Emitter(octopus)
    follower = Follower(octopus, Wanted(Topic.failures, time.time() - 60), period=0.05)

    def serve() -> None:
        beat = 0.0
        for arrivals in follower.read_batches():
            if time.monotonic() >= beat:
                beat = time.monotonic() + 0.3
                emitter.emit(
                    Heartbeat(run_id=ANY, time=time.time(), host="elsewhere", component="decider", period=20.0, pid=1)
                )
                emitter.hurry()
            for arrival in arrivals:
                decision = answer(arrival.event)
                if decision is not None:
                    emitter.emit(decision)
                    emitter.hurry()
        ended.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        follower.close()
        assert ended.wait(60)
        thread.join(60)
        emitter.close(5)


def relaunch_delays(told: Any, name: str) -> list[float]:
    """Seconds between each failure of a task and the state that Parsl gave it for that."""
    failed = [task.time for task in told.tasks(name) if task.state in ("fail_retryable", "failed")]
    return [after - failure.time for failure, after in zip(told.failures(name), failed, strict=True)]


@contextmanager
def real_service(octopus: Any) -> Iterator[None]:
    ready = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decider_module, "PERIOD", 5.0)  # so that a machine that stalls does not count as a dead service
        service = Decider(octopus, on_ready=ready.set)
        thread = threading.Thread(target=service.run, daemon=True)
        thread.start()
        try:
            assert ready.wait(60)
            yield
        finally:
            service.close()
            thread.join(60)
            assert not thread.is_alive()


def wait_for(*futures: Any) -> None:
    for future in futures:
        future.exception(timeout=150)


def test_a_service_decides_and_the_run_does_as_it_says(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()

    def workflow() -> dict[str, Any]:
        with real_service(octopus):
            apps.double(1).result(timeout=START)
            until(hub().service_alive)
            futures = {"bug": apps.look_up("omega"), "bash": apps.complain(7), "good": apps.double(2)}
            futures["dependent"] = apps.total(futures["bug"])
            wait_for(*futures.values())
            assert hub().verdicts.in_time > 0
            return futures

    told = run(config(octopus, executor("small"), deadline=20.0), workflow, octopus=octopus)
    assert told.outcomes["good"] == 4
    applied = [decision for decision in told.decisions("bug") if decision.order]
    assert [(each.decider, each.try_id, each.action) for each in applied] == [
        ("service", 0, "retry"),
        ("service", 1, "retry"),
        ("service", 2, "terminate"),
    ]
    assert applied[-1].rule == "run.retries"
    assert max(relaunch_delays(told, "bug")) < 20.0
    # What no service needs to be asked about is decided at once.
    assert [each.decider for each in told.decisions("dependent") if each.order] == ["workflow"]


@pytest.mark.slow
def test_a_service_that_gives_no_sign_of_life_is_not_waited_for(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()
    told = run(
        config(octopus, executor("small"), deadline=50.0),
        lambda: {"bug": apps.look_up("omega")},
        octopus=octopus,
        timeout=START,
    )
    assert isinstance(told.outcomes["bug"], ValueError)
    assert {decision.decider for decision in told.decisions()} == {"workflow"}
    assert max(relaunch_delays(told, "bug")) < 40


@pytest.mark.slow
def test_a_silent_service_costs_a_failed_task_its_deadline_and_no_other_task_anything(
    run: Make, executor: Make, settings: Make
) -> None:
    octopus = settings()
    found: dict[str, float] = {}

    def workflow() -> dict[str, Any]:
        apps.double(1).result(timeout=START)
        until(hub().service_alive)
        bugs = {f"bug-{number}": apps.look_up("omega") for number in range(10)}
        until(lambda: len(hub().verdicts) > 0)
        began = time.monotonic()
        good = apps.double(2)
        assert good.result(timeout=START) == 4
        found["good"] = time.monotonic() - began
        found["threads"] = sum(thread.name.startswith("octopus-delays") for thread in threading.enumerate())
        wait_for(*bugs.values())
        return bugs | {"good": good}

    def served() -> dict[str, Any]:
        with stand_in(octopus, lambda failure: None):
            return workflow()

    told = run(config(octopus, executor("small", workers=2), deadline=10.0), served, octopus=octopus)
    assert found["good"] < 10.0  # it did not wait with the others
    assert found["threads"] <= 2  # ten wait, and no thread does
    for name in (f"bug-{number}" for number in range(10)):
        assert isinstance(told.outcomes[name], ValueError)
        assert [decision.decider for decision in told.decisions(name)] == ["workflow"] * 3
        assert [decision.action for decision in told.decisions(name)] == ["retry", "retry", "terminate"]
    first, *later = zip(*(relaunch_delays(told, f"bug-{number}") for number in range(10)), strict=True)
    assert min(first) > 9.9 and max(first) < 2 * 9.9
    assert sum(delay > 9.9 for delays in later for delay in delays) < LATE_IN_A_ROW  # after those that came to nothing
    assert len([message for message in told.messages if "failures in a row" in message]) == 1


@pytest.mark.slow
def test_a_service_that_lies_or_comes_late_changes_nothing(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()

    def answer(failure: Failure) -> Decision | None:
        plain = Decision(
            run_id=failure.run_id,
            time=time.time(),
            task_id=failure.task_id,
            try_id=failure.try_id,
            action="retry",
            decider="service",
            charge=0.0,
        )
        if failure.app == "look_up":  # to an executor that there is not
            placement = Placement(rung="other_executor", executor="nowhere")
            return msgspec.structs.replace(plain, placement=placement)
        return msgspec.structs.replace(plain, run_id="another")  # of another run

    def workflow() -> dict[str, Any]:
        apps.double(1).result(timeout=START)
        until(hub().service_alive)
        futures = {"bug": apps.look_up("omega"), "bash": apps.complain(7)}
        wait_for(*futures.values())
        return futures

    def served() -> dict[str, Any]:
        with stand_in(octopus, answer):
            return workflow()

    told = run(config(octopus, executor("small", workers=2), deadline=5.0), served, octopus=octopus)
    assert isinstance(told.outcomes["bug"], ValueError)
    applied = [decision for decision in told.decisions() if decision.order]
    assert {decision.decider for decision in applied} == {"workflow"}
    (message,) = [message for message in told.messages if "is not applied" in message]
    assert "'nowhere'" in message


@pytest.mark.slow
def test_without_retries_no_service_is_waited_for(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()
    found: list[float] = []

    def workflow() -> dict[str, Any]:
        apps.double(1).result(timeout=START)
        until(hub().service_alive)
        bug = apps.look_up("omega")
        began = time.monotonic()
        wait_for(bug)
        found.append(time.monotonic() - began)
        return {"bug": bug}

    def served() -> dict[str, Any]:
        with stand_in(octopus, lambda failure: None):
            return workflow()

    told = run(config(octopus, executor("small"), deadline=60.0, retries=0), served, octopus=octopus)
    assert found[0] < 60.0
    assert [decision.action for decision in told.decisions("bug")] == ["terminate"]
    assert told.failures("bug")[0].try_id == 0
