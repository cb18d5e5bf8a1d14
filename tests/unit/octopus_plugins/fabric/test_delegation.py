"""Leave to produce, as it is handed to nodes: what it holds, and what becomes of events where it is of no use."""

from __future__ import annotations

import pickle
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError
from octopus_plugins.events import ResourceSamples, TrySample, Usage
from octopus_plugins.fabric.kafka.delegation import Deputy, Grant, grant

TRIES = tuple(TrySample(task_id=str(number), sequence=3, usage=Usage(time=1.0)) for number in range(2))
SAMPLES = ResourceSamples(run_id="run", time=1.0, host="node", tries=TRIES)


def load(**settings: Any) -> OctopusConfig:
    return OctopusConfig.load(**{"profile": "kafka", "namespace": "me", "bootstrap_servers": "127.0.0.1:9", **settings})


def unwanted() -> None:
    raise AssertionError("what was not taken is not given back")


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def granted(port: int, **changes: Any) -> Grant:
    options = {"bootstrap.servers": f"127.0.0.1:{port}", "security.protocol": "PLAINTEXT"}
    return Grant(**{"namespace": "me", "options": options, "max_event_bytes": 10_000, **changes})


def test_brokers_that_ask_for_nothing_need_no_token() -> None:
    given = grant(load())
    assert (given.namespace, given.token, given.expires) == ("me", None, None)
    assert given.options["bootstrap.servers"] == "127.0.0.1:9"
    assert given.is_good(time.time())


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_password_is_not_handed_on(mechanism: str) -> None:
    config = load(sasl_mechanism=mechanism, sasl_username="me", sasl_password="canary-password")
    with pytest.raises(CredentialsError, match=r"sasl\.password, which never ends and is not handed to nodes") as info:
        grant(config)
    assert "canary" not in str(info.value)


def test_a_client_key_is_not_handed_on(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"ssl\.key\.location"):
        grant(load(ssl_certificate_location=str(tmp_path / "me.pem"), ssl_key_location=str(tmp_path / "me.key")))


def test_the_authoritys_certificate_travels_with_it(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    given = grant(load(ssl_ca_location=str(tmp_path / "ca.pem")))
    assert given.options["ssl.ca.pem"] == "-----BEGIN CERTIFICATE-----"
    assert "ssl.ca.location" not in given.options


def test_a_token_is_not_shown() -> None:
    assert "canary-token" not in repr(granted(9, token="canary-token", expires=1.0))


def test_nothing_is_taken_without_a_grant_or_with_one_that_has_ended() -> None:
    deputy = Deputy()
    assert not deputy.send(SAMPLES, unwanted)
    deputy.renew(granted(9, token="t", expires=time.time() - 1))
    assert not deputy.send(SAMPLES, unwanted)


def test_an_event_that_is_too_large_is_not_taken(closed_port: int) -> None:
    deputy = Deputy()
    deputy.renew(granted(closed_port, max_event_bytes=10))
    assert not deputy.send(SAMPLES, unwanted)
    deputy.close(0)


def test_what_no_broker_takes_is_given_back_and_the_next_is_not_taken(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octopus_plugins.fabric.kafka.delegation._TIMEOUT_SECONDS", 0.5)
    given = threading.Event()
    deputy = Deputy()
    deputy.renew(granted(closed_port))
    assert deputy.send(SAMPLES, given.set)
    assert given.wait(30)
    assert (deputy.delivered, deputy.returned, deputy.weighed) == (0, 2, 0.0)
    assert deputy.error
    # Each event would be late by the time-out: for a while they go the other way at once.
    assert not deputy.send(SAMPLES, unwanted)
    deputy.close(0)


def test_nothing_is_given_back_after_the_close(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A pool that ends reads its queue no more: what is put there would keep its process from ending.
    monkeypatch.setattr("octopus_plugins.fabric.kafka.delegation._TIMEOUT_SECONDS", 0.5)
    back: list[str] = []
    deputy = Deputy()
    deputy.renew(granted(closed_port))
    assert deputy.send(SAMPLES, lambda: back.append("samples"))
    deputy.close(20)
    assert (deputy.returned, back) == (2, [])


def test_a_grant_can_be_pickled_as_it_travels() -> None:
    given = granted(9, token="t", expires=5.0)
    assert pickle.loads(pickle.dumps(given)) == given


def test_settings_that_no_client_takes_are_tried_once_in_a_while(closed_port: int) -> None:
    deputy = Deputy()
    deputy.renew(granted(closed_port, options={"no.such.setting": "1"}))
    assert not deputy.send(SAMPLES, unwanted)
    assert "no.such.setting" in str(deputy.error)
    deputy.error = None
    assert not deputy.send(SAMPLES, unwanted)
    assert deputy.error is None  # it was not even tried
