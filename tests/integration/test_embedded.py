from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import psutil
import pytest

from octopus_plugins import local
from octopus_plugins.config import OctopusConfig, local_broker_file
from octopus_plugins.errors import BrokerStartError, MissingDependencyError
from octopus_plugins.events import Topic
from octopus_plugins.fabric import existing_topics
from octopus_plugins.local.embedded import EmbeddedBroker


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def stopped_afterwards() -> Iterator[None]:
    yield
    local.down()


@pytest.mark.usefixtures("stopped_afterwards")
def test_the_users_broker_is_started_once_and_found_by_every_configuration() -> None:
    assert local.status() is None
    running = local.up()
    assert running.started
    assert OctopusConfig.load().servers == running.address
    assert existing_topics(OctopusConfig.load()) == set(Topic)
    again = local.up()
    assert (again.pid, again.started) == (running.pid, False)
    assert local.status() == again
    with pytest.raises(BrokerStartError, match=str(running.pid)):
        local.up(port=1)
    assert local.down()
    assert not runs(running.pid)
    assert not local.down()
    assert not local_broker_file().exists()


def test_the_users_broker_outlives_the_process_that_started_it() -> None:
    code = "from octopus_plugins import local; print(local.up().pid)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    running = local.status()
    assert running is not None
    assert running.pid == int(done.stdout)
    assert local.down()


@pytest.mark.usefixtures("stopped_afterwards")
def test_a_broker_that_died_is_not_taken_for_running(wait_for: Callable[..., None]) -> None:
    running = local.up()
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: local.status() is None)
    assert local.up().pid != running.pid


def test_another_process_with_the_same_number_is_left_alone() -> None:
    file = local_broker_file()
    file.parent.mkdir(parents=True)
    file.write_text(f"127.0.0.1:9\n{os.getppid()}\n")
    assert local.status() is None
    assert not local.down()


def test_a_broker_for_a_block_is_gone_after_it_even_when_it_was_stopped(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), EmbeddedBroker() as broker:
        pid = broker.pid
        os.kill(pid, signal.SIGSTOP)
        raise RuntimeError("mine")
    assert not runs(pid)
    with pytest.raises(BrokerStartError, match="not running"):
        _ = broker.address


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BrokerStartError, match=str(port)), EmbeddedBroker(port):
            pass


def test_without_its_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> object:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(resources, "files", missing)
    with pytest.raises(MissingDependencyError, match=r"octopus-plugins\[local\]"), EmbeddedBroker():
        pass


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process of its parent's death")
def test_a_broker_of_a_killed_process_ends_with_it(wait_for: Callable[..., None]) -> None:
    script = (
        "import time; from octopus_plugins.local.embedded import EmbeddedBroker\n"
        "with EmbeddedBroker() as broker: print(broker.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        broker = int(process.stdout.readline())
        process.kill()
    wait_for(lambda: not psutil.pid_exists(broker) or psutil.Process(broker).status() == psutil.STATUS_ZOMBIE)
