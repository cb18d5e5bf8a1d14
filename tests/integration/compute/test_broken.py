"""Whatever is wrong on our side, an endpoint serves its tasks as if we were not there, and says once what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from globus_compute_sdk.errors import TaskExecutionFailed

from benchmarks.compute.endpoint import PATIENCE, engine
from octopus_plugins import tasks
from octopus_plugins.config import OctopusConfig
from octopus_plugins.local.processes import free_port

from . import functions

# What the template is given arrives there as JSON.
VARIANTS = """
{{%- if wrong == '"key"' %}}
heartbeat_perod: 3
{{%- elif wrong == '"broker"' %}}
connect_timeout: 1
close_timeout: 1
{{%- endif %}}
"""


@pytest.fixture(scope="module")
def endpoint(start_endpoint: Callable[..., Any], octopus: OctopusConfig) -> Any:
    away = octopus.model_copy(update={"bootstrap_servers": f"127.0.0.1:{free_port()}"})
    return start_endpoint(engine(away, block=VARIANTS.format().strip()))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("key", "engine.octopus.heartbeat_perod: there is no such option; did you mean 'heartbeat_period'?"),
        ("broker", "no Kafka broker answers at 127.0.0.1:"),
    ],
)
def test_tasks_are_served_and_what_is_wrong_is_said_once(
    endpoint: Any, sdk: Callable[..., Any], wait_for: Callable[..., None], wrong: str, said: str
) -> None:
    executor = sdk(endpoint, wrong=wrong)
    numbers = [executor.submit(functions.double, number) for number in range(5)]
    bug = executor.submit(functions.look_up, "omega")
    assert [number.result(timeout=PATIENCE) for number in numbers] == [0, 2, 4, 6, 8]
    assert isinstance(bug.exception(timeout=PATIENCE), TaskExecutionFailed)
    assert "KeyError: 'omega'" in str(bug.exception())
    wait_for(lambda: said in endpoint.log, 30)
    assert endpoint.log.count(said) == 1


def test_an_engine_that_is_misconfigured_tells_nothing(endpoint: Any, octopus: OctopusConfig) -> None:
    assert list(tasks(config=octopus)) == []
    assert "the endpoint runs without Octopus (said once)" in endpoint.log
