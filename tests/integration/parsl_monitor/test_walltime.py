"""Tries that outlive their walltime where Parsl's own timer cannot end them. Real Parsl, real workers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import workflow_apps as apps
from parsl.app.errors import AppTimeout
from parsl.config import Config
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from walltime_apps import (
    clean_up_slowly,
    hold_the_interpreter,
    lock_up_in_c,
    open_pipe,
    patient,
    read_socket,
    shell_out,
    sleep_in_c,
    sleep_on,
)

from octopus_plugins.events import Failure
from parsl_monitor import OctopusMonitoringHub

pytestmark = pytest.mark.slow

Make = Callable[..., Any]

BLOCKING = ("sleep", "socket", "pipe", "c_sleep", "subprocess")
STUCK = ("locked_up", "interpreter_held")


def configured(octopus: Any, executor: Any) -> Config:
    return Config(
        executors=[executor],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retries=0,
        strategy="none",
        initialize_logging=False,
    )


@pytest.fixture(scope="module")
def told(run: Make, executor: Make, settings: Make, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run in which everything blocks that can; heartbeats too rare to be what ends it."""
    octopus = settings()
    pipe = tmp_path_factory.mktemp("pipe") / "nobody-writes"
    os.mkfifo(pipe)

    def workflow() -> dict[str, Any]:
        return {
            "sleep": sleep_on(60, walltime=1),
            "socket": read_socket(walltime=1),
            "pipe": open_pipe(str(pipe), walltime=1),
            "c_sleep": sleep_in_c(60, walltime=1),
            "subprocess": shell_out("sleep 60", walltime=1),
            "locked_up": lock_up_in_c(walltime=1),
            "interpreter_held": hold_the_interpreter(60, walltime=1),
            "cleaned_up": clean_up_slowly(walltime=1),
            "in_time": patient(0.3, walltime=6),
            "bash": apps.complain(0),
        }

    config = configured(octopus, executor("small", workers=3, heartbeat_period=30, heartbeat_threshold=120))
    return run(config, workflow, octopus=octopus)


def failure(told: Any, name: str) -> Failure:
    (found,) = told.failures(name)
    assert isinstance(found, Failure)
    return found


@pytest.mark.parametrize("name", BLOCKING + STUCK)
def test_the_future_ends_with_parsl_s_timeout(told: Any, name: str) -> None:
    assert isinstance(told.outcomes[name], AppTimeout)


@pytest.mark.parametrize("name", BLOCKING + STUCK)
def test_it_is_categorised_as_over_its_walltime(told: Any, name: str) -> None:
    categorization = failure(told, name).categorization
    assert categorization is not None
    assert categorization.category == "walltime_exceeded"
    assert categorization.evidence["walltime"] == 1
    ran = categorization.evidence["ran"]
    assert isinstance(ran, float) and ran >= 1


@pytest.mark.parametrize("name", BLOCKING)
def test_a_blocking_call_is_interrupted_soon_after_the_walltime(told: Any, name: str) -> None:
    found = failure(told, name)
    assert found.started is not None and found.ended is not None
    assert found.ended - found.started < 30
    assert found.signal is None


@pytest.mark.parametrize("name", STUCK)
def test_what_never_returns_to_the_interpreter_is_ended_with_its_worker(told: Any, name: str) -> None:
    found = failure(told, name)
    assert found.signal == 9
    assert found.usage is not None and found.usage.rss
    assert found.started is not None and found.ended is not None
    assert found.ended - found.started < 40


def test_a_try_may_take_its_time_to_clean_up(told: Any) -> None:
    assert told.outcomes["cleaned_up"] == "cleaned up"


def test_what_ends_in_time_is_not_touched(told: Any) -> None:
    assert told.outcomes["in_time"] == "in time"


def test_in_parsl_s_own_pool_a_stuck_worker_ends_itself(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()
    own = executor("own", heartbeat_period=2, launch_cmd=DEFAULT_LAUNCH_CMD + " ")

    def workflow() -> dict[str, Any]:
        return {"locked_up": lock_up_in_c(walltime=1), "after": apps.double(2)}

    told = run(configured(octopus, own), workflow, octopus=octopus)
    assert isinstance(told.outcomes["locked_up"], AppTimeout)
    assert told.outcomes["after"] == 4
    (found,) = told.failures("locked_up")
    assert found.signal == 9
    assert found.categorization.category == "walltime_exceeded"
