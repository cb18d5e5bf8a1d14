"""A thousand hostile records in each topic of Apache Kafka: whoever reads goes on, counts them, and says so once."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from click.testing import CliRunner, Result
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

from octopus_plugins import OctopusConfig, decisions, failures, heartbeats, resources, runs, tasks
from octopus_plugins.cli import cli
from octopus_plugins.events import Decision, Event, Topic
from octopus_plugins.fabric import Reader, ensure_topics
from octopus_plugins.fabric.kafka.produce_sync import send_now
from octopus_plugins.services import DecisionInbox
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler

from .hostile_topics import EACH, Written, failure, good_events, write

Wait = Callable[..., None]

QUESTIONS = {
    Topic.task_metrics: (tasks, resources, runs),
    Topic.heartbeats: (heartbeats,),
    Topic.failures: (failures,),
    Topic.decisions: (decisions,),
}


@pytest.fixture
def environment(open_config: OctopusConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the test's broker, for this process and for those that it starts."""
    monkeypatch.setenv("OCTOPUS_PROFILE", "kafka")
    monkeypatch.setenv("OCTOPUS_BOOTSTRAP_SERVERS", open_config.servers)
    monkeypatch.setenv("OCTOPUS_NAMESPACE", open_config.namespace)
    monkeypatch.setenv("OCTOPUS_SPOOL_DIR", str(open_config.spool_dir))


@pytest.fixture
def written(open_config: OctopusConfig, environment: None) -> Written:
    """The four topics, full of hostile records."""
    ensure_topics(open_config)
    return write(open_config, good_events("r"))


def ids(events: Any) -> list[str]:
    return [event.id for event in events]


def octopus(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def skipped_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if "skipped" in line]


def test_every_reader_gives_exactly_the_good_ones_and_counts_the_others(
    open_config: OctopusConfig, written: Written, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    for topic in Topic:
        good, rejected = written.good[topic], written.rejected[topic]
        assert rejected > 0.8 * EACH
        reader = Reader(open_config, topic)
        assert list(reader) == good
        assert reader.skipped == rejected
        (said,) = skipped_lines("\n".join(caplog.messages))
        assert said.startswith(f"{rejected:,} records were skipped")
        assert len(said) < 1_000
        caplog.clear()
        following = Reader(open_config, topic, follow=True)
        arrived: list[Event] = []
        thread = threading.Thread(target=lambda: arrived.extend(following))  # noqa: B023
        thread.start()
        try:
            wait_for(lambda: len(arrived) == len(good) and following.skipped == rejected)  # noqa: B023
        finally:
            following.close()
            thread.join(10)
        assert ids(arrived) == ids(good)
        first, last = skipped_lines("\n".join(caplog.messages))
        assert "further ones are counted" in first
        assert last.startswith(f"{rejected:,} records were skipped in all")
        caplog.clear()
        found: list[str] = []
        for question in QUESTIONS[topic]:
            stream = question(config=open_config)
            found += ids(stream)
            assert stream.to_pandas()["run_id"].tolist() == stream.to_arrow()["run_id"].to_pylist()
        assert sorted(found) == sorted(ids(each for each in good if ids([each])[0].split("/")[1] != "block"))
        caplog.clear()


def test_the_commands_show_exactly_the_good_ones(written: Written) -> None:
    for command, topic in (("failures", Topic.failures), ("decisions", Topic.decisions)):
        result = octopus(command, "--json")
        assert result.exit_code == 0
        assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ids(written.good[topic])
        (said,) = skipped_lines(result.stderr)
        assert said.startswith(f"octopus: {written.rejected[topic]:,} records were skipped")
    everything = [event for topic in Topic for event in written.good[topic]]
    result = octopus(
        "tail",
        *(topic.value for topic in Topic),
        "--samples",
        "--since",
        "1h",
        "--json",
        "--limit",
        str(len(everything)),
    )
    assert result.exit_code == 0
    assert sorted(json.loads(line)["id"] for line in result.stdout.splitlines()) == sorted(ids(everything))
    said = "\n".join(skipped_lines(result.stderr))
    assert len(said.splitlines()) == 2 * len(Topic)
    for topic in Topic:
        assert f"{written.rejected[topic]:,} records were skipped in all" in said
    result = octopus("explain", "r", "2")
    assert result.exit_code == 0
    assert "ZeroDivisionError" not in result.stdout and "Unable to allocate 8 GiB" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr
    assert len(result.stderr.splitlines()) <= 4, "a line for each reading of a topic"


class Service:
    """The decider service as a process, and what it says."""

    def __init__(self, said: Path, policy: Path) -> None:
        command = [sys.executable, "-m", "octopus_plugins.cli", "wrath", "serve", "--policy", str(policy)]
        self._said = said
        with said.open("w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ))

    @property
    def text(self) -> str:
        return self._said.read_text()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> str:
        """End it; returns its last line."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self.text
        return self.text.splitlines()[-1]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def serve(tmp_path: Path, wait_for: Wait) -> Iterator[Callable[[], Service]]:
    started: list[Service] = []
    policy = tmp_path / "policy.toml"  # by which what a service remembers decides
    policy.write_text("[categories.unknown]\nconfirm = 2\n", encoding="utf-8")

    def start() -> Service:
        service = Service(tmp_path / f"said-{len(started)}", policy)
        started.append(service)
        wait_for(lambda: "Deciding for" in service.text or service.ended, 60)
        return service

    yield start
    for service in started:
        service.kill()


def test_the_service_decides_the_good_ones_and_takes_up_its_state_again(
    open_config: OctopusConfig, written: Written, serve: Callable[[], Service], wait_for: Wait
) -> None:
    def decided() -> list[Decision]:
        return [one for one in decisions(run_id="r", config=open_config) if one.decider == "service"]

    rejected = written.heeded
    first = serve()
    wait_for(lambda: len(decided()) == 20, 60)
    assert first.stop() == f"20 failures were decided; {rejected:,} records were no events."
    assert first.text.count("is no event and is skipped") == 1
    assert len(skipped_lines(first.text)) == 2

    second = serve()
    live = write(open_config, {Topic.failures: [failure("r", 0, host="n2", try_id=1), failure("r", 99)]}, 250, seed=2)
    wait_for(lambda: len(decided()) == 22, 60)
    rejected += live.heeded
    assert second.stop() == f"2 failures were decided; {rejected:,} records were no events."
    by_try = {(one.task_id, one.try_id): one for one in decided()}
    assert {key for key in by_try if not key[1]} == {(str(number), 0) for number in (*range(20), 99)}
    assert by_try["0", 0].action == "retry"
    assert by_try["0", 1].action == "terminate"
    assert "the same failure on 2 nodes (n1, n2)" in by_try["0", 1].reason, "what the first one saw, the second knows"
    assert {by_try[str(number), 0].category for number in range(1, 20)} == {"memory_exhausted"}


def test_an_inbox_hears_the_good_orders_and_counts_the_others(
    open_config: OctopusConfig, written: Written, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Decision] = []
    inbox = DecisionInbox(open_config, "r", heard.append)
    inbox.start()
    try:
        person: dict[str, Any] = {"run_id": "r", "time": time.time(), "decider": "person", "serial": "1"}
        order = Decision(**person, task_id="7", action="terminate", reason="enough")
        write(open_config, {Topic.decisions: [order]}, 250, seed=3)
        wait_for(lambda: [one for one in heard if one.run_id == "r"], 60)
    finally:
        inbox.close()
    assert [one for one in heard if one.run_id == "r"] == [order]
    assert 2 <= len(skipped_lines(caplog.text)) <= 4, "it reads what people decided before beside"


def test_a_run_goes_on_and_heeds_a_good_order_after_hostile_ones(
    open_config: OctopusConfig, written: Written, tmp_path: Path, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(
        executors=[ThreadPoolExecutor(label="threads", max_threads=2)],
        monitoring=OctopusMonitoringHub(octopus=open_config),
        retry_handler=WrathRetryHandler(),
        retries=2,
        strategy="none",
        initialize_logging=False,
        run_dir=str(tmp_path / "run"),
    )
    go_on, tries = threading.Event(), {"doomed": 0, "other": 0}

    def fail(name: str) -> None:
        assert go_on.wait(300)
        tries[name] += 1
        raise ConnectionError("reset by peer")

    caplog.set_level(logging.WARNING, "octopus_plugins")
    with contextlib.ExitStack() as stack:
        dfk = stack.enter_context(parsl.load(config))
        stack.callback(go_on.set)
        doomed, other = parsl.python_app(fail)("doomed"), parsl.python_app(fail)("other")
        write(open_config, {}, EACH, seed=4, run_id=dfk.run_id)
        about = {"run_id": dfk.run_id, "task_id": str(doomed.tid), "time": time.time(), "serial": uuid.uuid4().hex}
        send_now(open_config, Decision(**about, action="terminate", decider="person", reason="ada has seen enough"))
        wait_for(lambda: f"Task {doomed.tid} is stopped: ada has seen enough" in caplog.text, 60)
        go_on.set()
        assert doomed.exception(60) is not None
        assert isinstance(other.exception(60), ConnectionError)
        assert parsl.python_app(lambda: 6 * 7)().result(60) == 42
    assert tries["doomed"] == 1
    assert tries["other"] > 1, "what nobody stopped was retried"
    applied = [one for one in decisions(run_id=dfk.run_id, config=open_config) if one.decider == "person" and one.order]
    assert [(one.task_id, one.action, one.reason) for one in applied] == [
        (str(doomed.tid), "terminate", "ada has seen enough")
    ]
    assert not [each for each in caplog.records if each.name == "octopus_plugins" and each.exc_info], (
        "nothing was raised on the way"
    )
