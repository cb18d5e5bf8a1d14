"""The nodes of a cluster as processes: started, stopped, killed, made to stand still."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import BrokerStartError, FabricError
from octopus_plugins.fabric.kafka.admin import live_nodes
from octopus_plugins.local import kafka_process
from octopus_plugins.local.kafka_settings import Ports

_READY_SECONDS = 180.0  # a busy machine may take a minute for three nodes


class Nodes:
    """The processes of a cluster's nodes.

    Attributes:
        processes: Those that were started and not stopped, by number.
    """

    def __init__(self, home: Path, ports: Mapping[int, Ports], extra_classes: Sequence[Path], detached: bool) -> None:
        """Prepare; starts nothing.

        Args:
            home: The cluster's directory, with the settings of each node.
            ports: The ports of each node, by its number.
            extra_classes: Directories or jars for their class path.
            detached: Whether they outlive the thread that starts them.
        """
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._home = home
        self._ports = ports
        self._extra_classes = tuple(extra_classes)
        self._detached = detached

    def properties(self, node: int) -> Path:
        """The file of a node's settings."""
        return self._home / f"node-{node}.properties"

    def log(self, node: int) -> Path:
        """The log file of a node."""
        return self._home / f"node-{node}.log"

    def start(self, nodes: Iterable[int]) -> None:
        """Start those of these nodes that do not run; does not wait for them."""
        for node in nodes:
            process = self.processes.get(node)
            if process is None or process.poll() is not None:
                self.log(node).unlink(missing_ok=True)
                self.processes[node] = kafka_process.start(
                    self.properties(node), self.log(node), self._extra_classes, detached=self._detached
                )

    def stop(self, nodes: Iterable[int], *, kill: bool) -> None:
        """Stop nodes and wait until they are gone.

        Args:
            nodes: Their numbers.
            kill: At once, by SIGKILL.
        """
        ending = [process for node in nodes if (process := self.processes.pop(node, None)) is not None]
        for process in ending:
            if not kill:
                process.terminate()  # all at once: the last one would look for a controller in vain
        for process in ending:
            kafka_process.stop(process, kill=kill)

    def wait_until_up(self, nodes: Sequence[int], admin: OctopusConfig) -> None:
        """Wait until the cluster has these nodes among those that are up.

        Raises:
            BrokerStartError: It never has; shows why.
        """
        deadline = time.monotonic() + _READY_SECONDS
        reason = "no answer"
        while time.monotonic() < deadline:
            self._raise_if_ended()
            # A bare connection first: librdkafka's own retries are slower.
            if all(_listens(self._ports[node].clients) for node in nodes):
                try:
                    up = live_nodes(admin)
                except FabricError as error:
                    reason = str(error)
                else:
                    if up.issuperset(nodes):
                        return
                    reason = f"only nodes {', '.join(map(str, sorted(up)))} are up"
            time.sleep(0.1)
        raise BrokerStartError(
            f"Apache Kafka did not come up at {admin.servers} within {_READY_SECONDS:g} s: {reason}",
            remedy=f"its logs are in {self._home}",
        )

    def _raise_if_ended(self) -> None:
        for node, process in self.processes.items():
            if process.poll() is not None:
                said = self.log(node).read_text(encoding="utf-8", errors="replace")
                raise BrokerStartError(
                    f"node {node} of Apache Kafka ended with exit code {process.returncode} ({self.log(node)});"
                    f" {kafka_process.explain(said)}"
                )


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
