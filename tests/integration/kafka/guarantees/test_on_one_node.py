"""A stream of events, none lost, none twice, in order: whatever becomes of line, broker, disk, process and key."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.proxy import Proxy
from octopus_plugins import OctopusConfig
from octopus_plugins.fabric import orphans
from octopus_plugins.fabric.octopus.keys import key_path
from octopus_plugins.fabric.octopus.secret_files import make_secret_directory, write_secret
from octopus_plugins.local import ApacheKafka
from octopus_plugins.local.processes import free_port

from ..tokens import Keys
from .runs import ALL, EVENTS, WHOLE, Run, assert_all_there, counted, ids, look, note, octopus, read_in_order
from .stream import BATCH

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CUT_SECONDS = 60.0 if WHOLE else 20.0
TOKEN_SECONDS = 10  # one that ends sooner could end before it is used, on a busy machine, and that would be told
TOKENS_RATE = 3000 if WHOLE else EVENTS / 25
DISK_KIB = 8192
MORE_THAN_FIT = 100_000  # on the disk and in memory
FILE_KIB = 3072  # less than a segment of the spool, or the next one would take what this one does not


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


def test_the_line_is_cut_for_a_while(
    proxied: ProxiedKafka, settings: dict[str, Any], tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    rate = EVENTS / (CUT_SECONDS + 15)
    with Run(settings, tmp_path / "log", f"--last={EVENTS}", f"--rate={rate}") as run:
        run.wait(lambda told: told["delivered"] > 5000)
        proxied.proxy.silence()  # nobody is told, as where a cable is pulled; what was on its way arrives late
        try:
            begin = time.monotonic()
            wait_for(lambda: time.monotonic() - begin > CUT_SECONDS, CUT_SECONDS + 30)
            assert run.reached(0)["spooled"] > rate * CUT_SECONDS / 2
        finally:
            proxied.proxy.restore()
        told = run.finish()
    assert counted(told) == ALL
    (away,) = run.warnings
    assert "no Kafka broker answers" in away
    assert_all_there(OctopusConfig(**settings), f"line cut for {CUT_SECONDS:g} s", told)


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
    assert_all_there(OctopusConfig(**settings), "broker away at the start", told)


class Disk:
    """A small disk for a spool, which ends with the process that has it.

    It is a file system of its own where one may be mounted; else no file may be larger than it would be.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        spool.mkdir()
        self._unshare = ["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), "--mount"]
        probe = [*self._unshare, "sh", "-c", f'mount -t tmpfs tmpfs "{spool}"']
        self._mounts = shutil.which("unshare") is not None and subprocess.run(probe, check=False).returncode == 0

    def command(self, *, full: bool = False) -> list[str]:
        """What a process is started by.

        Args:
            full: Whether somebody else has filled the disk already.
        """
        if not self._mounts:
            kib = 32 if full else FILE_KIB
            return ["sh", "-c", f'ulimit -f {2 * kib} && exec "$@"', "sh"]  # in blocks of 512 bytes
        script = f'mount -t tmpfs -o size={DISK_KIB}k tmpfs "{self._spool}" && '
        if full:
            script += f'{{ dd if=/dev/zero of="{self._spool}/filler" bs=64k 2>/dev/null; true; }} && '
        return [*self._unshare, "sh", "-c", f'{script} exec "$@"', "sh"]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """A small disk for the spool."""
    return Disk(tmp_path / "spool")


FULL = re.compile("takes no more records: .*(No space left on device|File too large).*make room.*OCTOPUS_SPOOL_DIR")


def test_the_disk_of_the_spool_is_full_and_the_broker_is_there(
    proxied: ProxiedKafka, settings: dict[str, Any], tmp_path: Path, disk: Disk
) -> None:
    command = disk.command(full=True)
    with Run(settings, tmp_path / "log", f"--last={EVENTS}", "--rate=3000", wrapper=command) as run:
        told = run.finish()
    assert counted(told) == ALL
    (full,) = run.warnings
    assert FULL.search(full)
    assert_all_there(OctopusConfig(**settings), "disk of the spool full, broker there", told)


def test_the_disk_of_the_spool_fills_while_the_broker_is_away(
    proxied: ProxiedKafka, settings: dict[str, Any], tmp_path: Path, disk: Disk
) -> None:
    proxied.proxy.cut()
    try:
        with Run(settings, tmp_path / "log", f"--last={MORE_THAN_FIT}", "--rate=20000", wrapper=disk.command()) as run:
            away = run.reached(MORE_THAN_FIT)
            proxied.proxy.restore()
            told = run.finish()
    finally:
        proxied.proxy.restore()
    # There is no room for all of them: what was given up is counted and said, and all else arrives, in order.
    dropped = told["dropped"]
    assert away["spooled"] > 0 and dropped > 0
    assert counted(told) == {**ALL, "emitted": MORE_THAN_FIT, "delivered": MORE_THAN_FIT - dropped, "dropped": dropped}
    assert sum(FULL.search(line) is not None for line in run.warnings) == 1
    assert run.warnings[-1].startswith(f"events: emitted {MORE_THAN_FIT}, delivered {MORE_THAN_FIT - dropped}, ")
    assert f"dropped {dropped}" in run.warnings[-1]
    config = OctopusConfig(**settings)
    found = look(config)
    assert set(found.ids) >= ids(0, away["spooled"]), "what is on the disk is not given up"
    assert len(found.ids) == told["delivered"]
    assert found.out_of_order == 0
    assert read_in_order(config) == len(found.ids)
    note("disk of the spool full, broker away", found, told)


def test_processes_are_killed_and_what_they_left_is_replayed(
    proxied: ProxiedKafka, settings: dict[str, Any], tmp_path: Path
) -> None:
    """The first while it emits, delivered by a command; the second with all it had waiting, by the next start."""
    config = OctopusConfig(**settings)
    with Run(settings, tmp_path / "log", f"--last={EVENTS}", "--rate=10000") as run:
        run.wait(lambda told: told["delivered"] > EVENTS // 10)
        proxied.kafka.pause(1)  # so that there is a rest, of which part is on its way
        try:
            run.wait(lambda told: told["spooled"] > EVENTS // 10)
            killed = run.kill()
        finally:
            proxied.kafka.resume(1)
    (orphan,) = orphans(config)
    assert orphan.pid == run.process.pid
    left = orphan.count()
    replayed = octopus("spool", "replay", settings=settings)
    assert (replayed.returncode, replayed.stdout) == (
        0,
        f"Delivered {left:,} records of 1 processes to {config.namespace}.\n",
    )
    first = len(look(config).ids)
    assert killed["number"] <= first <= killed["number"] + BATCH, "all of which the emitter had said that it has them"

    second = EVENTS * 7 // 10
    proxied.kafka.pause(1)
    try:
        options = ["--run=s", f"--first={first}", f"--last={second}", "--rate=20000"]
        with Run(settings, tmp_path / "log", *options) as run:
            assert run.reached(second)["spooled"] == second - first
            run.kill()
    finally:
        proxied.kafka.resume(1)
    options = ["--run=t", f"--first={second}", f"--last={EVENTS}", "--rate=10000", f"--replayed={second - first}"]
    with Run(settings, tmp_path / "log", *options) as run:
        told = run.finish()
    assert counted(told) == {**ALL, "emitted": EVENTS - second, "delivered": EVENTS - second}
    assert told["replayed"] == second - first
    assert orphans(config) == []
    totals = {"emitted": EVENTS, "delivered": first - left + told["delivered"], "replayed": left + told["replayed"]}
    expected = ids(0, first) | ids(first, second, "s") | ids(second, EVENTS, "t")
    assert_all_there(config, "process killed and replayed, twice", totals, expected)


def test_tokens_end_every_few_seconds(person: Person, tmp_path: Path) -> None:
    options = [f"--last={EVENTS}", f"--rate={TOKENS_RATE}", f"--token-seconds={TOKEN_SECONDS}"]
    with Run(person.settings, tmp_path / "log", *options) as run:
        told = run.finish()
    assert counted(told) == ALL
    assert told["tokens"] >= EVENTS / TOKENS_RATE / TOKEN_SECONDS, "at four fifths of the life of each comes the next"
    assert run.warnings == []
    assert_all_there(person.config, f"tokens end every {TOKEN_SECONDS} s", told)


def test_the_key_is_revoked_and_replaced(person: Person, keys: Keys, tmp_path: Path) -> None:
    # The brokers find out when a token is to be renewed: there must be enough left to emit then.
    options = [f"--last={EVENTS}", f"--rate={EVENTS / 30}", f"--token-seconds={TOKEN_SECONDS}"]
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
    assert_all_there(person.config, "key revoked and replaced", told)
