"""100,000 events, none lost, none twice by id, in order: whatever becomes of line, broker, disk, process and key."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins import OctopusConfig
from octopus_plugins.fabric import orphans
from octopus_plugins.fabric.keys import key_path
from octopus_plugins.fabric.secret_files import make_secret_directory, write_secret
from octopus_plugins.local import ApacheKafka
from octopus_plugins.local.processes import free_port

from ...proxy import Proxy
from ..tokens import Keys
from .runs import EVENTS, Run, assert_all_there, look, note, octopus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CUT_SECONDS = 60.0
TOKEN_SECONDS = 10
DISK = "8m"


class ProxiedKafka:
    """A node that is reached through a proxy only."""

    def __init__(self) -> None:
        port = free_port()
        self.proxy = Proxy(f"127.0.0.1:{port}")
        self.kafka = ApacheKafka(port=port, settings={"advertised.listeners": f"CLIENTS://{self.proxy.address}"})

    def settings(self, namespace: str, spool: Path) -> dict[str, Any]:
        """The settings of a user of the proxy."""
        settings = self.kafka.client_settings(namespace)
        return {**settings, "bootstrap_servers": self.proxy.address, "spool_dir": spool}


@pytest.fixture(scope="module")
def proxied(kafka_tools: None) -> Iterator[ProxiedKafka]:
    """A node behind a line that can be cut."""
    proxied = ProxiedKafka()
    try:
        with proxied.kafka:
            yield proxied
    finally:
        proxied.proxy.close()


@pytest.fixture
def settings(proxied: ProxiedKafka, namespace: str, tmp_path: Path) -> dict[str, Any]:
    """A user of that node; the topics do not exist yet."""
    return proxied.settings(namespace, tmp_path / "spool")


class Person:
    """Somebody with a key of the Octopus service, as `octopus login` leaves it."""

    def __init__(self, kafka: ApacheKafka, keys: Keys, namespace: str, home: Path) -> None:
        self._keys = keys
        self.settings = {
            "profile": "octopus",
            "bootstrap_servers": kafka.address,
            "ssl_ca_location": kafka.ca_location,
            "credentials_dir": home / "credentials",
            "spool_dir": home / "spool",
            "namespace": namespace,
        }
        self.config = OctopusConfig(**self.settings)
        kafka.grant(namespace, namespace)
        kafka.create_topics(namespace)
        self.access = self.log_in()

    def log_in(self) -> str:
        """Get a new key, and keep it."""
        access, secret = self._keys.make(self.config.namespace)
        make_secret_directory(key_path(self.config).parent)
        key = {"subject": "s", "username": "a@example.org", "namespace": self.config.namespace, "endpoint": ""}
        key |= {"environment": self.config.environment, "created": "", "access_key": access, "secret_key": secret}
        write_secret(key_path(self.config), json.dumps({"version": 1, **key, "expires": None}).encode())
        return access


@pytest.fixture
def person(secure_kafka: ApacheKafka, keys: Keys, namespace: str, tmp_path: Path) -> Person:
    """Somebody who is logged in, with topics."""
    return Person(secure_kafka, keys, namespace, tmp_path)


def counted(told: dict[str, Any]) -> dict[str, int]:
    return {name: told[name] for name in ("emitted", "delivered", "spooled", "dropped", "rejected")}


ALL = {"emitted": EVENTS, "delivered": EVENTS, "spooled": 0, "dropped": 0, "rejected": 0}


def test_the_line_is_cut_for_a_minute(
    proxied: ProxiedKafka, settings: dict[str, Any], tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    rate = EVENTS / (CUT_SECONDS + 15)
    with Run(settings, tmp_path / "log", f"--last={EVENTS}", f"--rate={rate}") as run:
        run.wait(lambda told: told["delivered"] > 5000)
        proxied.proxy.cut()
        begin = time.monotonic()
        wait_for(lambda: time.monotonic() - begin > CUT_SECONDS, CUT_SECONDS + 30)
        assert run.reached(0)["spooled"] > rate * CUT_SECONDS / 2
        proxied.proxy.restore()
        told = run.finish()
    assert counted(told) == ALL
    (away,) = run.warnings
    assert "no Kafka broker answers" in away
    assert_all_there(OctopusConfig(**settings), f"line cut for {CUT_SECONDS:g} s")


def test_the_broker_is_away_at_the_start(proxied: ProxiedKafka, settings: dict[str, Any], tmp_path: Path) -> None:
    proxied.kafka.stop(1)
    try:
        with Run(settings, tmp_path / "log", f"--last={EVENTS}", "--rate=20000") as run:
            told = run.reached(EVENTS)
            assert (told["delivered"], told["spooled"]) == (0, EVENTS)
            proxied.kafka.start(1)
            told = run.finish()
    finally:
        if not proxied.kafka.pids:
            proxied.kafka.start(1)
    assert counted(told) == ALL
    assert_all_there(OctopusConfig(**settings), "broker away at the start")


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """The command that starts a process with a spool on a small disk of its own, which ends with it."""
    if shutil.which("unshare") is None:
        pytest.skip("needs Linux's unshare(1)")
    (tmp_path / "spool").mkdir()
    mount = f'mount -t tmpfs -o size={DISK} tmpfs "{tmp_path / "spool"}" && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]


def test_the_disk_of_the_spool_is_full_and_the_broker_is_there(
    proxied: ProxiedKafka, settings: dict[str, Any], tmp_path: Path, small_disk: list[str]
) -> None:
    fill = f'dd if=/dev/zero of="{tmp_path / "spool" / "filler"}" bs=64k 2>/dev/null; exec "$@"'
    wrapper = [*small_disk, "sh", "-c", fill, "sh"]
    with Run(settings, tmp_path / "log", f"--last={EVENTS}", "--rate=3000", wrapper=wrapper) as run:
        told = run.finish()
    assert counted(told) == ALL
    (full,) = run.warnings
    assert "takes no more records" in full and "No space left on device" in full and "OCTOPUS_SPOOL_DIR" in full
    assert_all_there(OctopusConfig(**settings), "disk of the spool full, broker there")


def test_the_disk_of_the_spool_fills_while_the_broker_is_away(
    proxied: ProxiedKafka, settings: dict[str, Any], tmp_path: Path, small_disk: list[str]
) -> None:
    proxied.proxy.cut()
    try:
        with Run(settings, tmp_path / "log", f"--last={EVENTS}", "--rate=20000", wrapper=small_disk) as run:
            told = run.reached(EVENTS)
            assert told["dropped"] > 0
            proxied.proxy.restore()
            told = run.finish()
    finally:
        proxied.proxy.restore()
    # There is no room for all of them: what was given up is counted, and all else arrives, in order.
    assert told["emitted"] == EVENTS
    assert told["delivered"] + told["dropped"] == EVENTS
    assert (told["spooled"], told["rejected"]) == (0, 0)
    assert any("No space left on device" in line and "make room" in line for line in run.warnings)
    found = look(OctopusConfig(**settings))
    assert len(found.ids) == told["delivered"]
    assert found.out_of_order == 0
    note("disk of the spool full, broker away", found, dropped=told["dropped"])


def test_the_process_is_killed_and_what_it_left_is_replayed(
    proxied: ProxiedKafka, settings: dict[str, Any], tmp_path: Path
) -> None:
    with Run(settings, tmp_path / "log", f"--last={EVENTS}", "--rate=10000") as run:
        run.wait(lambda told: told["delivered"] > EVENTS // 4)
        proxied.kafka.pause(1)  # so that there is a rest, of which part is on its way
        try:
            run.reached(EVENTS)
            killed = run.kill()
        finally:
            proxied.kafka.resume(1)
    assert killed["spooled"] > 0
    (orphan,) = orphans(OctopusConfig(**settings))
    assert orphan.pid == run.process.pid
    replayed = octopus("spool", "replay", settings=settings)
    assert replayed.returncode == 0, replayed.stderr
    assert orphans(OctopusConfig(**settings)) == []
    found = assert_all_there(OctopusConfig(**settings), "process killed and replayed")
    assert found.records >= EVENTS


def test_tokens_end_every_ten_seconds(person: Person, tmp_path: Path) -> None:
    options = [f"--last={EVENTS}", "--rate=3000", f"--token-seconds={TOKEN_SECONDS}"]
    begin = time.monotonic()
    with Run(person.settings, tmp_path / "log", *options) as run:
        told = run.finish()
    assert counted(told) == ALL
    assert told["tokens"] >= (time.monotonic() - begin) / TOKEN_SECONDS
    assert run.warnings == []
    assert_all_there(person.config, f"tokens end every {TOKEN_SECONDS} s")


def test_the_key_is_revoked_and_replaced(person: Person, keys: Keys, tmp_path: Path) -> None:
    options = [f"--last={EVENTS}", "--rate=3000", f"--token-seconds={TOKEN_SECONDS}"]
    with Run(person.settings, tmp_path / "log", *options) as run:
        run.wait(lambda told: told["delivered"] > 5000)
        keys.revoke(person.access)
        run.wait(lambda told: run.warnings)
        run.wait(lambda told: told["spooled"] > 5000)
        person.log_in()  # elsewhere, as far as the process knows
        told = run.finish()
    assert counted(told) == ALL
    (refused,) = run.warnings
    assert "refuse the key" in refused and "octopus login" in refused
    assert_all_there(person.config, "key revoked and replaced")
