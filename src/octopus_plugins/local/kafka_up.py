"""The user's own Apache Kafka, which outlives the process that starts it."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from octopus_plugins.config import LocalBroker, OctopusConfig, local_broker_file
from octopus_plugins.errors import BrokerStartError
from octopus_plugins.local.certificates import write_secret
from octopus_plugins.local.kafka import ApacheKafka
from octopus_plugins.local.running import KAFKA, Running, kafka_home, remember, status

_SETTINGS = "client.toml"


def up_kafka(nodes: int = 1, *, secure: bool = False, port: int | None = None) -> Running:
    """Start the user's Apache Kafka, unless it runs already. It outlives this process, and its data outlives it.

    A secure one gets one user, with the name of the configuration's namespace.

    Args:
        nodes: How many nodes.
        secure: Whether clients need TLS, a name and a password.
        port: TCP port of the first node, the others take the next ones; default: those it had, or free ones.

    Raises:
        BrokerStartError: It did not come up, or another broker of this user runs.
        MissingDependencyError: Java, Maven or a package is missing; says what to install.
        ConfigError: The configuration is wrong; it says in which namespace the topics are created.
    """
    config = OctopusConfig.load(profile="local")
    lock = local_broker_file().with_name("lock")
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two at once would spoil each other's data
        return _up(config, nodes, secure, port)


def _up(config: OctopusConfig, nodes: int, secure: bool, port: int | None) -> Running:
    running = status()
    if running is not None:
        if not _is_the_same(running, nodes, secure, port):
            raise BrokerStartError(
                f"{running.name} runs already at {running.address} (process {running.pid})",
                remedy="stop it with `octopus broker down` to have another one",
            )
        return running
    kafka = ApacheKafka(nodes, secure=secure, port=port, home=kafka_home(), detached=True)
    kafka.begin()
    try:
        settings: Path | None = None
        if secure:
            settings = kafka.home / _SETTINGS
            write_secret(settings, _configuration(kafka.add_user(config.namespace)))
        kafka.create_topics(config.namespace)
        remember(LocalBroker(kafka.address, tuple(kafka.pids.values()), KAFKA, settings), kafka.processes.values())
    except BaseException:
        kafka.end()
        raise
    found = status()
    if found is None:
        raise BrokerStartError(
            "Apache Kafka ended again right after its start", remedy=f"its logs are in {kafka_home()}"
        )
    return replace(found, started=True)


def _is_the_same(running: Running, nodes: int, secure: bool, port: int | None) -> bool:
    servers = running.address.split(",")
    return (
        running.kind == KAFKA
        and (len(servers), running.settings is not None) == (nodes, secure)
        and (port is None or servers[0].endswith(f":{port}"))
    )


def _configuration(settings: dict[str, Any]) -> str:
    """Settings as a configuration file."""
    table = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items() if name != "profile")
    return f'profile = "kafka"\n\n[kafka]\n{table}'
