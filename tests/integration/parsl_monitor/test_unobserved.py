"""Workers whose environment lacks our package: their tasks run all the same."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workflow_apps as apps
from parsl.config import Config

from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler
from parsl_monitor.demo.nodes import Node, NodeLauncher, nodes_have_names

Make = Callable[..., Any]

pytestmark = pytest.mark.slow

STUB = "raise ModuleNotFoundError(f'No module named {__name__!r}', name=__name__)\n"
PACKAGES = ("octopus_plugins", "parsl_monitor")


@pytest.fixture(scope="module")
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that, first on the path, makes our packages as good as not installed."""
    site = tmp_path_factory.mktemp("bare")
    for name in PACKAGES:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(STUB, encoding="utf-8")
    return site


def configured(executor: Any, octopus: Any) -> Config:
    return Config(
        executors=[executor],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retry_handler=WrathRetryHandler(),
        retries=2,
        strategy="none",
        initialize_logging=False,
    )


@pytest.fixture(scope="module")
def told(run: Make, executor: Make, settings: Make, bare_environment: Path) -> Any:
    octopus = settings()
    path = os.pathsep.join([str(bare_environment), os.environ["PYTHONPATH"]])
    config = configured(executor("bare", workers=2, worker_init=f"export PYTHONPATH={path}"), octopus)

    def workflow() -> dict[str, Any]:
        numbers = {f"double-{number}": apps.double(number) for number in range(20)}
        return numbers | {"total": apps.total(*numbers.values()), "bug": apps.look_up("omega")}

    return run(config, workflow, octopus=octopus)


def test_all_tasks_run_and_come_to_the_right_results(told: Any) -> None:
    assert [told.outcomes[f"double-{number}"] for number in range(20)] == [2 * number for number in range(20)]
    assert told.outcomes["total"] == 380
    assert isinstance(told.outcomes["bug"], ValueError)


def test_no_task_failed_for_it(told: Any) -> None:
    assert {failure.exception.type for failure in told.failures()} == {"ValueError"}
    assert {task.try_id for name in told.outcomes if name != "bug" for task in told.tasks(name)} == {0}


def test_one_warning_names_host_executor_and_remedy(told: Any) -> None:
    (message,) = told.messages
    assert platform.node() in message
    assert "'bare'" in message
    assert "pip install 'octopus-plugins[parsl]'" in message


def test_what_the_submit_side_sees_is_told(told: Any) -> None:
    assert told.states("double-0") == ["pending", "launched", "exec_done"]
    failures = told.failures("bug")
    assert [failure.exception.message for failure in failures] == ["no parameter 'omega'"] * len(failures)
    assert told.decisions("bug")[-1].action == "terminate"
    assert [beat for beat in told.heartbeats() if beat.component == "manager"]


def test_where_only_one_node_lacks_it_the_others_are_observed(
    run: Make, executor: Make, settings: Make, bare_environment: Path
) -> None:
    if not nodes_have_names():
        pytest.skip("needs UTS namespaces: Linux, as root or with kernel.unprivileged_userns_clone=1")
    octopus = settings()
    launcher = NodeLauncher("mixed", {"0": Node(path=str(bare_environment)), "1": Node()})
    config = configured(executor("mixed", nodes=2, launcher=launcher), octopus)

    def workflow() -> dict[str, Any]:
        hosts: set[str] = set()
        while not {"mixed-0", "mixed-1"} <= hosts:
            hosts |= {future.result(timeout=150) for future in [apps.host_name(0.05) for _ in range(4)]}
        return {f"where-{number}": apps.host_name(0.3) for number in range(12)}

    told = run(config, workflow, octopus=octopus)
    assert set(told.outcomes.values()) == {"mixed-0", "mixed-1"}
    assert told.failures() == []
    assert {task.host for task in told.tasks() if task.state == "running"} == {"mixed-1"}
    (message,) = told.messages
    assert "mixed-0" in message
