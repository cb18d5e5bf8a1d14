"""What a workflow hears of decisions that others make."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from benchmarks.proxy import ProxiedBroker
from octopus_plugins import OctopusConfig
from octopus_plugins.events import ANY, Decision, Heartbeat, Topic, encode
from octopus_plugins.fabric import Emitter, topic_name
from octopus_plugins.services import DecisionInbox

Wait = Callable[..., None]


class Listener:
    """An inbox of run ``r`` and what it heard."""

    def __init__(self, config: OctopusConfig) -> None:
        self.heard: list[Decision] = []
        self.inbox = DecisionInbox(config, "r", self.heard.append)

    @property
    def serials(self) -> list[str]:
        return [decision.serial for decision in self.heard]


def no_threads() -> bool:
    return not any(thread.name.startswith("octopus-inbox") for thread in threading.enumerate())


@pytest.fixture
def listen(config: OctopusConfig, wait_for: Wait) -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def begin(settings: OctopusConfig = config) -> Listener:
        listener = Listener(settings)
        started.append(listener)
        listener.inbox.start()
        return listener

    yield begin
    for listener in started:
        listener.inbox.close()
    wait_for(no_threads)


def decision(serial: str, **changes: Any) -> Decision:
    fields = {"run_id": "r", "task_id": "1", "time": time.time(), "action": "retry", "decider": "service", **changes}
    return Decision(**fields, serial=serial)


def on_nodes(
    serial: str, action: str, host: str, *, ago: float = 0.0, until: float = 600.0, **changes: Any
) -> Decision:
    now = time.time()
    fields = {"run_id": ANY, "task_id": ANY, "decider": "person", "time": now - ago, **changes}
    return decision(serial, **fields, action=action, deny_hosts={host: now + until})


def beat(emitter: Emitter, **changes: Any) -> None:
    fields = {"run_id": ANY, "host": "h", "component": "decider", "period": 0.3, "pid": 1, **changes}
    emitter.emit(Heartbeat(**fields, time=time.time()))
    assert emitter.flush(10)


def test_it_hears_each_decision_on_its_run_or_on_all_once(
    listen: Callable[..., Listener], emitter: Emitter, wait_for: Wait
) -> None:
    emitter.emit(decision("before"))
    assert emitter.flush(10)
    listener = listen()
    one = decision("one")
    emitter.emit(
        one,
        one,
        decision("its own", decider="workflow"),
        decision("another run's", run_id="other"),
        decision("a run whose name begins alike", run_id="r2"),
        on_nodes("denied here", "deny", "n1", run_id="r"),
        on_nodes("denied everywhere", "deny", "n2"),
        decision("last", task_id="2", action="terminate", decider="person"),
    )
    wait_for(lambda: "last" in listener.serials)
    assert listener.serials == ["before", "one", "denied here", "denied everywhere", "last"]


def test_a_decision_on_another_run_under_a_key_of_this_one_is_not_heard(
    config: OctopusConfig, listen: Callable[..., Listener], emitter: Emitter, wait_for: Wait
) -> None:
    listener = listen()
    producer = Producer({"bootstrap.servers": config.servers})
    foreign = decision("another run's", run_id="other", task_id=ANY, action="terminate", decider="person")
    for key in (b"r/1", b"r/*", b"*/*"):
        producer.produce(topic_name(config, Topic.decisions), encode(foreign), key)
    assert producer.flush(10) == 0
    emitter.emit(decision("last"))
    wait_for(lambda: "last" in listener.serials)
    assert listener.serials == ["last"]


def test_denials_that_people_made_before_and_did_not_lift_still_hold(
    listen: Callable[..., Listener], emitter: Emitter, wait_for: Wait
) -> None:
    emitter.emit(
        on_nodes("expired", "deny", "n0", ago=3000, until=-1000),
        on_nodes("lifted", "deny", "n1", ago=500),
        on_nodes("holds", "deny", "n2", ago=400),
        on_nodes("lifts", "allow", "n1", ago=300, until=-300),
        on_nodes("old stop", "terminate", "n3", ago=200),
        on_nodes("a service's", "deny", "n4", ago=200, decider="service"),
    )
    assert emitter.flush(10)
    listener = listen()
    wait_for(lambda: listener.serials)
    emitter.emit(decision("last"))
    wait_for(lambda: "last" in listener.serials)
    assert listener.serials == ["holds", "last"]


def test_what_is_decided_now_does_not_wait_for_a_day_of_decisions_to_be_read(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait
) -> None:
    emitter.emit(
        on_nodes("holds", "deny", "n1", ago=4000),
        on_nodes("is lifted soon", "deny", "n2", ago=4000),
        decision("of long ago", time=time.time() - 4000),
    )
    assert emitter.flush(10)
    listener = Listener(config)
    follower, past = listener.inbox._follower, listener.inbox._past
    (begin,) = [each.since for each in follower._wanted.values() if each.topic is Topic.decisions]
    assert begin is not None and time.time() - begin < 100, "everything else is looked up beside"
    reading, go_on = past.read_batches, threading.Event()

    def slowly() -> Iterator[Any]:
        for arrivals in reading():
            assert go_on.wait(30)
            yield arrivals

    past.read_batches = slowly  # type: ignore[method-assign]
    listener.inbox.start()
    try:
        emitter.emit(decision("stop", action="terminate", decider="person"), on_nodes("lifts", "allow", "n2"))
        wait_for(lambda: len(listener.serials) == 2)
        assert not go_on.is_set()
        go_on.set()
        wait_for(lambda: len(listener.serials) == 3)
        assert listener.serials == ["stop", "lifts", "holds"]
    finally:
        go_on.set()
        listener.inbox.close()


def test_a_service_is_alive_while_its_heartbeats_come(
    listen: Callable[..., Listener], emitter: Emitter, wait_for: Wait
) -> None:
    beat(emitter, period=60.0)
    listener = listen()
    emitter.emit(decision("one"))
    wait_for(lambda: listener.serials)
    assert not listener.inbox.service_alive(), "what lay in the topic before says nothing about now"
    beat(emitter, run_id="r", period=60.0)
    beat(emitter, component="manager", period=60.0)

    def alive_after_a_beat(period: float = 0.3) -> bool:
        beat(emitter, period=period)  # again and again, as a service does: the first may come before we listen
        return listener.inbox.service_alive()

    wait_for(alive_after_a_beat)
    wait_for(lambda: not listener.inbox.service_alive())
    wait_for(lambda: alive_after_a_beat(60.0))
    beat(emitter, state="draining")
    wait_for(lambda: not listener.inbox.service_alive())  # by silence it would be alive for three minutes


def test_what_the_workflow_raises_does_not_keep_the_next_decision_from_it(
    config: OctopusConfig, emitter: Emitter, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def stumble(one: Decision) -> None:
        heard.append(one.serial)
        raise RuntimeError("no")

    inbox = DecisionInbox(config, "r", stumble)
    inbox.start()
    try:
        for number in range(3):
            emitter.emit(decision(str(number)))
        wait_for(lambda: len(heard) == 3)
    finally:
        inbox.close()
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == 1


def test_a_broker_that_goes_and_comes_is_said_once_and_nothing_is_lost(
    proxied_broker: ProxiedBroker,
    make_config: Callable[..., OctopusConfig],
    listen: Callable[..., Listener],
    wait_for: Wait,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="octopus_plugins")
    proxied_broker.proxy.cut()
    config = make_config(proxied_broker.address)
    listener = listen(config)
    wait_for(lambda: "no Kafka broker answers" in caplog.text)
    proxied_broker.proxy.restore()
    emitter = Emitter(config)
    try:
        for number in range(2):
            emitter.emit(decision(f"with it {number}"))
            wait_for(lambda: f"with it {number}" in listener.serials)  # noqa: B023
            if number == 0:
                proxied_broker.proxy.cut()
                emitter.emit(decision("without it"))
                wait_for(lambda: caplog.text.count("no Kafka broker answers") >= 2)
                proxied_broker.proxy.restore()
        assert listener.serials == ["with it 0", "without it", "with it 1"]
    finally:
        emitter.close(5)
    of_the_inbox = [one for one in caplog.messages if "it is tried again until it is back" in one]
    assert len(of_the_inbox) <= 2


def test_an_inbox_without_a_broker_closes_and_its_threads_end(
    make_config: Callable[..., OctopusConfig], wait_for: Wait
) -> None:
    inbox = DecisionInbox(make_config("127.0.0.1:1"), "r", lambda one: None)
    inbox.start()
    assert not inbox.service_alive()
    inbox.close()
    wait_for(no_threads)


def test_closing_waits_a_second_at_most_for_what_does_not_end(
    config: OctopusConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = DecisionInbox(config, "r", lambda one: None)
    reading, go_on = threading.Event(), threading.Event()

    def hang() -> Iterator[Any]:
        reading.set()
        go_on.wait(120)
        yield from ()

    monkeypatch.setattr(inbox._follower, "read_batches", hang)
    inbox.start()
    try:
        assert reading.wait(30)
        begin = time.monotonic()
        inbox.close()
        assert time.monotonic() - begin < 30  # the second, and what a busy machine adds
        assert not go_on.is_set()
    finally:
        go_on.set()
        for thread in inbox._threads:
            thread.join(30)


def test_a_configuration_that_reaches_no_broker_hurts_nobody(
    monkeypatch: pytest.MonkeyPatch, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="octopus_plugins")
    monkeypatch.delenv("OCTOPUS_BOOTSTRAP_SERVERS", raising=False)
    inbox = DecisionInbox(OctopusConfig.load(profile="local"), "r", lambda one: None)
    inbox.start()
    try:
        wait_for(lambda: "octopus broker up" in caplog.text)
    finally:
        inbox.close()
