"""The decider service, as a process and in this one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.proxy import ProxiedBroker
from octopus_plugins import OctopusConfig, decisions, heartbeats
from octopus_plugins.cli import cli
from octopus_plugins.events import ANY, Decision, ExceptionInfo, Failure, Pool, Run, Task, Topic
from octopus_plugins.fabric import Emitter, topic_name
from octopus_plugins.plugins import Plugins, hookimpl
from octopus_plugins.services import Decider, DecisionInbox
from octopus_plugins.services import decider_service as decider_module
from octopus_plugins.wrath import Policy, policy_from
from octopus_plugins.wrath.policy.data import policy_digest

Wait = Callable[..., None]

POOLS = (
    Pool(label="small", observed=True, steerable=True, memory_per_worker=2 << 30, maximum_nodes=4),
    Pool(label="large", observed=True, steerable=True, memory_per_worker=64 << 30, maximum_nodes=2),
)
LADDER = {"name": "climber", "ladder": ["small", "large"]}


def configured(run_id: str = "r", **changes: Any) -> Run:
    return Run(run_id=run_id, time=time.time(), state="configured", retries=5, pools=POOLS, **changes)


def failure(task: int | str, *, host: str = "n1", ago: float = 0.0, **changes: Any) -> Failure:
    fields: dict[str, Any] = {"run_id": "r", "app": "f", "executor": "small", **changes}
    return Failure(
        task_id=str(task),
        time=time.time() - ago,
        host=host,
        exception=ExceptionInfo(
            type="ZeroDivisionError",
            mro=("ZeroDivisionError", "ArithmeticError"),
            message="by 0",
            location="a.py:1 in f",
        ),
        **fields,
    )


def out_of_memory(task: int | str, **changes: Any) -> Failure:
    info = ExceptionInfo(type="MemoryError", mro=("MemoryError",), message="Unable to allocate 8 GiB")
    return msgspec.structs.replace(failure(task, **changes), exception=info)


class Service:
    """The service as a process, and what it says."""

    def __init__(self, config: OctopusConfig, tmp_path: Path, *arguments: str) -> None:
        self.said = tmp_path / f"said-{time.monotonic_ns()}"
        environment = {
            **os.environ,
            "OCTOPUS_BOOTSTRAP_SERVERS": config.servers,
            "OCTOPUS_NAMESPACE": config.namespace,
            "OCTOPUS_SPOOL_DIR": str(config.spool_dir),
        }
        with self.said.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "octopus_plugins.cli", "wrath", "serve", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    @property
    def text(self) -> str:
        return self.said.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(60)


@pytest.fixture
def serve(config: OctopusConfig, tmp_path: Path, wait_for: Wait) -> Iterator[Callable[..., Service]]:
    """Start the service, and wait until it decides."""
    started: list[Service] = []

    def start(*arguments: str, settings: OctopusConfig = config) -> Service:
        service = Service(settings, tmp_path, *arguments)
        started.append(service)
        wait_for(lambda: "Deciding for" in service.text or service.process.poll() is not None)
        return service

    yield start
    for service in started:
        service.process.kill()
        service.wait()


def decided(config: OctopusConfig) -> list[Decision]:
    """What services decided so far."""
    return [one for one in decisions(config=config) if one.decider == "service" and not one.order]


def test_a_failure_is_decided_and_the_workflow_hears_of_it(
    config: OctopusConfig, emitter: Emitter, serve: Callable[..., Service], wait_for: Wait
) -> None:
    heard: list[Decision] = []
    inbox = DecisionInbox(config, "r", heard.append)
    inbox.start()
    try:
        service = serve()
        wait_for(inbox.service_alive)
        emitter.emit(configured(policy=LADDER))
        assert emitter.flush(10)
        emitter.emit(out_of_memory(1, try_id=2))
        wait_for(lambda: heard)
        (decision,) = heard
        assert (decision.run_id, decision.task_id, decision.try_id, decision.decider) == ("r", "1", 2, "service")
        assert (decision.action, decision.category, decision.policy) == ("retry", "memory_exhausted", "climber")
        assert decision.placement is not None
        assert decision.placement.executor == "large"
        wait_for(lambda: "task 1 try 2 f n1 (small)  retry on other executor large" in service.text)
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        wait_for(lambda: not inbox.service_alive())
        assert service.text.splitlines()[-1] == "1 failures were decided."
    finally:
        inbox.close()
    states = [one.state for one in heartbeats(run_id=ANY, config=config)]
    assert set(states[:-1]) == {"up"}
    assert states[-1] == "draining"


@pytest.mark.slow
def test_ctrl_c_ends_it_well_and_json_is_a_decision_a_line(
    emitter: Emitter, serve: Callable[..., Service], wait_for: Wait
) -> None:
    service = serve("--json")
    emitter.emit(configured(), failure(1))
    wait_for(lambda: '"decider":"service"' in service.text)
    service.signal(signal.SIGINT)
    assert service.wait() == 0
    (said,) = [json.loads(line) for line in service.text.splitlines() if line.startswith("{")]
    assert (said["type"], said["task_id"], said["category"]) == ("octopus.decision/v1", "1", "numerical_error")


@pytest.mark.slow
def test_a_stopped_service_is_not_alive_and_an_awakened_one_is_again(
    config: OctopusConfig, serve: Callable[..., Service], wait_for: Wait
) -> None:
    inbox = DecisionInbox(config, "r", lambda one: None)
    inbox.start()
    try:
        service = serve()
        wait_for(inbox.service_alive)
        service.signal(signal.SIGSTOP)
        wait_for(lambda: not inbox.service_alive())
        service.signal(signal.SIGCONT)
        wait_for(inbox.service_alive)
    finally:
        inbox.close()


@pytest.mark.slow
def test_after_a_kill_it_knows_what_was_decided_and_what_happened_before(
    config: OctopusConfig, emitter: Emitter, serve: Callable[..., Service], wait_for: Wait
) -> None:
    seen = {"run_id": "r", "task_id": "9", "state": "running", "executor": "small", "app": "f"}
    first = serve()
    emitter.emit(configured(), *(Task(**seen, time=time.time(), host=host) for host in ("n1", "n2", "n3")))
    emitter.emit(failure(1), out_of_memory(3))
    wait_for(lambda: len(decided(config)) == 2)
    first.signal(signal.SIGKILL)
    first.wait()
    emitter.emit(failure(2))  # while nobody is there
    emitter.emit(failure(4, ago=90.0), failure(5))
    emitter.emit(msgspec.structs.replace(decided(config)[0], task_id="5", decider="workflow"))
    assert emitter.flush(10)
    second = serve()
    wait_for(lambda: len(decided(config)) == 3)
    emitter.emit(out_of_memory(3, try_id=1))
    wait_for(lambda: len(decided(config)) == 4)
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    assert second.text.splitlines()[-1] == "2 failures were decided."
    by_try = {(one.task_id, one.try_id) for one in decided(config)}
    assert by_try == {("1", 0), ("3", 0), ("2", 0), ("3", 1)}, "neither the old one nor the workflow's own"


def test_the_history_before_a_restart_counts(config: OctopusConfig, emitter: Emitter, wait_for: Wait) -> None:
    with running(Decider(config, policy=Policy.published())):
        emitter.emit(configured(), failure(1))
        wait_for(lambda: len(decided(config)) == 1)
    with running(Decider(config, policy=Policy.published())):
        emitter.emit(failure(1, host="n2", try_id=1))
        wait_for(lambda: len(decided(config)) == 2)
    first, second = decided(config)
    assert first.action == "retry"
    assert second.action == "terminate"
    assert "the same failure on 2 nodes (n1, n2)" in second.reason


def test_a_task_whose_end_the_run_did_not_honour_is_not_forgotten(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait
) -> None:
    with running(Decider(config, policy=Policy.published())):
        emitter.emit(configured())
        for number in range(4):
            emitter.emit(failure(1, host=f"n{number}", try_id=number))
            wait_for(lambda: len(decided(config)) == number + 1)  # noqa: B023
            latest = decided(config)[-1]
            # The workflow's own retry_handler has the last word, and retries for nothing.
            applied = {"action": "retry", "charge": 0.0, "serial": "applied", "order": number + 1}
            emitter.emit(msgspec.structs.replace(latest, **applied))
            assert emitter.flush(10)
            wait_for(lambda: len(list(decisions(config=config))) == 2 * (number + 1))  # noqa: B023
    assert [one.action for one in decided(config)] == ["retry", "terminate", "terminate", "terminate"]


@contextlib.contextmanager
def running(decider: Decider) -> Iterator[Decider]:
    ready = threading.Event()
    decider._on_ready = ready.set
    thread = threading.Thread(target=decider.run)
    thread.start()
    try:
        assert ready.wait(60)
        yield decider
    finally:
        decider.close()
        thread.join(60)
        assert not thread.is_alive()


def test_bad_records_hurt_it_no_more_than_once(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    empty = b'{"specversion":"1.0","id":"1","source":"s","type":"octopus.failure/v1"}'
    hostile = (b"", b"\xff\x00", b"{}", empty)
    with running(Decider(config)) as decider:
        producer = Producer({"bootstrap.servers": config.servers})
        for topic in (Topic.failures, Topic.task_metrics, Topic.decisions, Topic.heartbeats):
            for value in hostile:
                producer.produce(topic_name(config, topic), value, b"r/1")
        assert producer.flush(10) == 0
        emitter.emit(configured(), failure(1, host="\x1b[2J"))
        wait_for(lambda: len(decided(config)) == 1)
        assert decider.skipped == 16
    assert caplog.text.count("is no event") == 1
    assert caplog.text.count("16 records were skipped in all") == 1


def test_it_decides_by_each_runs_own_policy_unless_it_was_given_one(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    runs = {"wrong": {"policy": {"nmae": 1}}, "own": {"policy": LADDER}, "none": {}}
    with running(Decider(config)):
        emitter.emit(*(configured(run, **fields) for run, fields in runs.items()))
        assert emitter.flush(10)
        emitter.emit(*(failure(1, run_id=run) for run in runs))
        wait_for(lambda: len(decided(config)) == 2)
    assert {one.run_id: one.policy for one in decided(config)} == {"own": "climber", "none": "default"}
    assert "run wrong is left to decide by itself" in caplog.text and "nmae" in caplog.text
    own = decided(config)[0]
    assert (own.policy_digest, own.imposed) == (policy_digest(policy_from(LADDER)), False)
    with running(Decider(config, policy=policy_from({"name": "given"}))):
        emitter.emit(failure(2, run_id="own"), failure(2, run_id="never heard of"))
        wait_for(lambda: len(decided(config)) == 5)
    assert {(one.run_id, one.policy, one.imposed) for one in decided(config)[2:]} == {
        (run, "given", True) for run in ("wrong", "own", "never heard of")
    }


def test_nothing_is_decided_of_a_run_that_has_not_told_how_it_is_configured(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    told = configured("old", policy=LADDER)
    emitter.emit(told)
    assert emitter.flush(10)
    with running(Decider(config, since=0.0)) as decider:  # as one that was started a day after the run
        emitter.emit(*(out_of_memory(number, run_id="old") for number in range(2)))
        wait_for(lambda: decider.passed_over == 2)
        emitter.emit(msgspec.structs.replace(told, time=time.time()))  # as the run does every 15 minutes
        emitter.emit(out_of_memory(3, run_id="old"))
        wait_for(lambda: decided(config))
    (decision,) = decided(config)
    assert (decision.task_id, decision.action, decision.policy) == ("3", "retry", "climber")
    said = [message for message in caplog.messages if "run old is left to decide by itself" in message]
    assert len(said) == 1


def test_a_failure_that_is_read_before_its_run_s_configuration_waits_for_it(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait
) -> None:
    with running(Decider(config)) as decider:
        emitter.emit(out_of_memory(1))
        wait_for(lambda: decider._undecided.waiting())
        emitter.emit(configured(policy=LADDER))
        wait_for(lambda: decided(config))
    assert decided(config)[0].policy == "climber"
    assert decider.passed_over == 0


def test_a_failure_that_is_yet_to_happen_waits_no_longer_than_others(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decider_module, "LEARNING_SECONDS", 0.5)
    with running(Decider(config)) as decider:
        emitter.emit(failure(1, run_id="never heard of", ago=-1e6))
        wait_for(lambda: decider.passed_over == 1)
        assert decider._undecided.waiting() == []


def test_runs_that_decide_by_themselves_and_runs_that_ended_are_left_alone(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait
) -> None:
    with running(Decider(config)):
        emitter.emit(configured("alone", labels={"decider": "workflow"}), configured("over"))
        emitter.emit(
            Run(run_id="over", time=time.time(), state="ended"), configured("asks", labels={"decider": "service"})
        )
        assert emitter.flush(10)
        emitter.emit(failure(1, run_id="alone"), failure(1, run_id="over"), failure(1, run_id="asks"))
        wait_for(lambda: decided(config))
        emitter.emit(failure(2, run_id="asks"))
        wait_for(lambda: len(decided(config)) == 2)
    assert {one.run_id for one in decided(config)} == {"asks"}


def test_plugins_have_their_say(config: OctopusConfig, emitter: Emitter, wait_for: Wait) -> None:
    told: list[tuple[str, str]] = []

    class Plugin:
        @hookimpl
        def octopus_decision(self, failure: Failure, decision: Decision) -> Decision:
            assert failure.categorization is not None
            return msgspec.structs.replace(decision, action="terminate", placement=None, reason="a Friday")

        @hookimpl
        def octopus_decided(self, failure: Failure, decision: Decision) -> None:
            told.append((failure.task_id, decision.decider))

    plugins = Plugins()
    plugins.register(Plugin())
    with running(Decider(config, plugins=plugins)):
        emitter.emit(configured(), out_of_memory(1))
        wait_for(lambda: decided(config))
    assert decided(config)[0].reason == "a Friday"
    assert told == [("1", "service")]


def test_what_waits_is_decided_once_and_that_is_all(config: OctopusConfig, emitter: Emitter) -> None:
    emitter.emit(configured(), *(failure(number) for number in range(40)), failure(0))
    assert emitter.flush(10)
    for expected in (40, 0):
        decider = Decider(config)
        decider.run(once=True)
        assert decider.decided == expected
    assert list(heartbeats(config=config)) == [], "nobody is to wait for one that ends at once"
    assert len(decided(config)) == 40


def test_it_restores_from_a_long_stream_in_order_and_with_little_memory(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait
) -> None:
    begin = time.time() - 3600
    for number in range(6000):
        at = {"run_id": "old", "task_id": str(number), "time": begin + number / 10}
        emitter.emit(Task(**at, state="running", host="n1", executor="small", app="f"), Task(**at, state="exec_done"))
    emitter.emit(failure(7, ago=3000.0, run_id="old"))
    assert emitter.flush(30)
    decider = Decider(config)
    decider.run(once=True)
    assert decider.observed == 12_001
    assert decider.decided == 0
    tally = decider._history.app_on("old", "f", "n1")
    assert tally is not None
    assert tally.successes == 6000


@pytest.mark.slow
def test_a_broker_that_is_cut_off_is_waited_for(
    proxied_broker: ProxiedBroker,
    make_config: Callable[..., OctopusConfig],
    serve: Callable[..., Service],
    wait_for: Wait,
) -> None:
    config = make_config(proxied_broker.address)
    service = serve(settings=config)
    emitter = Emitter(config)
    try:
        emitter.emit(configured(), failure(1))
        wait_for(lambda: "task 1 " in service.text)
        proxied_broker.proxy.cut()
        wait_for(lambda: "no Kafka broker answers" in service.text)
        emitter.emit(failure(2))
        proxied_broker.proxy.restore()
        wait_for(lambda: "task 2 " in service.text)
        wait_for(lambda: len(decided(config)) == 2)
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        assert service.text.count("it is tried again until it is back") == 1
    finally:
        emitter.close(5)


@pytest.mark.slow
def test_it_may_be_started_before_the_broker(
    proxied_broker: ProxiedBroker, make_config: Callable[..., OctopusConfig], tmp_path: Path, wait_for: Wait
) -> None:
    proxied_broker.proxy.cut()
    config = make_config(proxied_broker.address)
    service = Service(config, tmp_path)
    emitter = Emitter(config)
    try:
        wait_for(lambda: "it is tried again until it is back" in service.text)
        assert "Deciding for" not in service.text
        emitter.emit(configured(), failure(1))
        proxied_broker.proxy.restore()
        wait_for(lambda: "task 1 " in service.text)
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
    finally:
        service.process.kill()
        service.wait()
        emitter.close(5)


def test_a_wrong_policy_is_one_line_and_a_wrong_time_a_usage_error(
    config: OctopusConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTOPUS_BOOTSTRAP_SERVERS", config.servers)
    wrong = tmp_path / "policy.toml"
    wrong.write_text("laddr = []\n")
    result = CliRunner().invoke(cli, ["wrath", "serve", "--policy", str(wrong)])
    assert result.exit_code == 1
    assert "laddr" in result.stderr
    assert len(result.output.splitlines()) == 1
    assert CliRunner().invoke(cli, ["wrath", "serve", "--since", "soon"]).exit_code == 2


def test_without_a_broker_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCTOPUS_BOOTSTRAP_SERVERS", raising=False)
    result = CliRunner().invoke(cli, ["wrath", "serve"])
    assert result.exit_code == 1
    assert "octopus broker up" in result.stderr


@pytest.mark.slow
def test_a_group_shares_the_failures_out_and_takes_over_from_a_dead_member(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait
) -> None:
    admin = AdminClient({"bootstrap.servers": config.servers})
    name = topic_name(config, Topic.failures)
    admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])[name].result(10)
    wait_for(lambda: len(admin.list_topics(name, timeout=5).topics[name].partitions) == 2)
    members = [Decider(config, group="deciders", plugins=Plugins()) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        for member in members:
            stack.enter_context(running(member))

        def shares() -> list[frozenset[int] | None]:
            return [one._membership.share if one._membership else None for one in members]

        wait_for(lambda: sorted(map(sorted, filter(None, shares()))) == [[0], [1]], 90)
        emitter.emit(configured(), *(failure(number) for number in range(60)))
        wait_for(lambda: sum(one.decided for one in members) >= 60)
        assert all(one.decided > 0 for one in members)
        assert sum(one.decided for one in members) == 60
        assert len(decided(config)) == 60
        members[0].close()
        emitter.emit(*(failure(number) for number in range(60, 90)))
        wait_for(lambda: len(decided(config)) == 90, 90)
