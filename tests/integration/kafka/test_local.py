"""Apache Kafka as a cluster of the tests' own and as the user's: how it begins and ends, and what it leaves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from octopus_plugins import OctopusConfig, local, tasks
from octopus_plugins.cli import cli
from octopus_plugins.errors import BrokerStartError, ConfigError, MissingDependencyError
from octopus_plugins.events import Task, Topic
from octopus_plugins.fabric import Emitter, existing_topics
from octopus_plugins.local import ApacheKafka, kafka_jars
from octopus_plugins.local.running import kafka_home

Wait = Callable[..., None]


def octopus(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def emit(number: int) -> None:
    emitter = Emitter(OctopusConfig.load())
    emitter.emit(Task(run_id="r", task_id=str(number), time=1.0, state="running"))
    assert emitter.flush(90)
    emitter.close()


@pytest.fixture
def purged_afterwards() -> Iterator[None]:
    yield
    local.down(purge=True)


@pytest.mark.slow
@pytest.mark.usefixtures("purged_afterwards")
def test_the_users_own_is_found_with_its_password_and_keeps_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    up = octopus("broker", "up", "--kafka", "--secure")
    assert up.exit_code == 0, up.output
    running = local.status()
    assert running is not None
    assert f"Apache Kafka started at {running.address}" in up.output
    config = OctopusConfig.load()
    assert (config.profile, config.servers, config.embedded) == ("local", running.address, False)
    assert existing_topics(config) == set(Topic)
    emit(1)

    # What `up` says how to reach it from elsewhere.
    settings = kafka_home() / "client.toml"
    assert str(settings) in up.output
    assert settings.stat().st_mode & 0o777 == 0o600
    assert kafka_home().stat().st_mode & 0o777 == 0o700
    other = OctopusConfig.load(path=settings)
    assert other.profile == "kafka"
    assert len(list(tasks(config=other))) == 1
    assert other.sasl_password is not None
    password = other.sasl_password.get_secret_value()
    assert password not in up.output
    monkeypatch.setenv("OCTOPUS_NAMESPACE", "somebody-else")
    assert existing_topics(OctopusConfig.load()) == set()
    monkeypatch.delenv("OCTOPUS_NAMESPACE")

    again = octopus("broker", "up", "--kafka", "--secure")
    assert "runs already" in again.output
    for arguments in (["--kafka"], ["--kafka", "--secure", "--nodes", "3"], []):
        refused = octopus("broker", "up", *arguments)
        assert refused.exit_code == 1
        assert "octopus broker down" in refused.output
    assert octopus("broker", "status").exit_code == 0

    assert "Apache Kafka is stopped" in octopus("broker", "down").output
    assert octopus("broker", "status").exit_code == 1
    with pytest.raises(ConfigError, match="octopus broker up"):
        _ = OctopusConfig.load().servers
    other_kind = octopus("broker", "up", "--kafka")
    assert other_kind.exit_code == 1
    assert "made with --nodes 1 --secure" in other_kind.output

    assert octopus("broker", "up", "--kafka", "--secure").exit_code == 0
    assert len(list(tasks(config=OctopusConfig.load()))) == 1
    assert len(list(tasks(config=OctopusConfig.load(path=settings)))) == 1
    octopus("broker", "down", "--purge")
    assert not kafka_home().exists()


@pytest.mark.slow
@pytest.mark.usefixtures("purged_afterwards")
def test_the_users_own_outlives_the_process_that_started_it(wait_for: Wait) -> None:
    code = "from octopus_plugins import local; print(local.up_kafka().pid)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    running = local.status()
    assert running is not None
    assert running.pids == (int(done.stdout),)
    emit(1)
    assert len(list(tasks(config=OctopusConfig.load()))) == 1
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: local.status() is None)
    assert not local.down()


def test_options_of_apache_kafka_alone_are_a_wrong_use() -> None:
    for arguments in (["--nodes", "3"], ["--secure"]):
        result = octopus("broker", "up", *arguments)
        assert result.exit_code == 2
        assert "--kafka" in result.output


@pytest.mark.slow
def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = psutil.Process().children()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BrokerStartError, match=r"(?s)ended with exit code 1.*Address already in use"):
            ApacheKafka(port=port).begin()
    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().children() == before


def test_a_wrong_setting_is_shown_as_kafka_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(BrokerStartError, match=r"num\.partitions"):
        ApacheKafka(settings={"num.partitions": "many"}).begin()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process of its parent's death")
def test_the_nodes_of_a_killed_process_end_with_it(tmp_path: Path, wait_for: Wait) -> None:
    script = (
        "import time; from octopus_plugins.local import ApacheKafka\n"
        "with ApacheKafka() as kafka: print(kafka.pids[1], flush=True); time.sleep(120)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        node = int(process.stdout.readline())
        process.kill()
    wait_for(lambda: not psutil.pid_exists(node) or psutil.Process(node).status() == psutil.STATUS_ZOMBIE)


def test_without_java_or_maven_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.setenv("OCTOPUS_KAFKA_JARS", str(tmp_path / "jars"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(MissingDependencyError, match=r"no `java`.*openjdk-17"):
        ApacheKafka().begin()
    (tmp_path / "bin" / "java").symlink_to(sys.executable)
    with pytest.raises(MissingDependencyError, match=r"no `mvn`.*apt-get install maven.*KAFKA_HOME"):
        ApacheKafka().begin()
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(BrokerStartError, match="has no Kafka of version 4"):
        ApacheKafka().begin()


def test_an_unpacked_kafka_is_used_where_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = Path(kafka_jars.class_path().removesuffix("/*"))
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    (tmp_path / "libs").symlink_to(fetched)
    assert kafka_jars.class_path() == f"{tmp_path}/libs/*"


def test_a_maven_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.setenv("OCTOPUS_KAFKA_JARS", str(tmp_path / "jars"))
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] Could not transfer artifact'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BrokerStartError, match="Could not transfer artifact"):
        ApacheKafka().begin()
    assert [one.name for one in (tmp_path / "jars").iterdir()] == ["lock"]
