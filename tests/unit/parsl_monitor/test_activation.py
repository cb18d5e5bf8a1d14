from __future__ import annotations

import math
from typing import Any

import pytest
from globus_compute_sdk import Executor
from globus_compute_sdk.sdk.asynchronous.compute_future import ComputeFuture
from parsl.config import Config
from parsl.executors import GlobusComputeExecutor, HighThroughputExecutor, ThreadPoolExecutor
from parsl.monitoring import MonitoringHub
from parsl.monitoring.radios.filesystem import FilesystemRadio
from parsl.monitoring.radios.htex import HTEXRadio
from parsl.monitoring.radios.udp import UDPRadio

from octopus_plugins.errors import ConfigError, PolicyError
from parsl_monitor import OctopusHighThroughputExecutor, OctopusMonitoringHub, OctopusRadio, WrathRetryHandler
from parsl_monitor.activation import disable, enable
from parsl_monitor.executor import ObservedExecutor
from parsl_monitor.run.globus_compute import ComputeExecutor, labels_of


class Special(HighThroughputExecutor):
    """A user's own executor."""

    def site(self) -> str:
        return f"special {self.label}"


@pytest.fixture
def config() -> Config:
    return Config(
        executors=[
            HighThroughputExecutor(label="plain", address="127.0.0.1", max_workers_per_node=3),
            Special(label="special", address="127.0.0.1"),
            ThreadPoolExecutor(label="threads"),
        ],
        retries=3,
    )


def state(config: Config) -> dict[str, Any]:
    """Everything of a configuration that enable could have changed."""
    return {
        **{name: value for name, value in vars(config).items() if name != "_executors"},
        "executors": [
            (id(executor), type(executor), {**vars(executor), "radio": executor.remote_monitoring_radio})
            for executor in config.executors
        ],
    }


def test_enable_changes_the_configuration_it_is_given_and_returns_it(config: Config) -> None:
    assert enable(config) is config
    assert isinstance(config.monitoring, OctopusMonitoringHub)
    assert isinstance(config.retry_handler, WrathRetryHandler)
    assert config.retries == 3


def test_enable_makes_executors_observed_and_leaves_them_what_they_were(config: Config) -> None:
    plain, special, threads = config.executors
    enable(config, sample_period=0.5, heartbeat_period=2.5)
    assert isinstance(plain, ObservedExecutor) and isinstance(plain, HighThroughputExecutor)
    assert vars(plain)["max_workers_per_node"] == 3
    assert isinstance(special, ObservedExecutor) and isinstance(special, Special)
    assert special.site() == "special special"
    assert type(threads) is ThreadPoolExecutor
    for executor in (plain, special):
        radio = executor.remote_monitoring_radio
        assert isinstance(radio, OctopusRadio)
        assert (radio.sample_period, radio.heartbeat_period) == (0.5, 2.5)


def test_enable_ties_tasks_at_globus_compute_to_theirs_and_disable_undoes_it() -> None:
    made: list[Any] = []

    class Sdk(Executor):  # type: ignore[misc]
        def __init__(self) -> None:
            self.resource_specification, self.user_endpoint_config = None, None

        @property
        def endpoint_id(self) -> str:
            return "e0"

        def submit(self, *arguments: Any, **options: Any) -> ComputeFuture:
            made.append(ComputeFuture())
            return made[-1]

    site = GlobusComputeExecutor(Sdk(), label="site")
    config = enable(Config(executors=[site]))
    hub = config.monitoring
    assert isinstance(hub, OctopusMonitoringHub) and isinstance(site, ComputeExecutor)
    assert site.submit(len, {}, "x") is made[0]
    attempt = hub.attempts.claim("7", 0, "site")
    assert labels_of(attempt) == {"endpoint_id": "e0"}, "its batch is not sent yet, and nobody waits for it"
    made[0].task_id = "c7"
    assert labels_of(attempt) == {"endpoint_id": "e0", "compute_task_id": "c7"}
    disable(config)
    assert type(site) is GlobusComputeExecutor


@pytest.mark.parametrize("node_agent", [True, False, None])
def test_enable_says_whether_pools_have_a_node_agent(config: Config, node_agent: bool | None) -> None:
    enable(config, node_agent=node_agent)
    assert [executor.node_agent for executor in config.executors[:2]] == [node_agent] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("revive", [True, False])
def test_enable_says_whether_lost_blocks_are_replaced(config: Config, revive: bool) -> None:
    enable(config, revive=revive)
    assert [executor.revive for executor in config.executors[:2]] == [revive, revive]  # type: ignore[attr-defined]
    assert OctopusHighThroughputExecutor(address="127.0.0.1", revive=revive).revive is revive


def test_enabling_twice_changes_nothing_more(config: Config) -> None:
    enable(config)
    before = state(config)
    enable(config)
    assert state(config) == before
    enable(enable(config, policy="published"), policy="published")
    assert config.retry_handler.policy.name == "published"  # type: ignore[union-attr]
    enable(config)  # as a library does that cannot know
    assert config.retry_handler.policy.name == "published"  # type: ignore[union-attr]


def test_enabling_with_other_arguments_puts_them_in_the_place_of_the_first_ones(config: Config) -> None:
    bare = state(config)
    enable(config, policy="published", sample_period=9)
    enable(config, ladder=["large"])
    assert config.retry_handler.policy.name == "default"  # type: ignore[union-attr]
    assert config.retry_handler.policy.ladder == ("large",)  # type: ignore[union-attr]
    with pytest.raises(PolicyError):
        enable(config, policy={"modes": "active"})
    assert config.retry_handler.policy.ladder == ("large",)  # type: ignore[union-attr]
    assert state(disable(config)) == bare


def test_arguments_of_a_configuration_that_is_loaded_cannot_be_changed(config: Config) -> None:
    enable(config, ladder=["large"])
    config.monitoring.monitoring_hub_active = True  # type: ignore[union-attr]
    with pytest.raises(
        ConfigError, match=r"is loaded with ladder=\['large'\]; enable a new Config with mode='passive'"
    ):
        enable(config, mode="passive")
    assert enable(config, ladder=["large"]) is config


def test_arguments_for_a_hub_or_a_handler_that_are_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="has a WrathRetryHandler; give ladder=, policy= to it"):
        enable(
            Config(executors=[ThreadPoolExecutor()], retry_handler=WrathRetryHandler()),
            policy="published",
            ladder=["large"],
        )
    with pytest.raises(ConfigError, match="has an OctopusMonitoringHub; give listen= to it"):
        enable(Config(executors=[ThreadPoolExecutor()], monitoring=OctopusMonitoringHub()), listen=False)


def test_disable_puts_everything_back(config: Config) -> None:
    before = state(config)
    disable(enable(config))
    assert state(config) == before


def test_disabling_what_was_not_enabled_changes_nothing(config: Config) -> None:
    before = state(config)
    assert disable(config) is config
    assert state(config) == before


def test_it_can_be_enabled_again_after_it_was_disabled(config: Config) -> None:
    enable(disable(enable(config)))
    assert isinstance(config.executors[0], ObservedExecutor)
    assert [type(executor).__mro__.count(ObservedExecutor) for executor in config.executors[:2]] == [1, 1]


def test_a_radio_that_the_user_chose_stays_where_parsl_s_own_monitoring_uses_it(config: Config) -> None:
    chosen = UDPRadio(address="127.0.0.1")
    config.monitoring = OctopusMonitoringHub(logging_endpoint="sqlite://")
    config.executors[0].remote_monitoring_radio = chosen
    enable(config)
    assert config.executors[0].remote_monitoring_radio is chosen


def test_a_radio_that_would_start_a_process_for_nothing_is_replaced_until_disable(config: Config) -> None:
    chosen = UDPRadio(address="127.0.0.1"), FilesystemRadio()
    config.executors[0].remote_monitoring_radio, config.executors[2].remote_monitoring_radio = chosen
    enable(config)
    for executor in (config.executors[0], config.executors[2]):
        assert isinstance(executor.remote_monitoring_radio, OctopusRadio)
    disable(config)
    assert (config.executors[0].remote_monitoring_radio, config.executors[2].remote_monitoring_radio) == chosen


def test_an_executor_of_ours_stays_as_it_is() -> None:
    ours = OctopusHighThroughputExecutor(label="ours", address="127.0.0.1", sample_period=7.0)
    enable(Config(executors=[ours]))
    assert type(ours) is OctopusHighThroughputExecutor
    assert ours.remote_monitoring_radio.sample_period == 7.0


def test_a_retry_handler_that_is_set_keeps_the_last_word() -> None:
    def own(error: Exception, task: Any) -> float:
        return 2.0

    config = enable(Config(executors=[ThreadPoolExecutor()], retry_handler=own))
    assert isinstance(config.retry_handler, WrathRetryHandler)
    assert config.retry_handler.retry_handler is own


def test_a_handler_and_a_hub_of_ours_stay() -> None:
    hub, handler = OctopusMonitoringHub(), WrathRetryHandler()
    config = Config(executors=[ThreadPoolExecutor()], monitoring=hub, retry_handler=handler)
    enable(config)
    assert config.monitoring is hub and config.retry_handler is handler
    disable(config)
    assert config.monitoring is hub and config.retry_handler is handler


def test_a_hub_of_parsl_s_is_refused_with_the_way_out_and_nothing_is_changed() -> None:
    config = Config(
        executors=[HighThroughputExecutor(address="127.0.0.1")], monitoring=MonitoringHub(logging_endpoint="sqlite://")
    )
    before = state(config)
    with pytest.raises(ConfigError, match="logging_endpoint"):
        enable(config)
    assert state(config) == before


def test_a_wrong_policy_is_refused_and_nothing_is_changed(config: Config) -> None:
    before = state(config)
    with pytest.raises(PolicyError, match="modes"):
        enable(config, policy={"modes": "active"})
    assert state(config) == before


def test_wrong_periods_are_refused_and_nothing_is_changed(config: Config) -> None:
    before = state(config)
    for value in (-1, "10s", None, True, math.nan):
        with pytest.raises(ConfigError, match=r"sample_period=.* must be a number of seconds"):
            enable(config, sample_period=value)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="speculate='yes': must be True or False"):
        enable(config, speculate="yes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"must be a parsl.Config"):
        enable(None)  # type: ignore[arg-type]
    assert state(config) == before


def test_parsl_s_default_radio_is_the_one_that_is_replaced() -> None:
    assert type(HighThroughputExecutor(address="127.0.0.1").remote_monitoring_radio) is HTEXRadio
