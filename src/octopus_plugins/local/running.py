"""The user's local broker, of whichever kind: whether it runs, what is left on disk so that others find it, its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from octopus_plugins.config import LocalBroker, local_broker_file, read_local_broker
from octopus_plugins.errors import BrokerStartError

EMBEDDED = "embedded"
KAFKA = "kafka"

NAMES = {EMBEDDED: "the embedded broker", KAFKA: "Apache Kafka"}
"""What people read for a kind."""

_COMMANDS = {EMBEDDED: b"tansu", KAFKA: b"kafka.Kafka"}
_STOP_SECONDS = {EMBEDDED: 5.0, KAFKA: 30.0}

# Brokers that this process started and left running, to be waited for when it also stops them.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Running:
    """A local broker that runs.

    Attributes:
        address: ``host:port[,host:port…]``.
        pids: Its process ids.
        kind: ``embedded`` or ``kafka``.
        log: Its log file; of several processes, the directory of theirs.
        settings: A configuration file for its user, where it lets only users in.
        started: Whether this call started it.
    """

    address: str
    pids: tuple[int, ...]
    kind: str
    log: Path
    settings: Path | None = None
    started: bool = False

    @property
    def pid(self) -> int:
        """The id of its first process."""
        return self.pids[0]

    @property
    def name(self) -> str:
        """What people read."""
        return NAMES[self.kind]


def kafka_home() -> Path:
    """The directory of the user's own Apache Kafka: its data, settings, certificates and logs."""
    return local_broker_file().with_name("kafka")


def log_place(kind: str) -> Path:
    """The log file of a kind of broker, or the directory of its log files."""
    return local_broker_file().with_name("tansu.log") if kind == EMBEDDED else kafka_home()


def status() -> Running | None:
    """The user's local broker, if it runs."""
    found = read_local_broker()
    if found is None or found.kind not in NAMES:
        return None
    pids = tuple(pid for pid in found.pids if _is_broker(pid, found.kind))
    # The numbers may belong to somebody else by now.
    return Running(found.address, pids, found.kind, log_place(found.kind), found.settings) if pids else None


def remember(broker: LocalBroker, processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Leave word of a broker that goes on running, for every process of this user."""
    file = local_broker_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = (broker.address, " ".join(map(str, broker.pids)), broker.kind, str(broker.settings or ""))
    # Written whole and then renamed, so that nobody reads half of it.
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    draft.replace(file)
    _children.update({process.pid: process for process in processes})


def down(*, purge: bool = False) -> bool:
    """Stop the user's local broker. What an embedded one holds is gone; Apache Kafka keeps its data.

    Args:
        purge: Also delete the data, certificates and passwords of Apache Kafka.

    Returns:
        Whether one was running.

    Raises:
        BrokerStartError: It does not end.
    """
    running = status()
    if running is not None:
        _end(running)
    local_broker_file().unlink(missing_ok=True)
    if purge:
        shutil.rmtree(kafka_home(), ignore_errors=True)
    return running is not None


def _end(running: Running) -> None:
    left = set(running.pids)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + _STOP_SECONDS[running.kind]
        while time.monotonic() < deadline:
            left = {pid for pid in left if _is_broker(pid, running.kind)}
            if not left:
                for pid in running.pids:
                    if pid in _children:
                        _children.pop(pid).wait()
                return
            time.sleep(0.02)
    pids = ", ".join(map(str, sorted(left)))
    raise BrokerStartError(f"{running.name} (process {pids}) does not end", remedy=f"its log is {running.log}")


def _is_broker(pid: int, kind: str) -> bool:
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
    return _COMMANDS[kind] in command
