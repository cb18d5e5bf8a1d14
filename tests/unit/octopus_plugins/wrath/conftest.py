"""Failures made of exceptions that were really raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from octopus_plugins.events import Decision, Failure, Heartbeat, Pool, Run, Task
from octopus_plugins.events.exceptions import failed_dependencies, failure_details
from octopus_plugins.wrath import History, Policy, categorize, decide

NOW = 1_700_000_000.0


def _caught(action: Callable[[], Any]) -> BaseException:
    try:
        action()
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError(f"{action} raised nothing")


@pytest.fixture
def caught() -> Callable[[Callable[[], Any]], BaseException]:
    """The exception that a call raises."""
    return _caught


@pytest.fixture
def fail() -> Callable[..., Failure]:
    """Make the failure of a call (or of an exception) on small-0, with other fields as given."""

    def make(cause: Callable[[], Any] | BaseException, **fields: Any) -> Failure:
        error = cause if isinstance(cause, BaseException) else _caught(cause)
        place = {"run_id": "r", "task_id": "1", "time": NOW, "app": "app", "executor": "small", "host": "small-0"}
        return Failure(**(place | failure_details(error) | {"dependencies": failed_dependencies(error)} | fields))

    return make


class World:
    """A history with a run of two executors and as many nodes as wanted."""

    def __init__(
        self, *, nodes: int = 3, retries: int | None = 5, steerable: bool = True, began: float = NOW, **pool: Any
    ) -> None:
        self.history = History()
        small = Pool(label="small", kind="HighThroughputExecutor", steerable=steerable, **pool)
        large = Pool(label="large", kind="HighThroughputExecutor", steerable=steerable)
        self.pools = small, large
        self.begin("r", nodes=nodes, retries=retries, time=began)

    def begin(self, run_id: str, *, nodes: int, retries: int | None = 5, time: float = NOW) -> None:
        """A run begins on some nodes."""
        self.observe(Run(run_id=run_id, time=time, state="started", retries=retries, pools=self.pools))
        for number in range(nodes):
            self.observe(Heartbeat(run_id=run_id, time=time, host=f"small-{number}", executor="small"))

    def keep_busy(self, *, done: int = 10, under_way: int = 10) -> None:
        """Other tasks ended well until now, and more of them are under way."""
        for number in range(done + under_way):
            place = {"run_id": "r", "task_id": f"other-{number}", "time": NOW, "app": "other", "executor": "small"}
            self.observe(Task(**place, state="pending"), Task(**place, state="launched"))
            if number < done:
                self.observe(Task(**place, state="exec_done"))

    def observe(self, *events: Any) -> None:
        for event in events:
            self.history.observe(event)

    def succeed(self, task_id: str, host: str, *, app: str = "app", time: float = NOW) -> None:
        """A task of the app ends well on a host."""
        place = {"run_id": "r", "task_id": task_id, "time": time, "app": app, "executor": "small"}
        self.observe(Task(**place, state="running", host=host), Task(**place, state="exec_done"))


@pytest.fixture
def world() -> type[World]:
    return World


def _step(history: History, failure: Failure, policy: Policy) -> Decision:
    failure = replace(failure, categorization=categorize(failure, history))
    decision = decide(failure, history, policy)
    history.observe(failure)
    history.observe(decision)
    return decision


@pytest.fixture
def step() -> Callable[[History, Failure, Policy], Decision]:
    """Decide about a failure and let the history have both, as every caller does."""
    return _step
