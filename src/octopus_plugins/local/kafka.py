"""Apache Kafka on this machine: one node or several, in the open or with TLS, users and access control.

Where the embedded broker is for trying things out, this is the real thing: it keeps what it holds on disk, and behaves
as the Kafka of a facility or of the Octopus service does.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import BrokerStartError
from octopus_plugins.fabric.kafka.admin import add_scram_user, grant_namespace, leaders
from octopus_plugins.fabric.kafka.topics import ensure_topics
from octopus_plugins.local import kafka_process
from octopus_plugins.local.certificates import ADMIN, make_certificates, write_secret
from octopus_plugins.local.kafka_layout import plan
from octopus_plugins.local.kafka_nodes import Nodes
from octopus_plugins.local.kafka_settings import SCRAM, Ports, server_properties

_USERS = "users.json"
_NOT_RUNNING = "this Apache Kafka is not running; use it in a `with` block"
_ASK_SECONDS = 2.0
_PATIENCE_SECONDS = 60.0  # a node that just came up on a busy machine takes its time
_ATTEMPTS = 3
_TAKEN = "Address already in use"  # as the operating system says it, in the log of a node


class ApacheKafka:
    """A cluster for one ``with`` block: always stopped, leaves nothing behind.

    Example::

        with ApacheKafka(nodes=3, secure=True) as kafka:
            config = OctopusConfig.load(**kafka.add_user("alice"))
            kafka.create_topics("alice")

    Attributes:
        nodes: The numbers of its nodes, from 1.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        secure: bool = False,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        extra_classes: Sequence[Path] = (),
        home: Path | None = None,
        detached: bool = False,
    ) -> None:
        """Prepare a cluster; entering the block starts it.

        Args:
            nodes: How many.
            secure: Whether clients need TLS, a name and a password, and may do only what they were granted.
            port: TCP port of the first node, the others take the next ones; default: free ones.
            settings: Kafka's own settings that replace or add to ours.
            extra_classes: Directories or jars for the nodes' class path, for what such settings name.
            home: Directory that outlives the block; default: a temporary one. What is there already goes on.
            detached: Whether its processes outlive this one. On Linux they are ended with the thread that starts
                them otherwise, also when this process is killed.
        """
        self.nodes = tuple(range(1, nodes + 1))
        self._secure = secure
        self._port = port
        self._changes = dict(settings or {})
        self._extra_classes = tuple(extra_classes)
        self._keep = home is not None
        self._home = home
        self._detached = detached
        self._ports: dict[int, Ports] = {}
        self._processes: Nodes | None = None

    @property
    def home(self) -> Path:
        """The directory of its data, settings, certificates and logs; readable by its owner only."""
        if self._home is None:
            raise BrokerStartError(_NOT_RUNNING)
        return self._home

    @property
    def address(self) -> str:
        """``host:port[,host:port…]`` for clients; stays the same over ``start`` and ``stop``."""
        if not self._ports:
            raise BrokerStartError(_NOT_RUNNING)
        return ",".join(f"127.0.0.1:{ports.clients}" for ports in self._ports.values())

    @property
    def pids(self) -> dict[int, int]:
        """The process id of each node that runs, by its number."""
        return {node: process.pid for node, process in self.processes.items() if process.poll() is None}

    @property
    def processes(self) -> dict[int, subprocess.Popen[bytes]]:
        """The processes of the nodes that were started and not stopped, by number."""
        return self._running.processes

    def log(self, node: int) -> Path:
        """The log file of a node."""
        return self._running.log(node)

    def __enter__(self) -> ApacheKafka:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def begin(self) -> None:
        """Start all nodes and wait until they are up; entering the block does so.

        Raises:
            BrokerStartError: It did not come up; shows why. Nothing is left running.
            MissingDependencyError: Java, Maven or a package is missing; says what to install.
        """
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._start_all()
                    return
                except BrokerStartError as error:
                    # A free port may be taken by somebody else in the meantime: try other ones.
                    if self._port is not None or attempt == _ATTEMPTS or _TAKEN not in str(error):
                        raise
                    self._running.stop(self.nodes, kill=True)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Stop all nodes; leaving the block does so. A temporary directory is deleted."""
        if self._processes is not None:
            self._processes.stop(self.nodes, kill=not self._keep)
            self._processes = None
        self._ports = {}
        if not self._keep and self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def start(self, node: int) -> None:
        """Start a node that was stopped, and wait until the cluster has it.

        Raises:
            BrokerStartError: It did not come up; shows why.
        """
        self._running.start([node])
        self._running.wait_until_up([node], self._admin(connect_timeout=_ASK_SECONDS))

    def stop(self, node: int, *, kill: bool = False) -> None:
        """Stop a node and wait until it is gone; its data stays.

        Args:
            node: Its number.
            kill: At once, by SIGKILL.
        """
        self._running.stop([node], kill=kill)

    def pause(self, node: int) -> None:
        """Make a node stand still, as on a machine that hangs: its connections stay open and nothing answers."""
        kafka_process.pause(self.processes[node])

    def resume(self, node: int) -> None:
        """Let a node that stood still go on."""
        kafka_process.resume(self.processes[node])

    def leader(self, topic: str, partition: int = 0) -> int:
        """The number of the node that leads a partition of a topic.

        Args:
            topic: The topic's Kafka name.
            partition: The partition.

        Raises:
            BrokerStartError: It has none at the moment.
        """
        found = leaders(self._admin(), topic).get(partition)
        if found is None:
            raise BrokerStartError(f"partition {partition} of {topic} has no leader")
        return found

    def admin_settings(self) -> dict[str, Any]:
        """The settings, as `OctopusConfig` has them, of who may do everything."""
        if not self._secure:
            return {"profile": "kafka", "bootstrap_servers": self.address}
        own = str(self.home / "certificates" / f"{ADMIN}.pem")
        return {
            "profile": "kafka",
            "bootstrap_servers": ",".join(f"127.0.0.1:{ports.internal}" for ports in self._ports.values()),
            "security_protocol": "SSL",
            "ssl_ca_location": self.ca_location,
            "ssl_certificate_location": own,
            "ssl_key_location": own,
        }

    @property
    def ca_location(self) -> str | None:
        """The file with the certificate that clients trust; None where there is no TLS."""
        return str(self.home / "certificates" / "ca.pem") if self._secure else None

    def client_settings(self, user: str) -> dict[str, Any]:
        """The settings, as `OctopusConfig` has them, of a user; in a cluster that is not secure, of anybody."""
        settings: dict[str, Any] = {"profile": "kafka", "bootstrap_servers": self.address, "namespace": user}
        if not self._secure:
            return settings
        known = self._users()[user]
        return settings | {
            "namespace": known["namespace"],
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": SCRAM,
            "sasl_username": user,
            "sasl_password": known["password"],
            "ssl_ca_location": self.ca_location,
        }

    def add_user(self, name: str, namespace: str | None = None) -> dict[str, Any]:
        """Make a user of a secure cluster, who may work with the topics of one namespace and do nothing else.

        Args:
            name: The user's name. One that was made before keeps the password.
            namespace: Prefix of the topics; default: the name.

        Returns:
            As ``client_settings``.
        """
        users = self._users()
        password = users[name]["password"] if name in users else secrets.token_urlsafe(24)
        users[name] = {"password": password, "namespace": namespace or name}
        write_secret(self.home / _USERS, json.dumps(users))
        add_scram_user(self._admin(), name, password)
        self.grant(name, namespace or name)
        return self.client_settings(name)

    def grant(self, user: str, namespace: str) -> None:
        """Let a user, however it logs in, work with the topics of one namespace."""
        grant_namespace(self._admin(), f"User:{user}", namespace)

    def create_topics(self, namespace: str) -> None:
        """Create the topics of a namespace that do not exist yet; users of a secure cluster cannot."""
        ensure_topics(self._admin(namespace=namespace))

    def _admin(self, **settings: Any) -> OctopusConfig:
        # Not from the environment or a file: those may hold the settings of another cluster.
        return OctopusConfig(**self.admin_settings(), **{"connect_timeout": _PATIENCE_SECONDS, **settings})

    @property
    def _running(self) -> Nodes:
        if self._processes is None:
            raise BrokerStartError(_NOT_RUNNING)
        return self._processes

    def _users(self) -> dict[str, dict[str, str]]:
        file = self.home / _USERS
        found: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return found

    def _start_all(self) -> None:
        kafka_process.prepare()
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="octopus-kafka-"))
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home.chmod(0o700)
        layout = plan(self.home, len(self.nodes), self._secure, self._port)
        layout.save(self.home)
        self._ports = layout.ports
        certificates = self.home / "certificates" if self._secure else None
        if certificates is not None and not (certificates / "ca.pem").exists():
            make_certificates(certificates)
        nodes = self._processes = Nodes(self.home, layout.ports, self._extra_classes, self._detached)
        for node in self.nodes:
            text = server_properties(node, layout.ports, self.home / f"node-{node}", certificates, self._changes)
            nodes.properties(node).write_text(text, encoding="utf-8")
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            files = [nodes.properties(node) for node in self.nodes]
            list(pool.map(kafka_process.format_data, files, [layout.cluster_id] * len(files)))
        nodes.start(self.nodes)
        nodes.wait_until_up(self.nodes, self._admin(connect_timeout=_ASK_SECONDS))
