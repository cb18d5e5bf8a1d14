"""Retries that go where they can succeed: nodes with names of their own, in UTS namespaces."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import parsl
import pytest
import workflow_apps as apps
from parsl.config import Config

from octopus_plugins.plugins import Plugins, hookimpl
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler
from parsl_monitor.demo.nodes import Node, NodeLauncher, nodes_have_names

Make = Callable[..., Any]

pytestmark = pytest.mark.slow

DELAY = 6.0
"""Seconds."""


@pytest.fixture(scope="module", autouse=True)
def nodes_with_names() -> None:
    if not nodes_have_names():
        pytest.skip("needs UTS namespaces: Linux, as root or with kernel.unprivileged_userns_clone=1")


@pytest.fixture(scope="module")
def module_of_one_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a module that is on the path of one node only."""
    site = tmp_path_factory.mktemp("site")
    (site / "octopus_rare_module.py").write_text("", encoding="utf-8")
    yield site


class Patient:
    """A plugin that has one app's retries wait, whatever the run can spare."""

    @hookimpl
    def octopus_decision(self, failure: Any, decision: Any) -> Any:
        waits = failure.app == "fail_until" and decision.action == "retry"
        return msgspec.structs.replace(decision, delay=DELAY) if waits else None


def patient() -> Plugins:
    plugins = Plugins()
    plugins.register(Patient(), "patient")
    return plugins


def configured(executors: list[Any], octopus: Any, **handler: Any) -> Config:
    return Config(
        executors=executors,
        monitoring=OctopusMonitoringHub(octopus=octopus, plugins=patient()),
        retry_handler=WrathRetryHandler(**handler),
        retries=4,
        strategy="none",
        initialize_logging=False,
    )


@pytest.fixture(scope="module")
def told(run: Make, executor: Make, settings: Make, module_of_one_node: Path, tmp_path_factory: Any) -> Any:
    """Two nodes of a small executor, the first of which lacks a module, and one of an executor with more memory."""
    octopus = settings()
    small = NodeLauncher("small", {"0": Node(memory=2048), "1": Node(memory=2048, path=str(module_of_one_node))})
    large = NodeLauncher("large", {"*": Node()})
    config = configured(
        [
            executor("small", nodes=2, launcher=small, mem_per_worker=2),
            executor("large", launcher=large, mem_per_worker=4),
        ],
        octopus,
        ladder=["small", "large"],
    )
    marker = str(tmp_path_factory.mktemp("marker") / "tries")
    in_force: list[float] = []

    def workflow() -> dict[str, Any]:
        # Both nodes are there before anything fails, and the app that needs the module has ended well on one.
        hosts: set[str] = set()
        while not {"small-0", "small-1"} <= hosts:
            hosts |= {future.result(timeout=150) for future in [on_small(apps.host_name)(0.05) for _ in range(4)]}
        needy = [on_small(apps.use_module)("octopus_rare_module", 0.5) for _ in range(2)]
        for future in needy:
            future.exception(timeout=150)
        more = [on_small(apps.use_module)("octopus_rare_module", 0.1) for _ in range(22)]
        futures = {f"needy-{number}": future for number, future in enumerate([*needy, *more])}
        for future in more:
            future.exception(timeout=150)
        for _ in range(40):  # what fails in a millisecond had failed before there was anything to compare with
            if is_denied("small", "small-0", "use_module"):
                break
            again = [on_small(apps.use_module)("octopus_rare_module", 0.2) for _ in range(2)]  # one for each node
            for future in again:
                future.result(timeout=150)
        in_force.append(denied_from("small", "small-0", "use_module"))
        futures["memory"] = on_small(apps.allocate)(3 << 30)
        futures["memory"].result(timeout=150)  # its retry is over on the node that the next ones need
        # On the last executor of the ladder, with its one node, there is no other place that could be tried at once.
        futures["delayed"] = on("large", apps.fail_until)(marker, 2)
        futures |= {f"beside-{number}": on("large", apps.double)(number) for number in range(4)}
        # More than a second after the denial came into force; so few that nobody starves for a second.
        futures["delayed"].result(timeout=150)
        later = {f"later-{number}": on_small(apps.use_module)("octopus_rare_module", 0.05) for number in range(3)}
        for future in later.values():
            future.exception(timeout=150)
        others = {f"other-{number}": on_small(apps.host_name)(0.3) for number in range(4)}
        return futures | later | others

    told = run(config, workflow, octopus=octopus)
    (told.in_force,) = in_force
    return told


def denied_from(executor: str, host: str, app: str) -> float:
    """Wait until those that hand out an executor's tasks are told to pass over a node; when they were, Unix seconds."""
    deadline = time.monotonic() + 60
    while not is_denied(executor, host, app):
        assert time.monotonic() < deadline, f"{host} is not denied"
        time.sleep(0.02)
    return time.time()


def is_denied(executor: str, host: str, app: str) -> bool:
    file = parsl.dfk().executors[executor]._octopus_file
    return file.exists() and host in json.loads(file.read_text(encoding="utf-8")).get("denied_for", {}).get(app, {})


def on(executor: str, app: Any) -> Any:
    from parsl import python_app

    return python_app(app.func, executors=[executor])


def on_small(app: Any) -> Any:
    return on("small", app)


def test_tasks_that_miss_a_module_succeed_on_the_node_that_has_it(told: Any) -> None:
    assert {told.outcomes[f"needy-{number}"] for number in range(24)} == {"small-1"}
    failed_on = {failure.host for failure in told.failures() if failure.categorization.category == "module_missing"}
    assert failed_on == {"small-0"}


def test_a_node_that_lacks_a_module_gets_no_further_tasks_of_the_app_that_needs_it(told: Any) -> None:
    (denial,) = [decision for decision in told.decisions() if decision.deny_hosts]
    assert (list(denial.deny_hosts), denial.deny_app) == (["small-0"], "use_module")
    assert {told.outcomes[f"later-{number}"] for number in range(3)} == {"small-1"}
    assert all(not told.failures(f"later-{number}") for number in range(3))


def test_it_gets_tasks_of_other_apps_as_ever(told: Any) -> None:
    assert {told.outcomes[f"other-{number}"] for number in range(4)} == {"small-0", "small-1"}


def test_a_task_that_needs_more_memory_goes_to_the_executor_that_has_it(told: Any) -> None:
    assert told.outcomes["memory"] == 3 << 30
    (decision,) = told.decisions("memory")
    assert (decision.category, decision.placement.executor) == ("memory_exhausted", "large")
    first, last = [task.host for task in told.tasks("memory") if task.state == "running"]
    assert first in {"small-0", "small-1"} and last == "large-0"
    # Parsl tells the end of the first try after the retry was moved: it ended where it ran all the same.
    assert {(task.try_id, task.executor) for task in told.tasks("memory")} == {(0, "small"), (1, "large")}


def test_a_delayed_retry_runs_after_its_delay(told: Any) -> None:
    assert told.outcomes["delayed"] == 2
    (decision,) = told.decisions("delayed")
    assert decision.category == "network_unreachable"
    assert decision.delay == DELAY
    first, second = (task.time for task in told.tasks("delayed") if task.state == "running")
    assert decision.delay <= second - first < decision.delay + 30


def test_what_waits_beside_a_delayed_retry_is_not_held_up(told: Any) -> None:
    (decision,) = told.decisions("delayed")
    ends = [told.tasks(f"beside-{number}")[-1].time for number in range(4)]
    assert max(ends) < decision.time + decision.delay


def test_a_retry_runs_on_another_node(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()
    launcher = NodeLauncher("pair", {"*": Node()})
    config = configured([executor("pair", nodes=2, workers=6, launcher=launcher)], octopus)  # room for all on each

    def workflow() -> dict[str, Any]:
        hosts: set[str] = set()
        while not {"pair-0", "pair-1"} <= hosts:
            hosts |= {future.result(timeout=150) for future in [apps.host_name(0.05) for _ in range(4)]}
        return {f"odd-{number}": apps.fail_once_on("pair-0", 0.3) for number in range(6)}

    told = run(config, workflow, octopus=octopus)
    assert set(told.outcomes.values()) == {"pair-1"}
    # A node that has no room at the moment is not waited for for long, so a second try may come back.
    retried = [decision for decision in told.decisions() if decision.try_id == 0]
    assert retried, "no task began on pair-0"
    assert {decision.placement.rung for decision in retried} == {"other_node"}
    assert {decision.placement.avoid_hosts for decision in retried} == {("pair-0",)}
    assert {failure.host for failure in told.failures()} == {"pair-0"}


def test_a_passive_policy_decides_and_changes_nothing(
    run: Make, executor: Make, settings: Make, module_of_one_node: Path
) -> None:
    octopus = settings()
    launcher = NodeLauncher("pair", {"0": Node(), "1": Node(path=str(module_of_one_node))})
    config = configured([executor("pair", nodes=2, launcher=launcher)], octopus, policy="published", mode="passive")

    def workflow() -> dict[str, Any]:
        hosts: set[str] = set()
        while not {"pair-0", "pair-1"} <= hosts:
            hosts |= {future.result(timeout=150) for future in [apps.host_name(0.05) for _ in range(4)]}
        return {
            "bug": apps.look_up("omega"),
            **{f"needy-{number}": apps.use_module("octopus_rare_module") for number in range(6)},
        }

    told = run(config, workflow, octopus=octopus)
    # Parsl's own four retries, all used, where an active policy like this one gives up after two tries.
    assert len(told.failures("bug")) == 5
    assert {decision.mode for decision in told.decisions()} == {"passive"}
    assert "terminate" in {decision.action for decision in told.decisions("bug")[:-1]}
    assert not list(told.run_dir.rglob("octopus-standing.json"))


def test_a_delay_needs_one_thread_however_many_wait(run: Make, executor: Make, settings: Make, tmp_path: Path) -> None:
    octopus = settings()
    policy = {"categories": {"network_unreachable": {"initial_interval": 2.0}}}
    config = configured([executor("small", workers=2)], octopus, policy=policy)
    seen: list[int] = []

    def workflow() -> dict[str, Any]:
        apps.double(1).result(timeout=150)
        before = threading.active_count()
        futures = {f"late-{number}": apps.fail_until(str(tmp_path / str(number)), 2) for number in range(20)}
        futures["after"] = apps.double(2)
        futures["after"].result(timeout=150)
        while sum((tmp_path / str(number)).exists() for number in range(20)) < 20:
            apps.double(0).result(timeout=150)
        seen.append(threading.active_count() - before)
        return futures

    told = run(config, workflow, octopus=octopus)
    assert [told.outcomes[f"late-{number}"] for number in range(20)] == [2] * 20
    assert seen[0] <= 1
