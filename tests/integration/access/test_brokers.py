"""Profile ``octopus`` on a broker that lets nobody in without a token: the embedded one behind a gate."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner, Result

from octopus_plugins import Run
from octopus_plugins.cli.group import cli
from octopus_plugins.config import NOT_LOGGED_IN, OctopusConfig
from octopus_plugins.errors import CredentialsError
from octopus_plugins.events import Topic
from octopus_plugins.fabric import Emitter, Reader, ensure_topics, existing_topics, orphans, replay
from octopus_plugins.fabric.kafka.consumer_group import Membership
from octopus_plugins.fabric.kafka.follower import Follower, Wanted
from octopus_plugins.fabric.octopus.keys import load_key, log_in

from ..standin.gate import GatedBroker
from ..standin.globus import Person
from ..standin.service import StandinService

WaitFor = Callable[..., None]
Load = Callable[..., OctopusConfig]


def octopus(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def runs(first: int, last: int) -> list[Run]:
    return [Run(run_id=f"run-{number}", time=time.time(), state="started") for number in range(first, last)]


def found(config: OctopusConfig, count: int) -> list[str]:
    """The first runs there are. By following: the embedded broker does not tell where its topics end."""
    reader = Reader(config, Topic.task_metrics, follow=True)
    timer = threading.Timer(90, reader.close)
    timer.start()
    got: list[str] = []
    try:
        for event in reader:
            got.append(event.run_id)
            if len(got) == count:
                reader.close()
    finally:
        timer.cancel()
        timer.join()
    return got


def ids(first: int, last: int) -> list[str]:
    return [f"run-{number}" for number in range(first, last)]


@pytest.fixture
def config(fabric: StandinService, robot: Person, load: Load) -> OctopusConfig:
    """Logged in as the service account, with the topics."""
    assert fabric.url
    log_in(load())
    ensure_topics(load())
    return load()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("robot")
def test_from_login_to_an_answer_with_the_topics_made_on_the_way(
    fabric: StandinService, gated: GatedBroker, robot: Person, load: Load
) -> None:
    assert octopus("login").exit_code == 0
    emitter = Emitter(load())
    emitter.emit(*runs(0, 3))
    assert emitter.flush(60)
    emitter.close()
    assert found(load(), 3) == ids(0, 3)
    assert len(fabric.calls("POST", f"/api/v3/{robot.namespace}/")) == 4
    assert gated.topics() >= {f"{robot.namespace}.{topic}" for topic in Topic}
    assert octopus("topics", "list").exit_code == 0
    assert octopus("topics", "describe", "failures", "--json").stdout.strip() == (
        f'{{"name": "failures", "kafka_name": "{robot.namespace}.failures", "partitions": 1, "replicas": 1,'
        ' "in_sync": 1}'
    )
    tail = octopus("tail", "task-metrics", "--since", "1h", "--limit", "3", "--json")
    assert len(tail.stdout.splitlines()) == 3
    assert gated.refused == 0


def test_topics_that_exist_are_not_asked_of_the_service(config: OctopusConfig, fabric: StandinService) -> None:
    before = len(fabric.requests)
    assert ensure_topics(config) == set()
    assert existing_topics(config) == set(Topic)
    assert len(fabric.requests) == before


@pytest.mark.slow
def test_a_refused_client_is_thrown_away_and_not_left_to_hammer_the_brokers(
    config: OctopusConfig, fabric: StandinService, gated: GatedBroker, robot: Person, wait_for: WaitFor
) -> None:
    emitter = Emitter(config)
    try:
        emitter.emit(*runs(0, 1))
        assert emitter.flush(60)
        fabric.revoke_key(robot.subject)
        wait_for(lambda: gated.refused >= 2)
        began, before = time.monotonic(), gated.refused
        wait_for(lambda: gated.refused > before or time.monotonic() - began > 3)
        assert gated.refused - before <= 4  # librdkafka alone would try sixty times
    finally:
        emitter.close(0.1)


def test_a_new_key_that_the_brokers_do_not_know_yet_is_given_time(
    config: OctopusConfig, gated: GatedBroker, robot: Person, wait_for: WaitFor
) -> None:
    emitter = Emitter(config)
    emitter.emit(*runs(0, 2))
    assert emitter.flush(60)
    emitter.close()
    key = load_key(config)
    for question in (lambda: existing_topics(config) == set(Topic), lambda: found(config, 2) == ids(0, 2)):
        gated.drop_key(robot.namespace)
        before = gated.refused
        asker = ThreadPoolExecutor(1)
        answer = asker.submit(question)
        wait_for(lambda: gated.refused > before)  # noqa: B023 - asked before the next
        assert not answer.done()
        gated.set_key(robot.namespace, key.access_key, key.secret_key)
        assert answer.result(90)
        asker.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["follower", "reader"])
def test_whoever_follows_goes_on_after_a_login_and_misses_nothing(
    kind: str,
    config: OctopusConfig,
    fabric: StandinService,
    robot: Person,
    wait_for: WaitFor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    got: list[str] = []
    emitter = Emitter(config)
    reader = Reader(config, Topic.task_metrics, follow=True)
    follower = Follower(config, Wanted(Topic.task_metrics, since=0.0))

    def follow() -> None:
        if kind == "reader":
            for event in reader:
                got.append(event.run_id)
        else:
            for batch in follower.read_batches():
                got.extend(arrival.event.run_id for arrival in batch)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        emitter.emit(*runs(0, 3))
        wait_for(lambda: len(got) == 3)
        caplog.clear()
        fabric.revoke_key(robot.subject)
        wait_for(lambda: sum("refuse the key" in said for said in warnings_of(caplog)) >= 2)  # and the emitter's
        assert octopus("login").exit_code == 0
        emitter.emit(*runs(3, 6))
        wait_for(lambda: len(got) >= 6)
    finally:
        reader.close()
        follower.close()
        thread.join(20)
        emitter.close()
    assert got == ids(0, 6)
    assert sum("refuse the key" in said for said in warnings_of(caplog)) == 2


@pytest.mark.slow
def test_what_comes_while_the_key_is_refused_is_read_by_who_follows_from_now_on(
    config: OctopusConfig, fabric: StandinService, gated: GatedBroker, robot: Person, wait_for: WaitFor
) -> None:
    got: list[str] = []
    follower = Follower(config, Wanted(Topic.task_metrics))
    ready = threading.Event()

    def follow() -> None:
        for batch in follower.read_batches():
            if follower.caught_up:
                ready.set()
            got.extend(arrival.event.run_id for arrival in batch)

    thread = threading.Thread(target=follow)
    thread.start()
    emitter = Emitter(config)
    try:
        assert ready.wait(30)
        fabric.revoke_key(robot.subject)
        wait_for(lambda: gated.refused > 0)
        log_in(config)
        emitter.emit(*runs(0, 3))
        wait_for(lambda: len(got) >= 3)
    finally:
        follower.close()
        thread.join(20)
        emitter.close()
    assert got == ids(0, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("robot")
def test_records_wait_for_the_first_login_and_go_to_whoever_it_is(
    fabric: StandinService, robot: Person, load: Load, wait_for: WaitFor, caplog: pytest.LogCaptureFixture
) -> None:
    assert fabric.url
    early = load()
    assert early.namespace == NOT_LOGGED_IN
    gone, lives = Emitter(early), Emitter(early.model_copy(update={"close_timeout": 20.0}))
    gone.emit(*runs(0, 2))
    wait_for(lambda: any("octopus login" in said for said in warnings_of(caplog)))
    gone.close(0.1)
    lives.emit(*runs(2, 4))
    assert octopus("login").exit_code == 0
    assert lives.flush(60)
    lives.close()
    if orphans(load()):
        replay(load(), timeout=20)
    assert sorted(found(load(), 4)) == ids(0, 4)
    assert load().namespace == robot.namespace
    assert orphans(load()) == []


def test_records_of_one_user_are_not_sent_with_the_key_of_another(
    config: OctopusConfig, fabric: StandinService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = config.model_copy(update={"namespace": "ns-000000000000"})
    emitter = Emitter(foreign)
    emitter.emit(*runs(0, 2))
    assert not emitter.flush(3)
    emitter.close(0.1)
    assert any("but ns-000000000000 is asked for" in said for said in warnings_of(caplog))
    assert len(orphans(foreign)) == 1
    assert fabric.namespaces_named() == {config.namespace}
    began = time.monotonic()
    with pytest.raises(CredentialsError, match="unset OCTOPUS_NAMESPACE"):
        found(foreign, 1)
    assert time.monotonic() - began < foreign.connect_timeout / 2  # it does not pass by waiting, new as the key may be


@pytest.mark.slow
def test_a_member_of_a_group_comes_back_after_a_login(
    config: OctopusConfig, fabric: StandinService, gated: GatedBroker, robot: Person, wait_for: WaitFor
) -> None:
    def polled(condition: Callable[[], bool]) -> Callable[[], bool]:
        def check() -> bool:
            member.poll()
            return condition()

        return check

    member = Membership(config, Topic.failures, "deciders")
    try:
        wait_for(polled(lambda: gated.admitted > 3))
        fabric.revoke_key(robot.subject)
        wait_for(polled(lambda: gated.refused > 0))
        log_in(config)
        before = gated.admitted
        wait_for(polled(lambda: gated.admitted > before))
    finally:
        member.close()
