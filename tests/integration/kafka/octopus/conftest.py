"""The Octopus service as far as it can be had without Amazon: Globus Auth and web service as stand-ins, Kafka real."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from octopus_plugins.fabric import Emitter, kafka_options, topic_name
from octopus_plugins.fabric.kafka.topics import QuietLogger
from octopus_plugins.fabric.octopus.keys import open_service
from octopus_plugins.local import ApacheKafka

from ...standin.globus import Person, StandinGlobus
from ...standin.kafka import KafkaBackend
from ...standin.service import StandinService
from ...story import new_run
from ..tokens import Keys
from .holdings import Auditor, Holdings
from .intruders import WAYS, Intruder, make_intruder
from .users import User

NOTES = "bobs-notes"


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


@pytest.fixture(scope="module")
def auditor(secure_kafka: ApacheKafka) -> Iterator[Auditor]:
    """Who sees what a user has."""
    auditor = Auditor(secure_kafka)
    yield auditor
    auditor.close()


@pytest.fixture(scope="module")
def bobs_work(bob: User, auditor: Auditor) -> Holdings:
    """What Bob has, and nobody changes: a run with all that was told of it, a topic of his own, a group that reads."""
    config = bob.config()
    emitter = Emitter(config)
    emitter.emit(*new_run(time.time()))
    assert emitter.flush(90)
    emitter.close()
    with bob.at_home():
        open_service(config).create_topic(NOTES)
    name = topic_name(config, NOTES)
    producer = Producer(kafka_options(config), logger=QuietLogger())
    producer.produce(name, b"a note")
    assert producer.flush(60) == 0
    consumer = Consumer({**kafka_options(config), "group.id": f"{bob.namespace}.deciders"}, logger=QuietLogger())
    consumer.commit(offsets=[TopicPartition(name, 0, 1)], asynchronous=False)
    consumer.close()
    found = auditor.holdings(bob.namespace)
    assert len(found.offsets) == 5 and found.groups and found.rules
    assert all(found.records.values())
    return found


@pytest.fixture(params=WAYS, scope="module")
def intruder(
    request: pytest.FixtureRequest,
    alice: User,
    bob: User,
    secure_kafka: ApacheKafka,
    tmp_path_factory: pytest.TempPathFactory,
) -> Intruder:
    """Alice, who says to be Bob."""
    home = tmp_path_factory.mktemp("intruder")
    return make_intruder(request.param, alice, bob, secure_kafka, home)


@pytest.fixture
def untouched(bobs_work: Holdings, auditor: Auditor, bob: User) -> Iterator[Holdings]:
    """What Bob has, which must be the same after the test: topics, records, offsets of groups, access rules."""
    yield bobs_work
    assert auditor.holdings(bob.namespace) == bobs_work
