"""A workflow while its broker is stopped, cut off, away, or while it is killed itself.

The workflow is a script of its own, with real workers. It must come to the same results in the same time, and in the
end every record that it emitted (its own list of them is the measure) is in the topics, once, in order per task.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Topic
from octopus_plugins.fabric import Reader, orphans
from octopus_plugins.local.embedded import EmbeddedBroker

from . import processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SCRIPT = Path(__file__).parent / "site" / "outage_run.py"
SLOWER = 3.0
SLOWER_SECONDS = 10.0
"""How much longer than an undisturbed run one may take. Generous: other tests may share the machine's cores. What
waits for the broker shows all the same: it goes on only when the broker does, for which the test waits in turn."""

CLOSING_SECONDS = 20.0
"""How much longer than `close_timeout` the end of a run may take, beside what it takes undisturbed: as generous."""

IN_FLIGHT = 4
"""Records that one call emits at most: what SIGKILL can catch between the list of them and the journal."""


class Script:
    """The workflow's process; ``reached`` waits until it is so far."""

    def __init__(self, home: Path, config: OctopusConfig) -> None:
        self.config = config
        self.home = home
        self.emitted = home / "emitted"
        self.said: dict[str, Any] = {"done": 0}
        octopus = {
            "profile": config.profile,
            "bootstrap_servers": config.bootstrap_servers,
            "namespace": config.namespace,
            "spool_dir": str(config.spool_dir),
            "connect_timeout": config.connect_timeout,
        }
        asked = {"run_dir": str(home / "run"), "emitted": str(self.emitted), "octopus": octopus}
        self._errors = (home / "stderr").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), json.dumps(asked)], stdout=subprocess.PIPE, stderr=self._errors, cwd=home
        )
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def reached(self, done: int, seconds: float = 150.0) -> None:
        with self._changed:
            arrived = self._changed.wait_for(lambda: self.said["done"] >= done or not self._reader.is_alive(), seconds)
        assert arrived and self.said["done"] >= done, f"only {self.said['done']} tasks are done: {self.messages()}"

    def complained(self, seconds: float = 150.0) -> None:
        """Wait until it says something, which must be of ours."""
        with self._changed:
            self._changed.wait_for(lambda: self.messages() or not self._reader.is_alive(), seconds)
        assert "octopus_plugins" in self.messages(), f"{self.said['done']} tasks are done; it said: {self.messages()!r}"

    def finished(self, seconds: float = 150.0) -> dict[str, Any]:
        """What it came to."""
        assert self._process.wait(seconds) == 0, self.messages()
        self._reader.join(5)
        processes.wait_until_gone(self.home)
        return self.said

    def kill(self) -> None:
        """SIGKILL it, then what it leaves behind: workers outlive their workflow for a while."""
        left = processes.of_run(self.home)
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        processes.kill([process for process in left if process.pid != self._process.pid])

    def messages(self) -> str:
        return (self.home / "stderr").read_text(encoding="utf-8")

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._errors.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        processes.kill(processes.of_run(self.home))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.said.update(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


@pytest.fixture
def start(tmp_path: Path, make_config: Callable[..., OctopusConfig]) -> Iterator[Callable[..., Script]]:
    """Start the workflow against a broker's address, with what else its configuration says."""
    started: list[Script] = []

    def go(address: str, **settings: Any) -> Script:
        home = tmp_path / "workflow"
        home.mkdir()
        started.append(Script(home, make_config(address, **settings)))
        return started[-1]

    yield go
    for script in started:
        script.close()


@pytest.fixture(scope="module")
def undisturbed(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the workflow comes to with a broker that is always there."""
    home = tmp_path_factory.mktemp("undisturbed")
    config = OctopusConfig.load(bootstrap_servers=broker.address, namespace="undisturbed", spool_dir=home / "spool")
    script = Script(home, config)
    try:
        said = script.finished()
        assert_all_arrived(script)
        assert script.messages() == ""
        return said
    finally:
        script.close()


@pytest.fixture
def own_broker() -> Iterator[EmbeddedBroker]:
    """A broker that may be hurt."""
    with EmbeddedBroker() as broker:
        yield broker
        os.kill(broker.pid, signal.SIGCONT)


def topics(config: OctopusConfig) -> dict[tuple[str, str], list[str]]:
    """The ids of all records in the topics, by topic and key, in order, each once."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for topic in Topic:
        for event in Reader(config, topic):
            if event.RECORD:
                found[str(topic), event.key].append(event.id)
    return dict(found)


def emitted(script: Script, *, without_last: int = 0) -> dict[tuple[str, str], list[str]]:
    """The ids of all records that the workflow emitted, by topic and key, in order."""
    lines = script.emitted.read_text(encoding="utf-8").splitlines()
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in lines[: len(lines) - without_last]:
        topic, key, name = line.split("\t")
        found[topic, key].append(name)
    return dict(found)


def assert_all_arrived(script: Script, *, killed: bool = False) -> None:
    """Every record that was emitted is in the topics, once, and in order for each task."""
    arrived = topics(script.config)
    wanted = emitted(script)
    assert sum(map(len, wanted.values())) > 100
    assert {topic for topic, _ in wanted} == {"task-metrics", "failures", "decisions"}
    ids = [name for names in arrived.values() for name in names]
    assert len(ids) == len(set(ids))
    if killed:
        missing = sum(map(len, wanted.values())) - len(ids)
        assert missing <= IN_FLIGHT
        wanted = emitted(script, without_last=missing)
    assert arrived == wanted


def assert_unaffected(said: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    """The workflow came to the same results in about the same time."""
    assert said["outcomes"] == undisturbed["outcomes"]
    assert said["seconds"] < SLOWER * undisturbed["seconds"] + SLOWER_SECONDS


def replay(config: OctopusConfig) -> str:
    """``octopus spool replay``."""
    environment = {
        **os.environ,
        "OCTOPUS_BOOTSTRAP_SERVERS": str(config.bootstrap_servers),
        "OCTOPUS_NAMESPACE": config.namespace,
        "OCTOPUS_SPOOL_DIR": str(config.spool_dir),
    }
    done = subprocess.run(
        [sys.executable, "-m", "octopus_plugins.cli", "spool", "replay"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_spool_is_empty(config: OctopusConfig) -> None:
    assert orphans(config) == []
    assert [path for path in config.spool_dir.rglob("*") if path.is_file()] == []


def test_an_undisturbed_run_delivers_every_record(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["done"] == len(undisturbed["outcomes"])
    assert {"ValueError", "DependencyError"} <= set(map(str, undisturbed["outcomes"]))


def test_a_broker_that_is_stopped_in_the_middle_changes_nothing(
    start: Callable[..., Script], own_broker: EmbeddedBroker, undisturbed: dict[str, Any]
) -> None:
    script = start(own_broker.address)
    script.reached(20)
    os.kill(own_broker.pid, signal.SIGSTOP)
    script.reached(60)
    os.kill(own_broker.pid, signal.SIGCONT)
    assert_unaffected(script.finished(), undisturbed)
    assert_all_arrived(script)
    assert_spool_is_empty(script.config)


def test_a_line_to_the_broker_that_is_cut_in_the_middle_changes_nothing(
    start: Callable[..., Script], proxied_broker: Any, undisturbed: dict[str, Any]
) -> None:
    script = start(proxied_broker.address)
    for begin, end in ((10, 30), (40, 60)):
        script.reached(begin)
        proxied_broker.proxy.cut()
        script.reached(end)
        proxied_broker.proxy.restore()
    assert_unaffected(script.finished(), undisturbed)
    assert_all_arrived(script)
    assert_spool_is_empty(script.config)


def test_a_broker_that_comes_late_gets_everything(
    start: Callable[..., Script], proxied_broker: Any, undisturbed: dict[str, Any]
) -> None:
    proxied_broker.proxy.cut()
    # It complains long before its tasks are done, however quick they are.
    script = start(proxied_broker.address, connect_timeout=1.0)
    script.complained()
    proxied_broker.proxy.restore()
    assert_unaffected(script.finished(), undisturbed)
    assert_all_arrived(script)
    messages = [line for line in script.messages().splitlines() if "octopus_plugins" in line]
    assert len(messages) == 1, messages
    assert proxied_broker.address in messages[0] and str(script.config.spool_dir) in messages[0]


def test_what_a_run_leaves_behind_when_the_broker_stays_away_is_replayed(
    start: Callable[..., Script], proxied_broker: Any, undisturbed: dict[str, Any]
) -> None:
    script = start(proxied_broker.address)
    script.reached(40)
    proxied_broker.proxy.cut()
    said = script.finished()
    assert_unaffected(said, undisturbed)
    assert said["closing"] < undisturbed["closing"] + script.config.close_timeout + CLOSING_SECONDS
    assert "octopus spool replay" in script.messages()
    proxied_broker.proxy.restore()
    assert "of 1 process" in replay(script.config)
    assert_all_arrived(script)
    assert_spool_is_empty(script.config)


@pytest.mark.parametrize("broker_is", ["there", "stopped"])
def test_a_killed_workflow_s_records_are_replayed(
    start: Callable[..., Script], own_broker: EmbeddedBroker, broker_is: str
) -> None:
    script = start(own_broker.address)
    script.reached(30)
    if broker_is == "stopped":
        os.kill(own_broker.pid, signal.SIGSTOP)
    script.reached(60)
    script.kill()
    os.kill(own_broker.pid, signal.SIGCONT)
    replay(script.config)
    assert_all_arrived(script, killed=True)
    assert_spool_is_empty(script.config)
    assert processes.of_run(script.home) == []


def test_a_broker_that_is_stopped_until_after_the_end_changes_nothing(
    start: Callable[..., Script], own_broker: EmbeddedBroker, undisturbed: dict[str, Any]
) -> None:
    script = start(own_broker.address)
    script.reached(5)
    os.kill(own_broker.pid, signal.SIGSTOP)
    said = script.finished()
    assert_unaffected(said, undisturbed)
    assert said["closing"] < undisturbed["closing"] + script.config.close_timeout + CLOSING_SECONDS
    # What the dead process had sent may stand in the broker's socket still, and comes first when it goes on.
    os.kill(own_broker.pid, signal.SIGCONT)
    replay(script.config)
    assert_all_arrived(script)
    assert_spool_is_empty(script.config)
