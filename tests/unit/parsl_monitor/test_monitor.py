"""The watch over a run, on a history that a test has made."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from octopus_plugins.events import Failure, Heartbeat, Task
from octopus_plugins.events.failure import Categorization, ExceptionInfo
from octopus_plugins.wrath import History, Policy
from octopus_plugins.wrath.policy.policy import StragglerPolicy
from parsl_monitor.errors import StragglerError
from parsl_monitor.run.attempts import Attempt, Attempts
from parsl_monitor.run.monitor import RunWatch
from parsl_monitor.run.stragglers import end_stragglers, silent_hosts

NOW = 10_000.0


class Hub:
    """What the watch sees of a hub; it keeps what the watch does."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy
        self.attempts = Attempts()
        self.story = SimpleNamespace(history=History(), lock=threading.RLock(), run_id="run")
        self.failed: list[tuple[Attempt, Exception]] = []
        self.steered = 0
        self.looked = threading.Event()
        self.threshold = 50.0  # Parsl's own, seconds

    @property
    def executors(self) -> list[Any]:
        return [SimpleNamespace(label="small", heartbeat_threshold=self.threshold)]

    @property
    def watches_only(self) -> bool:
        return self.policy is None or self.policy.mode == "passive"

    def fail(self, attempt: Attempt, error: Exception) -> None:
        self.failed.append((attempt, error))
        assert attempt.outer is not None
        attempt.outer.set_exception(error)

    def steer(self) -> None:
        self.steered += 1
        self.looked.set()

    # -- what a test lets happen --

    def beat(self, host: str, time: float, component: str = "node") -> None:
        self.story.history.observe(
            Heartbeat(run_id="run", time=time, host=host, component=component, period=2.0, executor="small")
        )

    def finished(self, number: int, seconds: float) -> None:
        """A task of the app ``sleep`` that ended well."""
        common: dict[str, Any] = {
            "run_id": "run", "task_id": f"done-{number}", "app": "sleep", "executor": "small", "host": "node-b",
        }  # fmt: skip
        for state, time in (("running", 9000.0), ("running_ended", 9000.0 + seconds), ("exec_done", 9000.0 + seconds)):
            self.story.history.observe(Task(state=state, time=time, **common))

    def launch(
        self, task_id: str, host: str | None, *, launched: float, started: float | None = None, retries: int = 1
    ) -> Attempt:
        attempt = self.attempts.open("small")
        attempt.outer, attempt.launched, attempt.started = Future(), launched, started
        self.attempts.claim(task_id, 0, "small", "sleep")
        dfk = SimpleNamespace(config=SimpleNamespace(retries=retries))
        attempt.record = {"id": task_id, "fail_cost": 0, "dfk": dfk}
        if host is not None:
            attempt.place = {"host": host}
        return attempt


@pytest.fixture
def hub() -> Hub:
    """Apps that take 2 s at most; node-a silent for 60 s, node-b well."""
    made = Hub(Policy())
    for number in range(5):
        made.finished(number, 2.0)
    for host, heard in (("node-a", NOW - 60.0), ("node-b", NOW - 1.0)):
        made.beat(host, heard)
        made.beat(host, heard, "manager")
    return made


def test_a_try_far_over_its_time_on_a_silent_node_is_ended(hub: Hub) -> None:
    straggler = hub.launch("1", "node-a", launched=NOW - 70.0, started=NOW - 65.0)
    assert end_stragglers(hub, Policy(), NOW) == 1  # type: ignore[arg-type]
    ((attempt, error),) = hub.failed
    assert attempt is straggler
    assert isinstance(error, StragglerError)
    assert (error.hostname, error.ran, error.usual, error.silent) == ("node-a", 65.0, 2.0, 60.0)


def test_it_is_given_as_long_as_parsl_gives_its_node(hub: Hub) -> None:
    hub.launch("1", "node-a", launched=NOW - 70.0)
    hub.threshold = 120.0
    assert end_stragglers(hub, Policy(), NOW) == 0  # type: ignore[arg-type]
    assert end_stragglers(hub, Policy(), NOW + 61.0) == 0  # type: ignore[arg-type]  # nobody else is heard either
    hub.beat("node-b", NOW + 60.0)
    assert end_stragglers(hub, Policy(), NOW + 61.0) == 1  # type: ignore[arg-type]


def test_without_a_retry_left_it_is_not_ended(hub: Hub) -> None:
    hub.launch("1", "node-a", launched=NOW - 70.0, retries=0)
    assert end_stragglers(hub, Policy(), NOW) == 0  # type: ignore[arg-type]


def test_with_no_other_node_up_it_is_not_ended(hub: Hub) -> None:
    hub.launch("1", "node-a", launched=NOW - 70.0)
    hub.beat("node-b", NOW, "node")
    hub.story.history.observe(
        Heartbeat(run_id="run", time=NOW, host="node-b", component="node", state="lost", executor="small")
    )
    assert end_stragglers(hub, Policy(), NOW) == 0  # type: ignore[arg-type]


def test_where_tasks_may_run_twice_a_second_copy_is_started_once_and_none_is_ended(hub: Hub) -> None:
    straggler, avoided = hub.launch("1", "node-a", launched=NOW - 70.0), []
    straggler.again = avoided.append
    hub.threshold = 120.0
    policy = Policy(stragglers=StragglerPolicy(speculate=True))
    assert end_stragglers(hub, policy, NOW) == 1  # type: ignore[arg-type]
    assert end_stragglers(hub, policy, NOW + 1.0) == 0  # type: ignore[arg-type]
    assert avoided == ["node-a"]
    assert hub.failed == []


def test_it_is_ended_once(hub: Hub) -> None:
    hub.launch("1", "node-a", launched=NOW - 70.0)
    assert end_stragglers(hub, Policy(), NOW) == 1  # type: ignore[arg-type]
    assert end_stragglers(hub, Policy(), NOW + 1.0) == 0  # type: ignore[arg-type]


def test_a_try_on_a_node_that_is_heard_may_take_its_time(hub: Hub) -> None:
    hub.launch("1", "node-b", launched=NOW - 5000.0, started=NOW - 5000.0)
    assert end_stragglers(hub, Policy(), NOW) == 0  # type: ignore[arg-type]


def test_a_try_of_which_no_node_is_known_may_still_wait_in_the_queue(hub: Hub) -> None:
    hub.launch("1", None, launched=NOW - 5000.0)
    assert end_stragglers(hub, Policy(), NOW) == 0  # type: ignore[arg-type]


def test_time_in_the_queue_is_no_time_on_the_node(hub: Hub) -> None:
    hub.beat("node-a", NOW)
    hub.beat("node-a", NOW, "manager")
    hub.launch("1", "node-a", launched=NOW - 5000.0)
    policy = Policy(stragglers=StragglerPolicy(factor=5.0))  # five times two seconds
    hub.threshold = 6.0
    hub.beat("node-b", NOW + 8.0)
    assert end_stragglers(hub, policy, NOW + 9.0) == 0  # type: ignore[arg-type]
    assert end_stragglers(hub, policy, NOW + 11.0) == 1  # type: ignore[arg-type]


def test_a_clock_that_runs_ahead_makes_no_straggler_older_or_younger_than_it_is(hub: Hub) -> None:
    hub.launch("ahead", "node-a", launched=NOW - 70.0, started=NOW + 3600.0)
    hub.launch("behind", "node-a", launched=NOW - 70.0, started=NOW - 3600.0)
    end_stragglers(hub, Policy(), NOW)  # type: ignore[arg-type]
    assert [error.ran for _, error in hub.failed if isinstance(error, StragglerError)] == [60.0, 70.0]


def test_a_node_whose_manager_is_heard_is_not_silent(hub: Hub) -> None:
    assert set(silent_hosts(hub.story.history, "run", Policy(), NOW)) == {"node-a"}
    hub.beat("node-a", NOW - 1.0, "manager")
    assert silent_hosts(hub.story.history, "run", Policy(), NOW) == {}


@pytest.mark.parametrize("policy", [None, Policy(mode="passive")])
def test_without_an_active_policy_it_changes_nothing(hub: Hub, policy: Policy | None) -> None:
    hub.policy = policy
    hub.launch("1", "node-a", launched=NOW - 70.0)
    fail(hub)
    RunWatch(hub).look(NOW)  # type: ignore[arg-type]
    assert (hub.failed, hub.steered) == ([], 0)


def test_while_nothing_fails_there_is_nothing_to_tell_the_executors(hub: Hub) -> None:
    watch = RunWatch(hub)  # type: ignore[arg-type]
    watch.look(NOW)
    assert hub.steered == 0
    fail(hub)
    watch.look(NOW)
    watch.look(NOW + 1.0)
    assert hub.steered == 2


def test_it_looks_in_a_thread_of_its_own_until_closed(hub: Hub) -> None:
    fail(hub)
    watch = RunWatch(hub, period=0.01)  # type: ignore[arg-type]
    watch.start()
    assert hub.looked.wait(10)
    watch.close()
    watch._thread.join(30)  # a machine may stall for longer than the close waits
    assert not watch._thread.is_alive()


def test_a_failure_makes_it_look_at_once(hub: Hub) -> None:
    watch = RunWatch(hub, period=3600.0)  # type: ignore[arg-type]
    watch.start()
    try:
        for _ in range(2):
            hub.looked.clear()
            fail(hub)
            assert hub.looked.wait(10)
    finally:
        watch.close()


def test_closing_one_that_never_began_is_fine(hub: Hub) -> None:
    RunWatch(hub).close()  # type: ignore[arg-type]


def test_an_error_is_said_once_and_the_watch_goes_on(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked = threading.Semaphore(0)

    def fail_to_steer() -> None:
        looked.release()
        raise OSError("no space left on device")

    fail(hub)
    monkeypatch.setattr(hub, "steer", fail_to_steer)
    watch = RunWatch(hub, period=0.01)  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR, "octopus_plugins"):
        watch.start()
        assert all(looked.acquire(timeout=10) for _ in range(3))
        watch.close()
    assert len([record for record in caplog.records if "watch" in record.message]) == 1


def fail(hub: Hub) -> None:
    run = hub.story.history.run("run")
    hub.story.history.observe(
        Failure(
            run_id="run",
            time=NOW,
            task_id=str(run.failures if run is not None else 0),
            app="sleep",
            executor="small",
            host="node-b",
            exception=ExceptionInfo(type="ValueError"),
            categorization=Categorization(layer="application", category="code_error"),
        )
    )
