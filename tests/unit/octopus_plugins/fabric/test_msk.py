from __future__ import annotations

import json
import logging
import pickle
import time
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError
from octopus_plugins.fabric import kafka_options
from octopus_plugins.fabric.octopus import msk
from octopus_plugins.fabric.octopus.keys import Key, key_path
from octopus_plugins.fabric.octopus.secret_files import write_secret

KEY = {
    "version": 1,
    "subject": "11111111-2222-3333-4444-555555abcdef",
    "username": "alice@example.org",
    "namespace": "ns-555555abcdef",
    "environment": "production",
    "endpoint": "b-1.example.org:9198",
    "created": "2026-01-01",
    "access_key": "AKIAOLD",
    "secret_key": "canary-old",
    "expires": None,
}


def keep(config: OctopusConfig, **changes: Any) -> None:
    write_secret(key_path(config), json.dumps({**KEY, **changes}).encode())


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OctopusConfig:
    monkeypatch.setattr(msk, "_told", {})
    directory = tmp_path / "credentials"
    keep(OctopusConfig(profile="octopus", credentials_dir=directory))
    return OctopusConfig(profile="octopus", credentials_dir=directory)


def signer(token: str) -> str:
    import base64
    from urllib.parse import parse_qs, urlsplit

    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    return parse_qs(urlsplit(url).query)["X-Amz-Credential"][0]


def test_the_brokers_are_those_of_the_login_and_reached_over_tls_with_tokens(config: OctopusConfig) -> None:
    options = kafka_options(config)
    source = options.pop("oauth_cb")
    assert options == {
        "bootstrap.servers": "b-1.example.org:9198",
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "OAUTHBEARER",
        "ssl.ca.location": "probe",
    }
    token, expires = source("")
    assert signer(token).startswith("AKIAOLD/")
    assert "/us-east-1/kafka-cluster/" in signer(token)
    assert 800 < expires - time.time() <= 900  # seconds, where the signer counts milliseconds


def test_settings_say_otherwise(config: OctopusConfig) -> None:
    other = config.model_copy(
        update={"bootstrap_servers": "a.example.org:1", "region": "eu-west-3", "ssl_ca_location": "/ca.pem"}
    )
    options = kafka_options(other)
    assert options["bootstrap.servers"] == "a.example.org:1"
    assert options["ssl.ca.location"] == "/ca.pem"
    assert "/eu-west-3/" in signer(options["oauth_cb"]("")[0])


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT"])
def test_a_token_is_never_sent_in_clear_text_over_a_network(config: OctopusConfig, protocol: str) -> None:
    update = {"security_protocol": protocol, "allow_plaintext": True}
    with pytest.raises(CredentialsError, match=f"is reached by SASL_SSL only, not by {protocol}"):
        kafka_options(config.model_copy(update=update))
    if protocol == "SASL_PLAINTEXT":
        local = config.model_copy(update={**update, "bootstrap_servers": "127.0.0.1:1"})
        assert kafka_options(local)["security.protocol"] == protocol


def test_a_token_does_not_outlive_its_key() -> None:
    soon = time.time() + 60
    key = Key(**{name: value for name, value in {**KEY, "expires": soon}.items() if name != "version"})
    assert msk.sign(key, "us-east-1")[1] == soon


def test_the_key_is_read_anew_when_its_file_changes(config: OctopusConfig) -> None:
    source = msk.TokenSource(config)
    assert signer(source("")[0]).startswith("AKIAOLD/")
    keep(config, access_key="AKIANEW")
    assert signer(source("")[0]).startswith("AKIANEW/")


def test_what_is_wrong_is_raised_each_time_and_logged_once(
    config: OctopusConfig, caplog: pytest.LogCaptureFixture
) -> None:
    source = msk.TokenSource(config)
    key_path(config).unlink()
    for _ in range(3):
        with pytest.raises(CredentialsError, match=r"nobody is logged in .* `octopus login`"):
            source("")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    keep(config)
    assert source("")
    key_path(config).unlink()
    with pytest.raises(CredentialsError):
        source("")
    assert len(caplog.records) == 2


def test_no_surprise_of_the_signer_ends_the_process_or_tells_the_key(
    config: OctopusConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def surprise(key: Key, region: str) -> None:
        raise RuntimeError(f"cannot sign with {key.secret_key}")

    monkeypatch.setattr(msk, "sign", surprise)
    with pytest.raises(
        CredentialsError, match=r"no token for the Octopus brokers could be made \(RuntimeError\)"
    ) as caught:
        msk.TokenSource(config)("")
    assert "canary" not in f"{caught.value} {caught.value.__cause__}"
    assert "canary" not in caplog.text


def test_the_source_shows_no_key_and_is_pickled_without_it(config: OctopusConfig) -> None:
    source = msk.TokenSource(config)
    source("")
    assert "canary" not in repr(source)
    assert b"canary" not in pickle.dumps(source)


def test_signing_leaves_no_signature_in_the_debug_log(config: OctopusConfig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("botocore.auth").setLevel(logging.DEBUG)
    msk.TokenSource(config)("")
    assert "Signature" not in caplog.text
    logging.getLogger("botocore.auth").debug("still heard")
    assert "still heard" in caplog.text


def test_nothing_is_looked_up_in_the_environment_or_in_the_files_of_aws(
    config: OctopusConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFOREIGN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "foreign")
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    assert signer(msk.TokenSource(config)("")[0]).startswith("AKIAOLD/")
