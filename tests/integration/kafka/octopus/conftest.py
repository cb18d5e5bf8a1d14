"""The Octopus service as far as it can be had without Amazon: Globus Auth and web service as stand-ins, Kafka real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from octopus_plugins.local import ApacheKafka

from ...standin.globus import Person, StandinGlobus
from ...standin.kafka import KafkaBackend
from ...standin.service import StandinService
from ..tokens import Keys
from .users import User


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these need the secure node, which takes its time to start."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def globus() -> Iterator[StandinGlobus]:
    """Globus Auth, for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch, StandinGlobus(Person("nobody@example.org")) as globus:
        for name in ("DIASPORA_SDK_CLIENT_ID", "DIASPORA_SDK_CLIENT_SECRET", "DIASPORA_SDK_ENVIRONMENT"):
            patch.delenv(name, raising=False)
        patch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{globus.url}/")
        yield globus


@pytest.fixture(scope="module")
def backend(secure_kafka: ApacheKafka, keys: Keys) -> KafkaBackend:
    """What the web service does to Kafka."""
    return KafkaBackend(secure_kafka, keys)


@pytest.fixture(scope="module")
def service(globus: StandinGlobus, backend: KafkaBackend, secure_kafka: ApacheKafka) -> Iterator[StandinService]:
    """The web service."""
    with StandinService(globus, backend, endpoint=secure_kafka.address) as service:
        yield service


@pytest.fixture(scope="module")
def make_user(
    service: StandinService, secure_kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], User]:
    """Make a user who has never logged in."""

    def make(name: str) -> User:
        home = tmp_path_factory.mktemp(name)
        environment = {
            "OCTOPUS_PROFILE": "octopus",
            "OCTOPUS_SERVICE_URL": service.url,
            "OCTOPUS_SSL_CA_LOCATION": str(secure_kafka.ca_location),
            "OCTOPUS_CONNECT_TIMEOUT": "60",  # nothing here is about an outage
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
        }
        return User(Person(f"{name}@example.org"), environment, home)

    return make


@pytest.fixture(scope="module")
def alice(make_user: Callable[[str], User], globus: StandinGlobus) -> User:
    """A user who is logged in."""
    return _logged_in(make_user("alice"), globus)


@pytest.fixture(scope="module")
def bob(make_user: Callable[[str], User], globus: StandinGlobus) -> User:
    """Another one."""
    return _logged_in(make_user("bob"), globus)


def _logged_in(user: User, globus: StandinGlobus) -> User:
    done = user.log_in(globus)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "Created the topics decisions, failures, heartbeats, task-metrics." in done.stdout
    return user
