"""Apache Kafka for the tests: one node in the open, one secure, three."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from octopus_plugins import OctopusConfig
from octopus_plugins.fabric import Emitter, kafka_options
from octopus_plugins.local import ApacheKafka

from .tokens import Keys, compile_validator, token_kafka

HERE = Path(__file__).parent
JARS = HERE.parents[2] / "build" / "kafka-jars"


def pytest_itemcollected(item: pytest.Item) -> None:
    """The first test of all waits for Maven, and the first of each file for a cluster: give them time."""
    item.add_marker(pytest.mark.long)
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session", autouse=True)
def kafka_tools() -> Iterator[None]:
    """What Apache Kafka needs, or a word of what is missing. Its jars are fetched once for all test runs."""
    with pytest.MonkeyPatch.context() as patch:
        if "OCTOPUS_KAFKA_JARS" not in os.environ:
            patch.setenv("OCTOPUS_KAFKA_JARS", str(JARS))
        needed = ["java", "javac"] if os.environ.get("KAFKA_HOME") else ["java", "javac", "mvn"]
        missing = [tool for tool in needed if shutil.which(tool) is None]
        if missing:
            pytest.skip(
                f"Apache Kafka needs {' and '.join(missing)}; on Debian: apt-get install openjdk-17-jdk-headless maven"
            )
        yield


@pytest.fixture(scope="session")
def token_classes(kafka_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validator of MSK tokens, compiled."""
    return compile_validator(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="session")
def kafka(kafka_tools: None) -> Iterator[ApacheKafka]:
    """One node, open to everybody on this machine."""
    with ApacheKafka() as kafka:
        yield kafka


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """The keys that the secure node knows."""
    return Keys(tmp_path_factory.mktemp("keys") / "keys")


@pytest.fixture(scope="session")
def secure_kafka(token_classes: Path, keys: Keys) -> Iterator[ApacheKafka]:
    """One node with TLS, SCRAM, MSK tokens and access control."""
    with token_kafka(keys, token_classes) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def three_nodes(kafka_tools: None) -> Iterator[ApacheKafka]:
    """Three secure nodes: three copies of each record, of which two must be written."""
    # Nobody but the tests moves a leader: every five minutes Kafka would, back to where each was at first.
    with ApacheKafka(nodes=3, secure=True, settings={"auto.leader.rebalance.enable": "false"}) as cluster:
        yield cluster


@pytest.fixture
def cluster(three_nodes: ApacheKafka) -> Iterator[ApacheKafka]:
    """The three nodes, for whoever kills some: all are up again afterwards."""
    yield three_nodes
    for node in three_nodes.nodes:
        if node not in three_nodes.pids:
            three_nodes.start(node)


@pytest.fixture
def cluster_settings(cluster: ApacheKafka, namespace: str, tmp_path: Path) -> dict[str, Any]:
    """The settings of a user of the cluster with topics of its own."""
    settings = cluster.add_user(namespace)
    cluster.create_topics(namespace)
    return {**settings, "spool_dir": tmp_path / "spool"}


@pytest.fixture
def wait_until_in_sync(cluster: ApacheKafka, wait_for: Callable[..., None]) -> Callable[[str], None]:
    """Wait until each node has all of a topic. One that came to lead just now may show less of it for a moment."""
    admin = AdminClient(kafka_options(OctopusConfig.load(**cluster.admin_settings())))

    def in_sync(topic: str) -> bool:
        try:
            partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions.values()
        except KafkaException:
            return False
        return bool(partitions) and all(sorted(each.isrs) == list(cluster.nodes) for each in partitions)

    return lambda topic: wait_for(lambda: in_sync(topic))


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Wait until a condition holds, or fail. Longer than elsewhere: half a dozen Java processes share the machine."""

    def wait(condition: Callable[[], object], seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s"
            time.sleep(0.02)

    return wait


@pytest.fixture
def namespace() -> str:
    """A namespace of this test's own."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def open_config(kafka: ApacheKafka, namespace: str, tmp_path: Path) -> OctopusConfig:
    """The open node with a fresh namespace; its topics do not exist yet."""
    return OctopusConfig.load(**kafka.client_settings(namespace), spool_dir=tmp_path / "spool")


@pytest.fixture
def make_user(secure_kafka: ApacheKafka, namespace: str, tmp_path: Path) -> Callable[[str], OctopusConfig]:
    """Make a user of the secure node with topics of its own."""

    def make(name: str) -> OctopusConfig:
        settings = secure_kafka.add_user(f"{name}-{namespace}")
        secure_kafka.create_topics(settings["namespace"])
        return OctopusConfig.load(**settings, spool_dir=tmp_path / f"spool-{name}")

    return make


@pytest.fixture
def alice(make_user: Callable[[str], OctopusConfig]) -> OctopusConfig:
    """A user."""
    return make_user("alice")


@pytest.fixture
def bob(make_user: Callable[[str], OctopusConfig]) -> OctopusConfig:
    """Another user."""
    return make_user("bob")


@pytest.fixture
def emitting() -> Iterator[Callable[[OctopusConfig], Emitter]]:
    """Make emitters that are closed at the end."""
    made: list[Emitter] = []

    def make(config: OctopusConfig) -> Emitter:
        made.append(Emitter(config))
        return made[-1]

    yield make
    for emitter in made:
        emitter.close(1)
