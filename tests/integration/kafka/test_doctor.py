"""`octopus doctor` on Apache Kafka: TLS, users, tokens and access rules, each wrong in one way."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from benchmarks.proxy import Proxy
from octopus_plugins import OctopusConfig
from octopus_plugins.fabric import ensure_topics, kafka_options
from octopus_plugins.fabric.kafka.admin import add_scram_user
from octopus_plugins.fabric.octopus.keys import log_in
from octopus_plugins.local import ApacheKafka

from ..doctor import KAFKA, assert_diagnosed, examine, other_words
from ..standin.globus import Person, StandinGlobus
from ..standin.kafka import KafkaBackend
from ..standin.service import StandinService
from .tokens import Keys

pytestmark = pytest.mark.slow

TIMEOUT = 40.0
PASSWORD = "canary-password"

Settings = dict[str, object]


@dataclass(frozen=True)
class Scene:
    """A secure node, and one of its users.

    Attributes:
        kafka: The node.
        user: The user's settings.
        elsewhere: Where the node is reached by an address that its certificate has not.
    """

    kafka: ApacheKafka
    user: Settings
    elsewhere: str

    @property
    def namespace(self) -> str:
        """The user's namespace."""
        return str(self.user["namespace"])

    def allow(self, name: str, *operations: AclOperation) -> Settings:
        """The settings of another user, who may do no more than this with the topics of the first one."""
        config = OctopusConfig(**self.kafka.admin_settings(), connect_timeout=60)
        add_scram_user(config, name, PASSWORD)
        prefix, allow = ResourcePatternType.PREFIXED, AclPermissionType.ALLOW
        rules = [
            AclBinding(ResourceType.TOPIC, f"{self.namespace}.", prefix, f"User:{name}", "*", operation, allow)
            for operation in operations
        ]
        admin = AdminClient(kafka_options(config))
        for answer in admin.create_acls(rules, request_timeout=60).values():
            answer.result(60)
        return {**self.user, "sasl_username": name, "sasl_password": PASSWORD}


@pytest.fixture(scope="module")
def scene(secure_kafka: ApacheKafka) -> Iterator[Scene]:
    """The node, and a user with topics."""
    user = secure_kafka.add_user(f"doctor-{uuid.uuid4().hex[:8]}")
    secure_kafka.create_topics(user["namespace"])
    proxy = Proxy(secure_kafka.address, host="127.0.0.2")
    yield Scene(secure_kafka, user, proxy.address)
    proxy.close()


def without(settings: Settings, *names: str) -> Settings:
    return {name: value for name, value in settings.items() if name not in names}


HOW: dict[str, Callable[[Scene], Settings]] = {
    "clear text to a TLS port": lambda scene: {**scene.user, "security_protocol": "SASL_PLAINTEXT"},
    "the authority is not trusted": lambda scene: without(scene.user, "ssl_ca_location"),
    "the file of the authority is not there": lambda scene: {**scene.user, "ssl_ca_location": "/nowhere/ca.pem"},
    "the certificate is for another host name": lambda scene: {**scene.user, "bootstrap_servers": scene.elsewhere},
    "no client certificate is shown where one is wanted": lambda scene: without(
        scene.kafka.admin_settings(), "ssl_certificate_location", "ssl_key_location"
    ),
    "the password is wrong": lambda scene: {**scene.user, "sasl_password": PASSWORD},
    "the mechanism is not taken": lambda scene: {**scene.user, "sasl_mechanism": "PLAIN"},
    "no user is named": lambda scene: {
        **without(scene.user, "sasl_mechanism", "sasl_username", "sasl_password"),
        "security_protocol": "SSL",
    },
    "a user is named where there are none": lambda scene: {
        **scene.kafka.admin_settings(),
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "alice",
        "sasl_password": PASSWORD,
    },
    "the namespace is somebody else's": lambda scene: {**scene.user, "namespace": "somebody-else"},
    "the user may not write": lambda scene: scene.allow("reader", AclOperation.READ),
    "the user may not read": lambda scene: scene.allow("writer", AclOperation.WRITE),
}


@pytest.mark.parametrize("what", KAFKA)
def test_what_is_wrong_is_told_from_all_else(what: str, scene: Scene) -> None:
    settings = HOW[what](scene)
    report = examine(TIMEOUT, **settings)
    assert_diagnosed(report, KAFKA[what])
    with other_words():
        assert_diagnosed(examine(TIMEOUT, **settings), KAFKA[what])
    assert PASSWORD not in report.output
    assert str(scene.user["sasl_password"]) not in report.output


def test_all_is_well_for_a_user_with_a_password(scene: Scene) -> None:
    report = examine(TIMEOUT, **scene.user)
    assert (report.status, report.failed, report.warned) == (0, [], [])
    assert report.steps["tls"]["seen"].startswith("TLS 1.3 with 127.0.0.1")
    assert report.steps["auth"]["seen"] == f"the brokers let user {scene.namespace} by SCRAM-SHA-512 in"
    assert report.steps["consume"]["details"]["round_trip_ms"] > 0
    assert str(scene.user["sasl_password"]) not in report.output


def test_all_is_well_for_whoever_shows_a_certificate(scene: Scene) -> None:
    report = examine(TIMEOUT, **scene.kafka.admin_settings(), namespace=scene.namespace)
    assert (report.status, report.failed, report.warned) == (0, [], [])
    assert report.steps["auth"]["seen"] == "the brokers let the client's certificate in"


def test_all_is_well_on_profile_octopus_with_tokens_over_tls(
    scene: Scene, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = Person("robot@clients.auth.globus.org", client_secret="canary-client-secret")
    settings: Settings = {"profile": "octopus", "credentials_dir": tmp_path / "credentials"}
    settings["ssl_ca_location"] = scene.kafka.ca_location
    with StandinGlobus(robot) as globus:
        globus.clients[robot.subject] = robot
        monkeypatch.delenv("DIASPORA_SDK_ENVIRONMENT", raising=False)
        monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{globus.url}/")
        monkeypatch.setenv("DIASPORA_SDK_CLIENT_ID", robot.subject)
        monkeypatch.setenv("DIASPORA_SDK_CLIENT_SECRET", "canary-client-secret")
        with StandinService(globus, KafkaBackend(scene.kafka, keys), endpoint=scene.kafka.address) as service:
            settings["service_url"] = service.url
            log_in(OctopusConfig.load(**settings))
            ensure_topics(OctopusConfig.load(**settings))
            report = examine(TIMEOUT, **settings)
            assert (report.status, report.failed, report.warned) == (0, [], [])
            assert [name for name, state in report.states().items() if state != "ok"] == ["counts"]
            assert report.steps["auth"]["seen"] == f"the brokers let the key of {robot.namespace} in"
            for secret in [*globus.secrets(), *service.secrets(), "canary-client-secret"]:
                assert secret not in report.output
