from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from globus_compute_hooks.endpoint.options import EngineOptions
from octopus_plugins.errors import ConfigError


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_no_block_is_an_empty_one() -> None:
    options = EngineOptions.of(None)
    assert (options.heartbeat_period, options.sample_period, options.policy.mode) == (10.0, 1.0, "active")


def test_settings_of_the_fabric_stand_in_the_same_block() -> None:
    options = EngineOptions.of({"profile": "kafka", "bootstrap_servers": "127.0.0.1:9092", "namespace": "site"})
    assert (options.config.profile, options.config.servers, options.config.namespace) == (
        "kafka",
        "127.0.0.1:9092",
        "site",
    )


def test_a_policy_is_a_file_or_what_one_would_hold(tmp_path: Path) -> None:
    file = tmp_path / "gentle.toml"
    file.write_text("[categories.worker_lost]\nmaximum_attempts = 2\n")
    assert EngineOptions.of({"policy": str(file), "mode": "passive"}).policy.name == "gentle"
    inline = EngineOptions.of({"policy": {"categories": {"worker_lost": {"maximum_attempts": 2}}}})
    assert inline.policy.name == "default"


def test_only_a_policy_of_the_owner_s_goes_beyond_the_host_s_own_number_of_retries(tmp_path: Path) -> None:
    file = tmp_path / "generous.toml"
    file.write_text("[budgets]\noutside = 3\n")
    gentle = {"categories": {"worker_lost": {"maximum_attempts": 2}}}
    for source, budget in ((None, 0), (gentle, 0), ("published", 0), (str(file), 3), ({"budgets": {"outside": 4}}, 4)):
        assert EngineOptions.of({"policy": source}).policy.budgets == {"outside": budget}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"heartbeat_perod": 5}, "engine.octopus.heartbeat_perod: .* did you mean 'heartbeat_period'"),
        ({"heartbeat_period": "often"}, "engine.octopus.heartbeat_period = 'often': must be seconds"),
        ({"sample_period": -1}, "engine.octopus.sample_period = -1: must be seconds"),
        ({"sample_period": True}, "engine.octopus.sample_period = True: must be seconds"),
        ({"mode": "pasive"}, "engine.octopus.mode = 'pasive': must be one of active, passive"),
        ({"policy": "/no/such.toml"}, "engine.octopus.policy: /no/such.toml: the policy cannot be read"),
        ({"policy": 7}, "engine.octopus.policy = 7: must be the name of a TOML file"),
        ({"policy": {"categories": {"worker_last": {}}}}, "worker_last: no such category; did you mean 'worker_lost'"),
        ({"bootstrap_servers": "nowhere"}, "engine.octopus: bootstrap_servers .*'nowhere' is not host:port"),
        ("kafka", "engine.octopus = 'kafka': must be a mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_value(block: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EngineOptions.of(block)


def test_a_password_is_not_shown() -> None:
    options = EngineOptions.of(
        {
            "profile": "kafka",
            "bootstrap_servers": "127.0.0.1:9092",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "ada",
            "sasl_password": "lovelace",
        }
    )
    assert "lovelace" not in repr(options)
