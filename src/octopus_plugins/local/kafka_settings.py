"""The settings of a node, as Kafka's ``server.properties``.

Every node is broker and controller at once (KRaft). Three listeners: ``CLIENTS`` for everybody, ``CONTROLLER`` among
the nodes, and in a secure cluster ``INTERNAL`` for replication and for whoever administers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from octopus_plugins.local.certificates import ADMIN, BROKER

SCRAM = "SCRAM-SHA-512"

_SUPER_USERS = ";".join(f"User:CN={name}" for name in (BROKER, ADMIN))


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports of one node, on loopback.

    Attributes:
        clients: For clients.
        controller: For the other nodes' controllers.
        internal: For the other nodes and for the administrator; used by a secure cluster only.
    """

    clients: int
    controller: int
    internal: int


def server_properties(
    node: int,
    ports: Mapping[int, Ports],
    data: Path,
    certificates: Path | None,
    changes: Mapping[str, str],
) -> str:
    """The settings of one node.

    Args:
        node: Its number.
        ports: Those of every node of the cluster, by number.
        data: The directory that it keeps its data in.
        certificates: The directory with the certificates; None for a cluster without TLS, users and access control.
        changes: Settings that replace or add to ours.

    Returns:
        The text of a properties file.
    """
    copies = min(3, len(ports))
    in_sync = 2 if copies == 3 else 1
    own = ports[node]
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{one}@127.0.0.1:{each.controller}" for one, each in ports.items()),
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "num.partitions": "1",
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "group.initial.rebalance.delay.ms": "0",
        # A node that was killed is replaced as leader after the first of these. One that is alone must never be: on a
        # busy machine it would be shut out for being slow.
        "broker.session.timeout.ms": "6000" if len(ports) > 1 else "60000",
        "broker.heartbeat.interval.ms": "1000",
        # Sized for a laptop: few threads, little memory.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
        "log.segment.bytes": str(64 * 1024 * 1024),
    }
    settings |= _open(own) if certificates is None else _secure(own, certificates)
    settings |= changes
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def _open(own: Ports) -> dict[str, str]:
    return {
        "listeners": f"CLIENTS://127.0.0.1:{own.clients},CONTROLLER://127.0.0.1:{own.controller}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
    }


def _secure(own: Ports, certificates: Path) -> dict[str, str]:
    internal = f"INTERNAL://127.0.0.1:{own.internal}"
    return {
        "listeners": f"CLIENTS://127.0.0.1:{own.clients},{internal},CONTROLLER://127.0.0.1:{own.controller}",
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "INTERNAL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates / f"{BROKER}.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates / "ca.pem"),
        # The nodes and the administrator show a certificate; users have a name and a password.
        "listener.name.internal.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
        "listener.name.clients.sasl.enabled.mechanisms": SCRAM,
        f"listener.name.clients.{SCRAM.lower()}.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": _SUPER_USERS,
    }


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")
