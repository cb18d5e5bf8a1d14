"""A RabbitMQ of our own: on loopback, with its data, its Erlang cookie and its port mapper in one directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psutil

from octopus_plugins.local.processes import end_with_parent, free_ports, stop

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PACKAGE = "rabbitmq-server"
START_SECONDS = 180.0


class RabbitMQ:
    """A server for one ``with`` block: always stopped, leaves nothing behind."""

    def __enter__(self) -> RabbitMQ:
        self._home = Path(tempfile.mkdtemp(prefix="octopus-rabbitmq-"))
        self.port, distribution, epmd = free_ports(3)
        environment = self._prepare(distribution, epmd)
        # The server would start a port mapper that outlives it: this one is ours to end.
        self._epmd = subprocess.Popen(
            ["epmd", "-address", "127.0.0.1", "-port", str(epmd)],
            preexec_fn=end_with_parent,  # noqa: PLW1509 - one prctl
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for_port(epmd, self._epmd, "epmd")
            with (self._home / "server.log").open("wb") as log:
                self._server = subprocess.Popen(
                    [SERVER],
                    env=environment,
                    preexec_fn=end_with_parent,  # noqa: PLW1509 - one prctl
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            try:
                self._wait_until_ready()
            except BaseException:
                _kill_family(self._server)
                raise
        except BaseException:
            stop(self._epmd, kill=True, seconds=0)
            shutil.rmtree(self._home)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._server, kill=False, seconds=20.0)
        stop(self._epmd, kill=False, seconds=5.0)
        shutil.rmtree(self._home)

    @property
    def url(self) -> str:
        """Where its clients connect to."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def _prepare(self, distribution: int, epmd: int) -> dict[str, str]:
        home = self._home
        settings = f"listeners.tcp.1 = 127.0.0.1:{self.port}", "log.console = true", "log.console.level = warning"
        (home / "rabbitmq.conf").write_text("\n".join((*settings, "log.file = false", "")))
        (home / "enabled_plugins").write_text("[].")
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return kept | {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"octopus{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                log = (self._home / "server.log").read_text(errors="replace")[-4000:]
                raise RuntimeError(f"RabbitMQ did not start; the end of its log:\n{log}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as probe:
                probe.sendall(b"AMQP\0\0\x09\1")
                return probe.recv(1) != b""
        except OSError:
            return False


def _kill_family(server: subprocess.Popen[bytes]) -> None:
    """The server is a shell's child."""
    try:
        family = psutil.Process(server.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    stop(server, kill=True, seconds=0)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=10)


def ensure_installed() -> str | None:
    """Install Debian's package where that is possible.

    Returns:
        What is missing and how to get it; None where RabbitMQ is there.
    """
    if SERVER.exists():
        return None
    how = f"Globus Compute on this machine needs RabbitMQ: apt-get install {PACKAGE}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return how
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with Path(__file__).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process of the tests may want it, too
        for command in (["update"], ["install", "--yes", "--no-install-recommends", PACKAGE]):
            if SERVER.exists():
                break
            done = subprocess.run(
                ["apt-get", "--quiet", *command], env=quiet, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                return f"{how} (tried as root, and failed: {done.stderr.strip()[-400:]})"
    return None if SERVER.exists() else how


def _wait_for_port(port: int, process: subprocess.Popen[bytes], name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not listen on port {port}") from None
            time.sleep(0.05)
        else:
            return
