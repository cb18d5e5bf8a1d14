"""What is changed in the host's executor, and what is left as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from globus_compute_endpoint.engines import GlobusComputeEngine
from parsl.launchers import WrappedLauncher
from parsl.providers import LocalProvider

from globus_compute_hooks.endpoint.htex import POOL, SteeredExecutor
from globus_compute_hooks.endpoint.session import for_endpoint
from octopus_plugins.events import Placement
from octopus_plugins.htex.observation import WATCHED, Settings
from octopus_plugins.htex.placement_hints import AVOID, AVOID_BLOCKS
from octopus_plugins.htex.steering import steering_of
from octopus_plugins.wrath import Category, Policy, Standing

SETTINGS = Settings("run", "endpoint", 1.0, 10.0)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def make(**options: Any) -> tuple[Any, SteeredExecutor, list[dict[str, Any]]]:
        engine = GlobusComputeEngine(address="127.0.0.1", encrypted=False, **options)
        given: list[dict[str, Any]] = []
        engine.executor.submit_payload = lambda context, buffer: given.append(context)
        return engine, SteeredExecutor(engine, SETTINGS, tmp_path / "standing.json"), given

    return make


def test_the_host_s_own_pool_stands_behind_ours(make: Any) -> None:
    engine, _, _ = make()
    command = engine.executor.launch_cmd
    assert command.startswith('sh -c "python3 -m octopus_plugins.htex.pool.launch --probe=globus-compute-endpoint ')
    assert f"; exec {POOL} " in command


@pytest.mark.parametrize(
    "options",
    [
        {"container_type": "docker", "container_uri": "image"},
        {"provider": LocalProvider(launcher=WrappedLauncher("ssh node"))},
        {"launch_cmd": "my_pool.py {debug}"},
    ],
)
def test_pools_that_are_started_another_way_are_left_alone(make: Any, options: dict[str, Any]) -> None:
    engine, steered, _ = make(**options)
    assert "octopus_plugins" not in engine.executor.launch_cmd
    assert steered.steerable


def test_a_retry_carries_its_wishes_and_goes_first_unless_the_user_said_otherwise(make: Any) -> None:
    _, steered, given = make()
    steering = steering_of(Placement(rung="other_block", avoid_hosts=("n1",), avoid_blocks=("0",)))
    engine_context = {"task_executor": {"f": "f"}, "resource_spec": {"priority": 7}}
    with steered.submitting(3, steering, 100.0):
        steered._submit_payload({"task_executor": {"f": "f"}}, b"")
        steered._submit_payload(engine_context, b"")
    steered._submit_payload(engine_context, b"")
    first, second, plain = given
    assert (first[AVOID], first[AVOID_BLOCKS], first[WATCHED]) == ((("n1",), 160.0), (("0",), 160.0), (3, None))
    assert (first["resource_spec"], second["resource_spec"]) == ({"priority": 0}, {"priority": 7})
    assert plain == engine_context


def test_the_interchange_reads_how_the_nodes_stand(make: Any, tmp_path: Path) -> None:
    engine, steered, _ = make()
    steered.steer(Standing(denied={"n1": 4e9}))
    assert engine.executor.manager_selector.shunned().denied == {"n1"}


def test_a_policy_names_blocks_where_an_endpoint_has_no_other_executor() -> None:
    policy = for_endpoint(Policy(ladder=("a", "b")))
    assert policy.entry(Category.worker_lost).rungs == ("other_node", "other_block", "same_node")
    assert policy.entry(Category.block_failed).rungs == ("other_block", "other_node", "same_node")
    assert policy.entry(Category.executor_bad_state).rungs == ("other_block",)
    assert not policy.breaker.enabled
    assert for_endpoint(policy) == policy
