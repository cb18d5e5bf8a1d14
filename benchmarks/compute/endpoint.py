"""A real endpoint of Globus Compute in a directory of its own: the files it is configured by, and its processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import indent
from types import TracebackType
from typing import Any

import psutil

import globus_compute_hooks
from benchmarks.compute import service
from octopus_plugins.config import OctopusConfig

PATIENCE = 300.0
"""Seconds to wait for what takes an instant where nothing else keeps the machine busy."""

READY = "Ready to send"
"""What a core endpoint logs when it takes commands."""

CONFIG = """
import globus_compute_sdk.sdk.client as client
from globus_compute_endpoint.endpoint.config import CoreEndpointConfig

# The host knows a fixed list of addresses of the web service, by name.
client.get_web_service_url = lambda *_: {url!r}
config = CoreEndpointConfig(display_name={name!r}{email})
"""

CLIENT = """
import globus_compute_sdk.sdk.client as client
client.get_web_service_url = lambda *_: {url!r}
"""

TEMPLATE = """
heartbeat_period: {heartbeat}
idle_heartbeats_soft: {idle}
engine:
{engine}
"""


UNPRIVILEGED = ("unshare", "--user", "--map-user=65534", "--map-group=65534") if os.geteuid() == 0 else ()
"""Begins a command that is to run without root's privileges."""


def engine(
    octopus: OctopusConfig, blocks: int = 1, workers: int = 2, block: str = "", worker_init: str = "", **options: Any
) -> str:
    """An engine's block, as YAML.

    Args:
        octopus: Where it reports.
        blocks: Blocks of one node each.
        workers: Workers of each.
        block: What else the ``octopus:`` block says, a line each.
        worker_init: Shell commands that each block begins with.
        **options: Of the host's engine.
    """
    more = "".join(f"{key}: {value}\n" for key, value in options.items())
    ours = "".join(f"  {line}\n" for line in block.splitlines())
    return f"""
type: OctopusEngine
address: 127.0.0.1
max_workers_per_node: {workers}
heartbeat_period: 1
heartbeat_threshold: 15
job_status_kwargs: {{strategy_period: 0.5}}
{more}
provider:
  type: LocalProvider
  init_blocks: {blocks}
  min_blocks: {blocks}
  max_blocks: {blocks}
  worker_init: "{worker_init}"
octopus:
  profile: local
  bootstrap_servers: "{octopus.bootstrap_servers}"
  namespace: {octopus.namespace}
  heartbeat_period: 1
  sample_period: 0.2
{ours}
"""


class Endpoint:
    """An endpoint: started and stopped by its ``with`` block, gone with all its processes afterwards.

    Args:
        home: An empty directory, which becomes its home: GLOBUS_COMPUTE_USER_DIR, HOME and the working directory.
        web: The web service.
        engine: The ``engine:`` block of the user endpoint's template, as YAML.
        environment: More variables for the user endpoints.
        heartbeat: Seconds between heartbeats.
        idle: Heartbeats after which a user endpoint that is idle ends itself; 0 is never.
        name: Of the endpoint.
        privileged: Whether root starts it, where root runs this. It then clears its user endpoints' environment.
        hooked: Whether its user endpoints find our engine, as after ``octopus endpoint enable``.
    """

    def __init__(
        self,
        home: Path,
        web: service.ComputeService,
        engine: str,
        *,
        environment: Mapping[str, str] | None = None,
        heartbeat: int = 2,
        idle: int = 0,
        name: str = "site",
        privileged: bool = True,
        hooked: bool = True,
    ) -> None:
        self.home, self.name, self.id = home, name, ""
        self.directory = home / ".globus_compute" / name
        # Run by root, the user endpoint inherits nothing: all it needs is written down.
        told = {"PATH": _path(), "HOME": str(home), "GLOBUS_COMPUTE_USER_DIR": str(home / ".globus_compute")}
        told |= {"CWD": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state")}
        told |= environment or {}
        self._environment = {
            **os.environ,
            **told,
            "GLOBUS_COMPUTE_CLIENT_ID": service.USER,
            "GLOBUS_COMPUTE_CLIENT_SECRET": "not-a-secret",
            "GLOBUS_SDK_SERVICE_URL_AUTH": f"{web.url}/",
        }
        self._hooked = hooked
        self._configure(TEMPLATE.format(heartbeat=heartbeat, idle=idle, engine=indent(engine.strip("\n"), "  ")), told)
        self._prefix = () if privileged else UNPRIVILEGED
        email = ", email='tester@example.org'" if privileged and os.geteuid() == 0 else ""
        (self.directory / "config.py").write_text(CONFIG.format(url=web.url, name=name, email=email))

        (home / "client").mkdir()
        (home / "client" / "sitecustomize.py").write_text(CLIENT.format(url=web.url))

    def call(self, command: str, *arguments: str, **variables: str) -> str:
        """Run a command of our environment where the endpoint is, and return what it says."""
        done = subprocess.run(
            [Path(sys.executable).parent / command, *arguments],
            env={**self._environment, **variables}, cwd=self.home,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command} {arguments}\n{done.stdout}{done.stderr}\n{self.log[-8000:]}"
        return done.stdout

    def run(self, script: Path, *arguments: str) -> str:
        """Run a script that uses the SDK, and so the web service."""
        return self.call("python", str(script), *arguments, PYTHONPATH=str(self.home / "client"))

    def _configure(self, template: str, told: Mapping[str, str]) -> None:
        """Write what the owner of an endpoint writes.

        Args:
            template: Of the user endpoint's configuration.
            told: The user endpoint's environment, without us.
        """
        self.directory.mkdir(parents=True, mode=0o700)
        (self.directory / "user_config_template.yaml.j2").write_text(template)
        ours = {"PYTHONPATH": str(Path(globus_compute_hooks.__file__).parent / "site")} if self._hooked else {}
        lines = "".join(f'{key}: "{value}"\n' for key, value in {**ours, **told}.items())
        (self.directory / "user_environment.yaml").write_text(lines)

    def __enter__(self) -> Endpoint:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, for the first time or after ``stop``, and wait until it is registered."""
        before = self.log.count(READY)
        self._log = (self.home / "core.log").open("ab")
        self._process = subprocess.Popen(
            [*self._prefix, Path(sys.executable).parent / "globus-compute-endpoint", "start", self.name],
            env=self._environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # it ends its whole process group
        )
        try:
            self._wait_until_registered(before)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it as its owner does, and end what is left of it after a while."""
        family = self.processes()
        if self._process.poll() is None:
            self._process.terminate()
        psutil.wait_procs(family, timeout=15)
        self.kill()  # also those whose parent was killed

    def kill(self) -> None:
        """End all its processes at once."""
        end(self.processes)
        self._process.wait(10)
        self._log.close()

    @property
    def log(self) -> str:
        """What the core endpoint and its user endpoints have written into their logs."""
        files = [self.home / "core.log", *sorted((self.home / ".globus_compute").glob("*/endpoint.log"))]
        return "\n".join(f"== {file}\n{file.read_text(errors='replace')}" for file in files if file.exists())

    def user_endpoints(self) -> list[psutil.Process]:
        """The processes of its user endpoints; none where the endpoint itself is gone."""
        if self._process.poll() is not None:
            return []
        return [process for process in psutil.Process(self._process.pid).children() if process.status() != "zombie"]

    @property
    def pid(self) -> int:
        """The process id of its core process."""
        return self._process.pid

    def kill_user_endpoint(self) -> None:
        """Kill the user endpoint that runs, and have the core endpoint take it for dead at once."""
        (process,) = self.user_endpoints()
        process.kill()
        # The core endpoint starts none in its place before it has taken notice, and none for what was asked meanwhile.
        deadline = time.monotonic() + PATIENCE
        while psutil.pid_exists(process.pid):
            assert time.monotonic() < deadline, "the core endpoint takes no notice"
            time.sleep(0.05)
        # For a few heartbeats the host takes the one that was killed for alive, by the age of this file.
        for mark in self.home.glob(".globus_compute/uep.*/daemon.pid"):
            os.utime(mark, (0, 0))

    def processes(self) -> list[psutil.Process]:
        """Every process of this endpoint, wherever it hangs."""
        found = {process.pid: process for process in processes_of(*filter(None, (str(self.home), self.id)))}
        if self._process.poll() is None:
            found[self._process.pid] = psutil.Process(self._process.pid)
        return list(found.values())

    def _wait_until_registered(self, before: int) -> None:
        import json

        deadline = time.monotonic() + PATIENCE
        record = self.directory / "endpoint.json"
        # It forks its user endpoints, and one that it forks while its threads begin may hang for ever.
        while not record.exists() or "endpoint_id" not in record.read_text() or self.log.count(READY) == before:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the endpoint did not start:\n{self.log[-8000:]}")
            time.sleep(0.1)
        self.id = json.loads(record.read_text())["endpoint_id"]


def processes_of(*names: str) -> list[psutil.Process]:
    """Every process of endpoints that are known by these names: their homes and ids.

    Some hide their command and their environment behind a title; they are known by where they work.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), process.environ().get("HOME", ""), process.cwd()]
            if any(name in word for word in told for name in names):
                found[process.pid] = process
                found.update({child.pid: child for child in process.children(recursive=True)})
        except psutil.Error:
            continue
    return [process for process in found.values() if _is_alive(process)]


def end(look: Callable[[], list[psutil.Process]]) -> None:
    """Kill what is found until nothing is."""
    while left := look():
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1)


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
