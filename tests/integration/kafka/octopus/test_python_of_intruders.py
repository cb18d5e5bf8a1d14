"""No Python API gets Alice, with her own credentials, anything of Bob's: all that take settings, in three ways."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, ResourceType

from octopus_plugins import OctopusConfig, decisions, failures, heartbeats, resources, runs, tasks
from octopus_plugins.errors import CredentialsError, FabricError, OctopusError
from octopus_plugins.events import Decision, ResourceSamples, Task, Topic, TrySample, Usage
from octopus_plugins.fabric import Emitter, Reader, ensure_topics, kafka_options, replay
from octopus_plugins.fabric.kafka import admin as administration
from octopus_plugins.fabric.kafka import catalog
from octopus_plugins.fabric.kafka import topics as fabric_topics
from octopus_plugins.fabric.kafka.consumer_group import Membership
from octopus_plugins.fabric.kafka.delegation import Deputy, grant
from octopus_plugins.fabric.kafka.follower import Follower, Wanted
from octopus_plugins.fabric.kafka.produce_sync import send_now
from octopus_plugins.fabric.kafka.topics import QuietLogger
from octopus_plugins.fabric.octopus.keys import open_service
from octopus_plugins.services import DecisionInbox
from octopus_plugins.streams.latest_run import find_run
from octopus_plugins.streams.run_file import read_run
from octopus_plugins.streams.task_story import read_story

from ...story import RUN
from .conftest import NOTES
from .holdings import Holdings
from .intruders import Intruder
from .users import User

Wait = Callable[..., None]

Calls = dict[str, Callable[[OctopusConfig], Any]]

READS: Calls = {
    "octopus_plugins.streams.ask.failures": lambda config: list(failures(config=config)),
    "octopus_plugins.streams.ask.decisions": lambda config: decisions(config=config, run_id="last").to_dicts(),
    "octopus_plugins.streams.ask.tasks": lambda config: tasks(config=config, since="1d").count_by("app"),
    "octopus_plugins.streams.ask.resources": lambda config: resources(config=config).first(),
    "octopus_plugins.streams.ask.heartbeats": lambda config: heartbeats(config=config, follow=True).first(),
    "octopus_plugins.streams.ask.runs": lambda config: runs(config=config).to_arrow(),
    "octopus_plugins.streams.latest_run.find_run": lambda config: find_run(config, "last"),
    "octopus_plugins.streams.run_file.read_run": lambda config: read_run(config, RUN),
    "octopus_plugins.streams.task_story.read_story": lambda config: read_story(config, RUN, "1"),
    "octopus_plugins.fabric.kafka.reader.Reader": lambda config: list(Reader(config, Topic.failures, since=0.0)),
}
"""What reads a topic, each met by the same refusal."""

CREATES: Calls = {
    "octopus_plugins.fabric.kafka.produce_sync.send_now": lambda config: send_now(config, TASK),
    "octopus_plugins.fabric.kafka.topics.ensure_topics": ensure_topics,
}
"""What writes or creates; a write asks first that the topics exist."""

BY_TESTS_BELOW = {
    "octopus_plugins.fabric.kafka.admin.add_scram_user",
    "octopus_plugins.fabric.kafka.admin.grant_namespace",
    "octopus_plugins.fabric.kafka.admin.leaders",
    "octopus_plugins.fabric.kafka.catalog.delete_topic",
    "octopus_plugins.fabric.kafka.catalog.describe_topic",
    "octopus_plugins.fabric.kafka.catalog.topics_of_namespace",
    "octopus_plugins.fabric.kafka.client_options.kafka_options",
    "octopus_plugins.fabric.produce.emitter.Emitter",
    "octopus_plugins.fabric.kafka.follower.Follower",
    "octopus_plugins.fabric.kafka.delegation.grant",
    "octopus_plugins.fabric.octopus.keys.open_service",
    "octopus_plugins.fabric.kafka.consumer_group.Membership",
    "octopus_plugins.fabric.produce.spool_replay.replay",
    "octopus_plugins.fabric.kafka.topics.ask_admin",
    "octopus_plugins.fabric.kafka.topics.create_on_service",
    "octopus_plugins.fabric.kafka.topics.existing_topics",
    "octopus_plugins.fabric.kafka.topics.kafka_topics",
    "octopus_plugins.fabric.kafka.topics.make_admin",
    "octopus_plugins.fabric.kafka.topics.request_admin",
    "octopus_plugins.services.decision_subscriber.DecisionInbox",
}

THROUGH_OTHERS = {
    "octopus_plugins.doctor.case.Case": "`octopus doctor`",
    "octopus_plugins.doctor.examination.diagnose": "`octopus doctor`",
    "octopus_plugins.fabric.produce.producer.Producer": "Emitter",
    "octopus_plugins.fabric.produce.sender.Sender": "Emitter, replay",
    "octopus_plugins.fabric.octopus.service.Service": "open_service",
    "octopus_plugins.fabric.produce.spool_replay.Replays": "replay",
    "octopus_plugins.services.decider_service.Decider": "`octopus wrath serve`",
    "octopus_plugins.streams.stream.Stream": "failures and the other questions",
    "parsl_monitor.activation.enable": "OctopusMonitoringHub",
    "parsl_monitor.token_delegation.Granting": "grant",
    "parsl_monitor.hub.OctopusMonitoringHub": "Emitter, DecisionInbox",
}
"""What reaches a topic by something that is tried, and by nothing else."""

REACHES_NO_TOPIC = {
    "octopus_plugins.fabric.kafka.admin.live_nodes": "nodes belong to no user",
    "octopus_plugins.fabric.octopus.login.GlobusLogin": "the own login",
    "octopus_plugins.fabric.kafka.catalog.check_topic": "looks at a name",
    "octopus_plugins.fabric.kafka.reader.reading_options": "kafka_options, and settings",
    "octopus_plugins.fabric.produce.counts_file.CountsFile": "the own spool directory",
    "octopus_plugins.fabric.produce.counts_file.last_counts": "the own spool directory",
    "octopus_plugins.fabric.octopus.keys.fetch_key": "the own key",
    "octopus_plugins.fabric.octopus.keys.key_path": "names a file",
    "octopus_plugins.fabric.octopus.keys.key_stamp": "looks at a file",
    "octopus_plugins.fabric.octopus.keys.load_key": "reads a file",
    "octopus_plugins.fabric.octopus.keys.log_in": "the own key",
    "octopus_plugins.fabric.octopus.keys.own_key": "reads a file",
    "octopus_plugins.fabric.octopus.keys.remove_key": "removes a file",
    "octopus_plugins.fabric.octopus.msk.TokenSource": "signs with the own key",
    "octopus_plugins.fabric.kafka.auth_errors.Refusals": "listens to a client",
    "octopus_plugins.fabric.kafka.auth_errors.forbidden": "words",
    "octopus_plugins.fabric.kafka.auth_errors.unreachable": "words",
    "octopus_plugins.fabric.octopus.service.greet": "asks the web service whether it is there",
    "octopus_plugins.fabric.produce.spool_replay.begin_session": "the own spool directory",
    "octopus_plugins.fabric.produce.spool_replay.orphans": "the own spool directory",
    "octopus_plugins.fabric.kafka.topics.namespace": "a name",
    "octopus_plugins.fabric.kafka.topics.topic_name": "a name",
}

TASK = Task(run_id="intruder", task_id="1", time=1.0, state="running")

REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._NOENT,  # the client finds no partition to ask for
}


def public_names() -> Iterator[str]:
    """Every function and class of ours that takes a configuration; commands are tried in another file."""
    for package in ("octopus_plugins", "parsl_monitor"):
        path = importlib.import_module(package).__path__
        for found in pkgutil.walk_packages(path, f"{package}."):
            if found.name.startswith(("octopus_plugins.cli", "parsl_monitor.demo")):
                continue
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                ours = getattr(value, "__module__", None) == found.name and not name.startswith("_")
                if ours and (inspect.isclass(value) or inspect.isfunction(value)) and takes_config(value):
                    yield f"{found.name}.{name}"


def takes_config(value: Any) -> bool:
    try:
        parameters = inspect.signature(value).parameters.values()
    except ValueError:
        return False
    return any("OctopusConfig" in str(each.annotation) for each in parameters)


def test_every_name_that_takes_a_configuration_is_tried_or_known_to_reach_no_topic() -> None:
    groups = (READS, CREATES, BY_TESTS_BELOW, THROUGH_OTHERS, REACHES_NO_TOPIC)
    assert sorted(public_names()) == sorted(name for group in groups for name in group)


@pytest.fixture
def config(intruder: Intruder) -> OctopusConfig:
    """Alice's credentials, Bob's namespace."""
    return intruder.user.config()


def refused(intruder: Intruder, attempt: str, call: Callable[[], Any]) -> None:
    with intruder.user.at_home(), pytest.raises(OctopusError) as error:
        call()
    assert re.search(intruder.expected(attempt), str(error.value)), error.value


@pytest.mark.parametrize(("attempt", "calls"), [("read", READS), ("create", CREATES)], ids=["read", "written"])
def test_nothing_is_read_or_written(
    intruder: Intruder, config: OctopusConfig, attempt: str, calls: Calls, untouched: Holdings
) -> None:
    # All at once, for each client that makes tokens waits a second until it has its first.
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = {name: pool.submit(call, config) for name, call in calls.items()}
        errors = {name: answer.exception(120) for name, answer in answers.items()}
    assert {name for name, error in errors.items() if not isinstance(error, OctopusError)} == set()
    expected = intruder.expected(attempt)
    assert {name: str(error) for name, error in errors.items() if not re.search(expected, str(error))} == {}
    assert untouched.records


def test_what_is_emitted_stays_in_the_own_spool_and_the_log_says_why(
    intruder: Intruder, config: OctopusConfig, untouched: Holdings, caplog: pytest.LogCaptureFixture, wait_for: Wait
) -> None:
    emitter = Emitter(config)
    try:
        emitter.emit(TASK)
        wait_for(lambda: re.search(intruder.expected("create"), caplog.text), 90)
        assert not emitter.flush(0.1)
        assert (emitter.counts.delivered, emitter.counts.spooled) == (0, 1)
    finally:
        emitter.close(0.1)
    refused(intruder, "create", lambda: replay(config, timeout=60))
    assert untouched.records


def test_what_nodes_are_granted_is_no_more(
    intruder: Intruder, config: OctopusConfig, untouched: Holdings, wait_for: Wait
) -> None:
    if intruder.way == "setting":
        refused(intruder, "create", lambda: grant(config))
        return
    if intruder.way == "password":
        with pytest.raises(CredentialsError, match="which never ends and is not handed to nodes"):
            grant(config)
        return
    back: list[str] = []
    deputy = Deputy()
    deputy.renew(grant(config))
    tries = (TrySample(task_id="1", usage=Usage(time=1.0)),)
    samples = ResourceSamples(run_id="intruder", time=1.0, host="n", tries=tries)
    assert deputy.send(samples, lambda: back.append("samples"))
    wait_for(lambda: back, 90)
    deputy.close(1)
    assert (back, deputy.delivered, deputy.returned) == (["samples"], 0, 1)
    assert "uthorization failed" in str(deputy.error)
    assert untouched.records


def test_whoever_follows_hears_nothing_and_the_log_says_why(
    intruder: Intruder, config: OctopusConfig, untouched: Holdings, caplog: pytest.LogCaptureFixture, wait_for: Wait
) -> None:
    caplog.set_level("INFO", "octopus_plugins")
    follower = Follower(config, Wanted(Topic.failures, 0.0))
    batches = follower.read_batches()
    heard: list[Decision] = []
    inbox = DecisionInbox(config, RUN, heard.append)
    inbox.start()
    try:

        def complained() -> bool:
            assert next(batches) == []
            return len(re.findall(intruder.expected("read"), caplog.text)) >= 2  # the inbox complains, too

        wait_for(complained, 90)
        assert not follower.caught_up
    finally:
        inbox.close()
        follower.close()
        batches.close()
    assert heard == []
    assert untouched.records


def test_nothing_is_listed_described_or_deleted(
    intruder: Intruder, config: OctopusConfig, alice: User, untouched: Holdings
) -> None:
    refused(intruder, "delete", lambda: catalog.delete_topic(config, NOTES))
    refused(intruder, "describe", lambda: catalog.describe_topic(config, NOTES))
    if intruder.way == "password":
        assert catalog.topics_of_namespace(config) == []
    else:
        refused(intruder, "list", lambda: catalog.topics_of_namespace(config))
        refused(intruder, "delete", lambda: open_service(config).recreate_topic(NOTES))
        refused(intruder, "create", lambda: fabric_topics.create_on_service(config, lambda _: set(Topic)))
    if intruder.way == "setting":
        refused(intruder, "list", lambda: fabric_topics.kafka_topics(config))
        refused(intruder, "list", lambda: fabric_topics.existing_topics(config))
    else:
        assert {name.partition(".")[0] for name in fabric_topics.kafka_topics(config)} == {alice.namespace}
        assert fabric_topics.existing_topics(config) == set()
        assert administration.leaders(config, f"{intruder.target}.{NOTES}") == {}
    assert untouched.offsets


def test_nobody_gives_oneself_rights_or_another_a_password(
    intruder: Intruder, config: OctopusConfig, untouched: Holdings
) -> None:
    denied = r"could not be set at .*uthorization failed.*; an administrator may do so"
    for call in (
        lambda: administration.grant_namespace(config, f"User:{intruder.own}", intruder.target),
        lambda: administration.add_scram_user(config, intruder.target, "another password"),
    ):
        with pytest.raises(FabricError, match=intruder.expected("read") if intruder.way == "setting" else denied):
            call()
    assert untouched.rules


def test_no_request_of_an_administrator_is_granted(
    intruder: Intruder, config: OctopusConfig, untouched: Holdings
) -> None:
    name, group = f"{intruder.target}.{NOTES}", f"{intruder.target}.deciders"
    place = TopicPartition(name, 0, 0)
    change = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
    moved = ConsumerGroupTopicPartitions(group, [place])
    requests: dict[str, Callable[[Any], dict[Any, Any]]] = {
        "delete a topic": lambda admin: admin.delete_topics([name]),
        "delete records": lambda admin: admin.delete_records([TopicPartition(name, 0, -1)]),
        "add partitions": lambda admin: admin.create_partitions([NewPartitions(name, 2)]),
        "let records expire": lambda admin: admin.incremental_alter_configs(
            [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[change])]
        ),
        "read a group's offsets": lambda admin: admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)]
        ),
        "move a group's offsets": lambda admin: admin.alter_consumer_group_offsets([moved]),
        "delete a group": lambda admin: admin.delete_consumer_groups([group]),
        "describe a group": lambda admin: admin.describe_consumer_groups([group]),
    }
    if intruder.way == "setting":
        with pytest.raises(FabricError, match=intruder.expected("read")):
            fabric_topics.request_admin(config, "x", lambda admin, _: requests["delete a topic"](admin))
        return

    def ask(admin: Any, _: float) -> dict[str, Any]:
        return {what: one for what, request in requests.items() for one in request(admin).values()}

    answers = fabric_topics.request_admin(config, "what is another's", ask)
    assert {what for what, error in answers.items() if error is None} == set()
    assert {what: error.str() for what, error in answers.items() if error.code() not in REFUSED} == {}
    listed = fabric_topics.ask_admin(config, lambda admin, seconds: admin.list_consumer_groups().result(seconds)).valid
    assert not [each for each in listed if each.group_id.startswith(intruder.target)]
    assert untouched.groups


def test_a_group_of_anothers_admits_nobody(
    intruder: Intruder, config: OctopusConfig, untouched: Holdings, caplog: pytest.LogCaptureFixture, wait_for: Wait
) -> None:
    if intruder.way == "setting":
        refused(intruder, "read", lambda: Membership(config, Topic.failures, "deciders"))
        return
    caplog.set_level("DEBUG", "octopus_plugins")
    with closing(Membership(config, Topic.failures, "deciders")) as member:

        def turned_away() -> bool:
            member.poll()
            return "uthorization failed" in caplog.text

        wait_for(turned_away, 90)
        assert member.share is None
    assert untouched.groups


def test_our_settings_open_nothing_to_the_bare_client_either(
    intruder: Intruder, config: OctopusConfig, untouched: Holdings
) -> None:
    name = f"{intruder.target}.{NOTES}"
    if intruder.way == "setting":
        refused(intruder, "read", lambda: kafka_options(config))
        return
    answers: list[Any] = []
    producer = Producer(kafka_options(config), logger=QuietLogger())
    producer.produce(name, b"x", partition=0, on_delivery=lambda error, _: answers.append(error))
    assert producer.flush(90) == 0
    assert [each.code() for each in answers] == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
    with closing(
        Consumer({**kafka_options(config), "group.id": f"{intruder.own}.g"}, logger=QuietLogger())
    ) as consumer:
        consumer.subscribe([name])
        message = consumer.poll(90)
        assert message is not None and message.error() is not None
        assert message.error().code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        with pytest.raises(KafkaException):
            consumer.commit(offsets=[TopicPartition(name, 0, 0)], asynchronous=False)
    assert untouched.records
