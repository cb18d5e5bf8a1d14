"""`octopus doctor`, and what can be wrong on this machine and on the way: each staged for real."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from octopus_plugins import OctopusConfig, Run
from octopus_plugins.cli.group import cli
from octopus_plugins.events import Topic
from octopus_plugins.fabric import Emitter, Reader, diagnose, ensure_topics
from octopus_plugins.fabric.kafka.follower import Follower, Wanted
from octopus_plugins.local import tansu
from octopus_plugins.local.embedded import EmbeddedBroker
from octopus_plugins.local.processes import free_port

from .doctor import HERE, STAGED, assert_diagnosed, examine, other_words

CANARY = "canary-password"
STEPS = [
    "settings",
    "login",
    "key",
    "service",
    "clock",
    "address",
    "connect",
    "tls",
    "auth",
    "brokers",
    "topics",
    "produce",
    "consume",
    "spool",
    "counts",
]


def kafka(address: str, **settings: object) -> dict[str, object]:
    """Settings of a Kafka in clear text."""
    return {"profile": "kafka", "bootstrap_servers": address, "namespace": "doctor", **settings}


@pytest.fixture(scope="module")
def address(broker: EmbeddedBroker) -> str:
    """A broker that has the topics."""
    ensure_topics(OctopusConfig(profile="local", bootstrap_servers=broker.address, namespace="doctor"))
    return broker.address


def test_all_that_is_staged_is_told_apart() -> None:
    assert len(set(STAGED.values())) == len(STAGED) > 40


def test_all_is_well_and_every_step_says_what_it_saw(address: str, tmp_path: Path) -> None:
    report = examine(**kafka(address))
    assert (report.status, report.failed, report.warned) == (0, [], [])
    assert list(report.steps) == STEPS
    assert report.steps["address"]["details"]["servers"] == {address: "127.0.0.1"}
    assert report.steps["topics"]["details"]["partitions"] == {str(topic): 1 for topic in Topic}
    trip, written = report.steps["consume"]["details"]["round_trip_ms"], report.steps["produce"]["details"]
    assert trip > written["milliseconds"] > 0
    assert written["topic"] == "doctor.heartbeats"
    for name in ("login", "key", "service", "clock", "tls"):
        assert report.steps[name]["state"] == "not_needed"
        assert report.steps[name]["seen"].startswith("not needed: ")


def test_people_get_lines_of_eighty_columns_and_one_that_sums_up(address: str) -> None:
    done = CliRunner().invoke(cli, ["doctor"], env={f"OCTOPUS_{n.upper()}": str(v) for n, v in kafka(address).items()})
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line[2:10].strip() for line in lines if line[:1] in "✓–!✗·" and line[:1]] == STEPS
    assert all(len(line) <= 80 or len(line[12:].split()) == 1 for line in lines)  # a long path is not torn apart
    assert lines[-1].startswith("All is well: a record goes to your topics and back in ")


def test_the_same_is_offered_in_python(address: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = kafka(address)
    found = list(diagnose(OctopusConfig(**settings, spool_dir=tmp_path / "spool"), timeout=60))
    assert [each.step for each in found] == STEPS
    assert {each.state for each in found} == {"ok", "not_needed"}


def test_no_reader_shows_the_record_or_counts_it_as_damaged(broker: EmbeddedBroker, tmp_path: Path) -> None:
    config = OctopusConfig(
        profile="kafka", bootstrap_servers=broker.address, namespace="doctor-record", spool_dir=tmp_path / "spool"
    )
    ensure_topics(config)
    assert [each.state for each in diagnose(config) if each.step == "consume"] == ["ok"]
    reader, follower = Reader(config, Topic.heartbeats), Follower(config, Wanted(Topic.heartbeats, 0.0))
    assert list(reader) == []
    assert reader.skipped == 0
    batches = follower.read_batches()
    deadline = time.monotonic() + 30
    while not follower.caught_up and time.monotonic() < deadline:
        assert next(batches) == []
    follower.close()
    assert follower.caught_up
    assert follower.skipped == 0


def test_the_last_runs_are_shown_with_what_became_of_their_events(address: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = kafka(address)
    for number in range(2):
        emitter = Emitter(OctopusConfig(**settings, spool_dir=tmp_path / "spool"))
        emitter.emit(*(Run(run_id=f"run-{number}", time=time.time(), state="started") for _ in range(3)))
        assert emitter.flush(30)
        emitter.close()
    report = examine(**settings)
    processes = report.steps["counts"]["details"]["processes"]
    assert sorted(each["run_id"] for each in processes) == ["run-0", "run-1"]
    for each in processes:
        assert (each["emitted"], each["delivered"], each["spooled"], each["replayed"], each["dropped"]) == (
            3,
            3,
            0,
            0,
            0,
        )
        assert each["ended"]
    assert "emitted 3, delivered 3, spooled 0, replayed 0, dropped 0" in report.steps["counts"]["seen"]
    assert report.status == 0


def test_the_counts_of_a_killed_process_are_those_that_it_noted_last(address: str) -> None:
    script = (
        "import os, signal, time\n"
        "from octopus_plugins import OctopusConfig, Run\n"
        "from octopus_plugins.fabric import Emitter\n"
        "emitter = Emitter(OctopusConfig.load())\n"
        "emitter.emit(*(Run(run_id='killed', time=float(each), state='started') for each in range(7)))\n"
        "assert emitter.flush(60)\n"
        "deadline = time.monotonic() + 60\n"
        "from octopus_plugins.fabric.produce.counts_file import last_counts\n"
        "while last_counts(OctopusConfig.load(), 'doctor')[0].counts.delivered < 7 and time.monotonic() < deadline:\n"
        "    time.sleep(0.05)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {f"OCTOPUS_{name.upper()}": str(value) for name, value in kafka(address).items()}
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | environment, check=False)
    assert done.returncode == -signal.SIGKILL
    report = examine(**kafka(address))
    assert report.steps["counts"]["seen"].startswith("run killed (killed, as of ")
    assert report.steps["counts"]["seen"].endswith(": emitted 7, delivered 7, spooled 0, replayed 0, dropped 0")


def test_a_missing_package_of_the_service_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diaspora_event_sdk", None)
    report = examine(profile="octopus")
    assert_diagnosed(report, "login.package")
    assert report.steps["login"]["remedy"] == "`pip install 'octopus-plugins[octopus]'`"


def test_records_of_ended_processes_are_a_warning_with_the_command_that_delivers_them(
    address: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = kafka(f"127.0.0.1:{free_port()}", spool_dir=tmp_path / "spool")
    emitter = Emitter(OctopusConfig(**settings))
    emitter.emit(*(Run(run_id="lost", time=float(number), state="started") for number in range(5)))
    emitter.close(0.1)
    report = examine(**{**settings, "bootstrap_servers": address})
    assert report.status == 0
    assert report.warned == ["spool.waiting"]
    found = report.steps["spool"]
    assert found["seen"].startswith("5 records of an ended process wait")
    assert found["remedy"] == "`octopus spool replay`"


def test_dropped_events_are_a_warning(address: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = kafka(address)
    emitter = Emitter(OctopusConfig(**settings, spool_dir=tmp_path / "spool"))
    run = Run(run_id="late", time=1.0, state="started")
    emitter.emit(run)
    assert emitter.flush(30)
    emitter.emit(*[run] * 3)
    emitter.close(0.0)
    dropping = Emitter(OctopusConfig(**settings, spool_dir=tmp_path / "file" / "spool", sample_queue_bytes=65536))
    (tmp_path / "file").write_text("")
    dropping.emit(*(Run(run_id="dropped", time=float(each), state="started") for each in range(20_000)))
    dropping.close(5)
    assert dropping.counts.dropped > 0
    report = examine(**settings)
    assert report.warned == ["counts.dropped"]
    assert report.status == 0


def test_a_misspelt_variable_is_a_warning(address: str) -> None:
    report = examine(**kafka(address), bootstrap_server="other:9092")
    assert (report.status, report.warned) == (0, ["settings.variable"])
    assert "OCTOPUS_BOOTSTRAP_SERVERS" in report.steps["settings"]["seen"]


def test_one_bootstrap_server_of_two_is_enough_and_the_other_is_told(address: str) -> None:
    down = f"127.0.0.1:{free_port()}"
    report = examine(**kafka(f"{down},{address}"))
    assert (report.status, report.warned) == (0, ["connect.partly"])
    assert f"{down} refused the connection" in report.steps["connect"]["seen"]
    report = examine(**kafka(f"no-such-host.invalid:9092,{address}", allow_plaintext=True))
    assert (report.status, report.warned) == (0, ["address.partly"])


def test_one_broker_that_hangs_is_a_warning_while_another_one_answers(address: str, hanging: str) -> None:
    report = examine(**kafka(f"{hanging},{address}"))
    assert (report.status, report.warned) == (0, ["tls.partly"])
    assert hanging in report.steps["tls"]["seen"]
    assert report.steps["consume"]["state"] == "ok"


def test_wrong_use_has_a_status_of_its_own() -> None:
    assert CliRunner().invoke(cli, ["doctor", "--timeout", "soon"]).exit_code == 2
    assert CliRunner().invoke(cli, ["doctor", "--timeout", "0"]).exit_code == 2


def test_it_ends_in_time_also_where_nothing_answers(hanging: str) -> None:
    began = time.monotonic()
    report = examine(8, **kafka(hanging))
    assert report.failed == ["tls.silent"]
    assert time.monotonic() - began < 30  # what is asked for, and what a busy machine adds


@pytest.fixture
def hanging() -> Iterator[str]:
    """Takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def dropping() -> Iterator[str]:
    """A port behind which attempts to connect are dropped: its queue is full, and nobody takes anything out of it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        place = listener.getsockname()
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(place)
        yield f"127.0.0.1:{place[1]}"


class BadRequest(socketserver.BaseRequestHandler):
    """Answers as web servers do to what is no HTTP."""

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@contextlib.contextmanager
def web_server() -> Iterator[str]:
    """A web server."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), BadRequest)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def full_disk(directory: Path) -> Iterator[Path]:
    """A disk with hardly any room."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)]
    if (
        os.geteuid() != 0
        or sys.platform != "linux"
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a small disk needs root on Linux")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def configured(tmp_path: Path, text: str, mode: int = 0o600) -> dict[str, object]:
    """A file of settings."""
    file = tmp_path / "octopus.toml"
    file.write_text(text)
    file.chmod(mode)
    return {"config": file}


Stage = Callable[[str, Path, contextlib.ExitStack], dict[str, object]]

SASL = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "alice"}

HOW: dict[str, Stage] = {
    "a key of the file is misspelt": lambda _, home, __: configured(home, '[local]\nnamespaec = "alice"\n'),
    "the file is no TOML": lambda _, home, __: configured(home, f'[local]\nsasl_password = "{CANARY}\n'),
    "the file that is named is not there": lambda _, home, __: {"config": home / "nowhere.toml"},
    "the file shows its password to others": lambda _, home, __: configured(
        home, f'profile = "kafka"\n[kafka]\nsasl_password = "{CANARY}"\n', 0o644
    ),
    "a setting has a value that it cannot have": lambda address, _, __: kafka(address, spool_max_bytes="much"),
    "clear text would go over a network": lambda _, __, ___: kafka("kafka.example.org:9092"),
    "the password is missing": lambda address, _, __: kafka(address, **SASL),
    "no local broker runs": lambda _, __, ___: {},
    "no bootstrap servers are set": lambda _, __, ___: {"profile": "kafka"},
    "the host name is wrong": lambda _, __, ___: kafka("no-such-host.invalid:9092", allow_plaintext=True),
    "nobody listens on the port": lambda _, __, ___: kafka(f"127.0.0.1:{free_port()}"),
    "a firewall drops connections": lambda _, __, stack: kafka(stack.enter_context(dropping())),
    "TLS to a clear-text port": lambda address, _, __: kafka(address, security_protocol="SSL"),
    "a web server listens there": lambda _, __, stack: kafka(stack.enter_context(web_server())),
    "the spool's directory cannot be made": lambda address, home, __: kafka(
        address,
        spool_dir=Path(configured(home, "")["config"]) / "spool",  # type: ignore[arg-type]
    ),
    "the spool's disk is full": lambda address, home, stack: kafka(
        address, spool_dir=stack.enter_context(full_disk(home / "disk"))
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", HOW)
def test_what_is_wrong_is_told_from_all_else(what: str, address: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        settings = HOW[what](address, tmp_path, stack)
        report = examine(40, **settings)
        with other_words():
            again = examine(40, **settings)
    assert_diagnosed(report, HERE[what])
    assert_diagnosed(again, HERE[what])
    assert CANARY not in report.output


def test_a_broker_that_never_answers_is_told_from_all_else(hanging: str) -> None:
    assert_diagnosed(examine(24, **kafka(hanging)), HERE["the broker takes connections and never answers"])


def test_a_cluster_that_names_wrong_addresses_is_told_from_all_else(tmp_path: Path) -> None:
    wrong = f"127.0.0.1:{free_port()}"
    port = free_port()
    # It is asked as clients ask it, so that it would never be found ready.
    process = tansu._spawn(tansu.binary(), f"127.0.0.1:{port}", wrong, tmp_path / "log", False)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        report = examine(40, **kafka(f"127.0.0.1:{port}"))
    finally:
        tansu.stop(process, kill=True)
    assert "brokers.advertised" in report.failed
    assert f"{wrong} refused the connection" in report.steps["brokers"]["seen"]
    assert report.steps["produce"]["state"] == "not_tried"


def test_every_staging_is_tested() -> None:
    own = {"the broker takes connections and never answers", "the cluster names addresses that cannot be reached"}
    assert set(HOW) | own == set(HERE)
