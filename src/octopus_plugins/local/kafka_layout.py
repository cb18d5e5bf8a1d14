"""What a cluster is and must stay: its id, its nodes and their ports, whether it is secure."""

from __future__ import annotations

import contextlib
import json
import socket
import uuid
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from octopus_plugins.errors import BrokerStartError
from octopus_plugins.local.kafka_settings import Ports
from octopus_plugins.local.processes import free_ports

_FILE = "cluster.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """A cluster's layout.

    Attributes:
        cluster_id: Its id; the data of its nodes belongs to this cluster only.
        secure: Whether it has TLS, users and access control.
        ports: The ports of each node, by its number.
    """

    cluster_id: str
    secure: bool
    ports: dict[int, Ports]

    def save(self, home: Path) -> None:
        """Write it into the cluster's directory."""
        (home / _FILE).write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")


def plan(home: Path, nodes: int, secure: bool, port: int | None) -> Layout:
    """The layout of the cluster in a directory: as it was, on the same ports if they are free, else a new one.

    Args:
        home: The cluster's directory.
        nodes: How many nodes.
        secure: Whether it has TLS, users and access control.
        port: TCP port of the first node, the others take the next ones; None for those it had, or free ones.

    Raises:
        BrokerStartError: The directory has another cluster.
    """
    before = _load(home)
    if before is None:
        return Layout(_make_id(), secure, _choose(nodes, port))
    if (len(before.ports), before.secure) != (nodes, secure):
        was = f"--nodes {len(before.ports)}" + (" --secure" if before.secure else "")
        raise BrokerStartError(
            f"{home} holds the data of another cluster, made with {was}",
            remedy="say so again to go on with it, or delete it with `octopus broker down --purge`",
        )
    if port in {None, before.ports[1].clients} and all(_are_free(ports) for ports in before.ports.values()):
        return before
    return replace(before, ports=_choose(nodes, port))


def _load(home: Path) -> Layout | None:
    file = home / _FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        ports = {int(node): Ports(**each) for node, each in found["ports"].items()}
        return Layout(found["cluster_id"], found["secure"], ports)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokerStartError(
            f"{file} cannot be read: {error}", remedy="`octopus broker down --purge` deletes what is there"
        ) from error


def _make_id() -> str:
    """A random id, as Kafka writes them: in base64, and never taken for an option of a command."""
    while True:
        made = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not made.startswith("-"):
            return made


def _choose(nodes: int, port: int | None) -> dict[int, Ports]:
    free = free_ports(3 * nodes)
    clients = free[:nodes] if port is None else list(range(port, port + nodes))
    return {
        number + 1: Ports(clients[number], free[nodes + number], free[2 * nodes + number]) for number in range(nodes)
    }


def _are_free(ports: Ports) -> bool:
    try:
        with contextlib.ExitStack() as stack:
            for port in (ports.clients, ports.controller, ports.internal):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
    except OSError:
        return False
    return True
