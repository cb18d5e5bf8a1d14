from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins.config import OctopusConfig

from ..standin.gate import GatedBroker
from ..standin.globus import Person, StandinGlobus
from ..standin.service import StandinService


@pytest.fixture
def globus(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandinGlobus]:
    """Globus Auth, where alice logs in."""
    for name in ("DIASPORA_SDK_CLIENT_ID", "DIASPORA_SDK_CLIENT_SECRET", "DIASPORA_SDK_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    with StandinGlobus(Person("alice@example.org")) as globus:
        yield globus


@pytest.fixture
def service(globus: StandinGlobus, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandinService]:
    """The web service without brokers; profile octopus points at it."""
    with StandinService(globus, endpoint="127.0.0.1:9") as service:
        _point_at(globus, service, monkeypatch)
        yield service


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[GatedBroker]:
    """A broker that wants tokens."""
    with GatedBroker(tmp_path) as broker:
        yield broker


@pytest.fixture
def fabric(globus: StandinGlobus, gated: GatedBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandinService]:
    """The web service with brokers behind it; profile octopus points at it."""
    monkeypatch.setenv("OCTOPUS_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("OCTOPUS_CONNECT_TIMEOUT", "60")  # nothing here is about an outage
    with StandinService(globus, gated, endpoint=gated.address) as service:
        _point_at(globus, service, monkeypatch)
        yield service


def _point_at(globus: StandinGlobus, service: StandinService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{globus.url}/")
    monkeypatch.setenv("OCTOPUS_SERVICE_URL", service.url)
    monkeypatch.setenv("OCTOPUS_PROFILE", "octopus")


@pytest.fixture
def robot(globus: StandinGlobus, monkeypatch: pytest.MonkeyPatch) -> Person:
    """A service account, named by the environment: it logs in without anybody."""
    subject = str(uuid.uuid4())
    person = Person(f"{subject}@clients.auth.globus.org", subject, "canary-client-secret")
    globus.clients[subject] = person
    monkeypatch.setenv("DIASPORA_SDK_CLIENT_ID", subject)
    monkeypatch.setenv("DIASPORA_SDK_CLIENT_SECRET", str(person.client_secret))
    return person


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Wait until a condition holds, or fail. Longer than elsewhere: a refusal is tried again after up to 15 s."""

    def wait(condition: Callable[[], object], seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s"
            time.sleep(0.02)

    return wait


@pytest.fixture
def load() -> Callable[..., OctopusConfig]:
    """The configuration as the environment has it now."""

    def load(**settings: Any) -> OctopusConfig:
        return OctopusConfig.load(**settings)

    return load
