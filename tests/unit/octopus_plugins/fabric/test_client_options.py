from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError
from octopus_plugins.fabric import kafka_options


def options(server: str = "kafka.example.org:9092", **settings: Any) -> dict[str, Any]:
    return kafka_options(OctopusConfig(profile="kafka", bootstrap_servers=server, **settings))


@pytest.mark.parametrize("server", ["127.0.0.1:9092", "localhost:9092", "[::1]:9092", "127.0.0.1:1,localhost:2"])
def test_clear_text_is_fine_on_this_machine(server: str) -> None:
    assert options(server) == {"bootstrap.servers": server, "security.protocol": "PLAINTEXT"}


@pytest.mark.parametrize("server", ["kafka.example.org:9092", "127.0.0.1:1,kafka.example.org:2"])
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_clear_text_over_a_network_must_be_asked_for(server: str, protocol: str) -> None:
    with pytest.raises(CredentialsError, match="allow_plaintext"):
        options(server, security_protocol=protocol)
    assert options(server, allow_plaintext=True)["security.protocol"] == "PLAINTEXT"


def test_a_password_goes_over_tls_unless_told_otherwise() -> None:
    found = options(sasl_mechanism="SCRAM-SHA-512", sasl_username="alice", sasl_password="secret")
    assert found == {
        "bootstrap.servers": "kafka.example.org:9092",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": "probe",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "alice",
        "sasl.password": "secret",
    }


def test_mutual_tls_takes_certificate_key_and_authority() -> None:
    found = options(ssl_ca_location="/ca.pem", ssl_certificate_location="/me.pem", ssl_key_location="/me.key")
    assert found["security.protocol"] == "SSL"
    assert found["ssl.ca.location"] == "/ca.pem"
    assert (found["ssl.certificate.location"], found["ssl.key.location"]) == ("/me.pem", "/me.key")


def test_half_of_a_client_certificate_is_an_error_that_names_the_settings() -> None:
    with pytest.raises(CredentialsError, match="ssl_certificate_location and ssl_key_location"):
        options(ssl_key_location="/me.key", security_protocol="SSL")


def test_a_missing_password_is_named_and_a_given_one_is_never_shown() -> None:
    with pytest.raises(CredentialsError, match="OCTOPUS_SASL_PASSWORD") as caught:
        options(security_protocol="SASL_SSL", sasl_username="alice", sasl_mechanism="PLAIN")
    assert "alice" not in str(caught.value)
    config = OctopusConfig(profile="kafka", bootstrap_servers="a:1", sasl_password=SecretStr("hunter2"))
    assert "hunter2" not in f"{config!r} {config}"


def test_a_password_is_neither_shown_in_an_error_nor_pickled() -> None:
    with pytest.raises(ValueError, match="sasl_password") as caught:
        OctopusConfig(profile="kafka", sasl_password=["hunter2"])  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)
    config = OctopusConfig(profile="kafka", bootstrap_servers="a:1", sasl_password=SecretStr("hunter2"))
    assert b"hunter2" not in pickle.dumps(config)
    assert pickle.loads(pickle.dumps(config)) == config.model_copy(update={"sasl_password": None})


def test_nobody_logged_in_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="log in with `octopus login`"):
        kafka_options(OctopusConfig(profile="octopus", credentials_dir=tmp_path))
