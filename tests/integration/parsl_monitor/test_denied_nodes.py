"""What denying a node may cost a run: two nodes with names of their own, whatever the policy thinks of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import pytest
import workflow_apps as apps
from parsl.config import Config

from octopus_plugins.htex.interchange.selector import HostStanding, publish
from octopus_plugins.htex.placement_hints import AVOID_IDLE_SECONDS
from octopus_plugins.htex.steering import SteeredSpecification, Steering
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler
from parsl_monitor.demo.nodes import Node, NodeLauncher, nodes_have_names

Make = Callable[..., Any]

pytestmark = pytest.mark.slow

IDLE = 10.0
"""Seconds for which a node may be idle while tasks wait."""


@pytest.fixture(scope="module", autouse=True)
def nodes_with_names() -> None:
    if not nodes_have_names():
        pytest.skip("needs UTS namespaces: Linux, as root or with kernel.unprivileged_userns_clone=1")


@pytest.fixture
def pair(run: Make, executor: Make, settings: Make) -> Callable[..., Any]:
    """Run a workflow on two nodes of one worker each; called with it once both are there."""

    def go(workflow: Callable[[Any], dict[str, Any]]) -> Any:
        octopus = settings()
        config = Config(
            executors=[executor("pair", nodes=2, launcher=NodeLauncher("pair", {"*": Node()}))],
            monitoring=OctopusMonitoringHub(octopus=octopus),
            retry_handler=WrathRetryHandler(),
            retries=3,
            strategy="none",
            initialize_logging=False,
        )

        def begin() -> dict[str, Any]:
            hosts: set[str] = set()
            while not {"pair-0", "pair-1"} <= hosts:
                hosts |= {future.result(timeout=150) for future in [apps.host_name(0.05) for _ in range(4)]}
            return workflow(parsl.dfk().executors["pair"])

        return run(config, begin, octopus=octopus)

    return go


def deny(executor: Any, **standing: Any) -> float:
    """Tell the interchange itself, which looks twenty times a second; as nothing fails, nobody tells it otherwise."""
    publish(executor._octopus_file, HostStanding(**standing))
    return time.time()


def places(told: Any, prefix: str) -> list[tuple[str, float, float]]:
    return [outcome for name, outcome in told.outcomes.items() if name.startswith(prefix)]


def longest_idle(found: list[tuple[str, float, float]], host: str, begin: float) -> float:
    """The longest time for which a node stood idle before the last task that waited began anywhere."""
    last = max(start for _, start, _ in found)
    mine = sorted((start, end) for name, start, end in found if name == host)
    free = [begin, *(end for _, end in mine)]
    return max(
        min(until, last) - since for since, until in zip(free, [*(start for start, _ in mine), last], strict=True)
    )


def test_a_denied_node_works_while_no_other_has_room_and_what_it_was_kept_idle_for_is_told(pair: Make) -> None:
    in_force: list[float] = []

    def workflow(executor: Any) -> dict[str, Any]:
        in_force.append(deny(executor, denied={"pair-0": time.time() + 600}))
        return {f"task-{number}": apps.say_where(0.4) for number in range(40)}

    told = pair(workflow)
    found = places(told, "task")
    on_denied = [place for place in found if place[0] == "pair-0"]
    assert on_denied, "the denied node got nothing"
    assert len(on_denied) < len(found) / 2
    assert longest_idle(found, "pair-0", in_force[0]) < IDLE
    (cost,) = [message for message in told.messages if "slot-seconds" in message]
    assert "Denying node pair-0 kept" in cost


def test_what_one_app_is_denied_another_gets_at_once(pair: Make) -> None:
    in_force: list[float] = []

    def workflow(executor: Any) -> dict[str, Any]:
        in_force.append(deny(executor, denied_for={"say_where": {"pair-0": time.time() + 600}}))
        slow = {f"slow-{number}": apps.say_where(1.0) for number in range(12)}
        return slow | {f"other-{number}": apps.say_where_too(0.2) for number in range(8)}

    told = pair(workflow)
    others, slow = places(told, "other"), places(told, "slow")
    assert {host for host, *_ in others} == {"pair-0"}
    assert max(end for *_, end in others) < max(start for _, start, _ in slow)
    assert [host for host, *_ in slow].count("pair-1") > len(slow) / 2
    assert longest_idle(others + slow, "pair-0", in_force[0]) < IDLE


def test_where_all_nodes_are_denied_all_work(pair: Make) -> None:
    def workflow(executor: Any) -> dict[str, Any]:
        until = time.time() + 600
        deny(executor, denied={"pair-0": until}, denied_for={"say_where": {"pair-1": until}})
        return {f"task-{number}": apps.say_where(0.5) for number in range(10)}

    told = pair(workflow)
    hosts = [host for host, *_ in places(told, "task")]
    assert min(hosts.count(host) for host in ("pair-0", "pair-1")) >= 3
    assert not [message for message in told.messages if "slot-seconds" in message]


def test_a_retry_does_not_wait_long_beside_an_idle_node_that_it_avoids(pair: Make, tmp_path: Path) -> None:
    begin: list[float] = []
    done = tmp_path / "done"

    def workflow(executor: Any) -> dict[str, Any]:
        busy = apps.work_on(str(tmp_path), 0.0, until=str(done))
        deadline = time.monotonic() + 60
        while not (begun := list(tmp_path.glob("pair-*"))):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (idle,) = {"pair-0", "pair-1"} - {begun[0].name.partition("@")[0]}
        begin.append(time.time())
        wish = SteeredSpecification({}, Steering(avoid_hosts=(idle,)))
        retry = executor.submit(apps.say_where.func, wish, 0.0)
        retry.add_done_callback(lambda _: done.touch())
        return {"busy": busy, "retry": retry}

    told = pair(workflow)
    host, start, _ = told.outcomes["retry"]
    assert host != told.outcomes["busy"]
    assert AVOID_IDLE_SECONDS - 0.5 < start - begin[0] < IDLE


def test_a_user_s_retry_handler_sees_what_parsl_shows_it(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()
    seen: list[tuple[bool, str, dict[str, Any]]] = []

    def own(error: Exception, record: Any) -> float:
        specification = record["resource_specification"]
        seen.append((isinstance(specification, dict), repr(specification), dict(specification)))
        return 1.0

    config = Config(
        executors=[executor("pair", workers=2)],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retry_handler=WrathRetryHandler(retry_handler=own),
        retries=3,
        strategy="none",
        initialize_logging=False,
    )

    def workflow() -> dict[str, Any]:
        specifications: tuple[dict[str, Any], ...] = ({"priority": 7}, {})
        return {
            f"task-{number}": apps.fail_always(parsl_resource_specification=specification)
            for number, specification in enumerate(specifications)
        }

    told = run(config, workflow, octopus=octopus)
    assert {type(outcome) for outcome in told.outcomes.values()} == {RuntimeError}
    shown = [specification for _, _, specification in seen]
    assert all(is_dict and text == repr(specification) for is_dict, text, specification in seen)
    assert all(specification in ({}, {"priority": 7}) for specification in shown)
    assert shown.count({"priority": 7}) >= 2, "it was not retried"
    assert shown.count({}) >= 2, "it was not retried"
