"""Who may do what on a secure node: through our own API, and with the bare Kafka client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from octopus_plugins import OctopusConfig, tasks
from octopus_plugins.errors import CredentialsError, FabricError, TopicMissingError
from octopus_plugins.events import Task, Topic
from octopus_plugins.fabric import Emitter, ensure_topics, existing_topics, kafka_options, topic_name
from octopus_plugins.fabric.kafka.admin import add_scram_user, grant_namespace
from octopus_plugins.fabric.kafka.consumer_group import Membership
from octopus_plugins.fabric.kafka.follower import Follower, Wanted
from octopus_plugins.fabric.kafka.produce_sync import send_now
from octopus_plugins.local import ApacheKafka

pytestmark = pytest.mark.slow

Emitting = Callable[[OctopusConfig], Emitter]
Wait = Callable[..., None]

REFUSED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART}


def task(number: int) -> Task:
    return Task(run_id="r", task_id=str(number), time=1.0, state="running")


def as_if(config: OctopusConfig, other: OctopusConfig) -> OctopusConfig:
    """A user's credentials with the namespace of another."""
    return config.model_copy(update={"namespace": other.namespace, "connect_timeout": 5.0})


def code(error: pytest.ExceptionInfo[KafkaException]) -> int:
    number: int = error.value.args[0].code()
    return number


def test_a_user_works_with_its_own_topics(
    alice: OctopusConfig, emitting: Emitting, wait_for: Wait, capfd: pytest.CaptureFixture[str]
) -> None:
    emitter = emitting(alice)
    emitter.emit(*map(task, range(100)))
    assert emitter.flush(90)
    send_now(alice, task(100))
    assert [one.task_id for one in tasks(config=alice)] == [str(number) for number in range(101)]
    assert [one.task_id for one in tasks(config=alice, since=0.5)] == [str(number) for number in range(101)]
    assert existing_topics(alice) == set(Topic)
    assert ensure_topics(alice) == set()
    member = Membership(alice, Topic.failures, "deciders")
    try:

        def admitted() -> bool:
            member.poll()
            return member.share == {0}

        wait_for(admitted)
    finally:
        member.close()


def test_transactions_and_idempotence_are_allowed_under_the_own_prefix_only(
    alice: OctopusConfig, bob: OctopusConfig
) -> None:
    name = topic_name(alice, Topic.task_metrics)
    own = Producer({**kafka_options(alice), "transactional.id": f"{alice.namespace}.t"})
    own.init_transactions(30)
    own.begin_transaction()
    own.produce(name, b"x")
    own.commit_transaction(30)
    other = Producer({**kafka_options(alice), "transactional.id": f"{bob.namespace}.t"})
    with pytest.raises(KafkaException) as error:
        other.init_transactions(10)
    assert code(error) == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_our_own_questions_cannot_read_another_users_topics(
    alice: OctopusConfig, bob: OctopusConfig, emitting: Emitting
) -> None:
    emitter = emitting(bob)
    emitter.emit(task(1))
    assert emitter.flush(90)
    with pytest.raises(CredentialsError, match=rf"may not be read by user {alice.sasl_username}.*set namespace"):
        list(tasks(config=as_if(alice, bob)))
    assert existing_topics(as_if(alice, bob)) == set()


def test_our_own_emitter_cannot_write_to_another_users_topics(
    alice: OctopusConfig, bob: OctopusConfig, emitting: Emitting, caplog: pytest.LogCaptureFixture, wait_for: Wait
) -> None:
    intruder = emitting(as_if(alice, bob))
    intruder.emit(task(1))
    wait_for(lambda: "could not be created" in caplog.text)
    assert "uthorization failed" in caplog.text
    assert not intruder.flush(0.1)
    assert intruder.counts.delivered == 0
    with pytest.raises(FabricError, match="uthorization failed"):
        send_now(as_if(alice, bob), task(2))
    assert list(tasks(config=bob)) == []


def test_a_user_creates_no_topics_not_even_its_own(secure_kafka: ApacheKafka, namespace: str) -> None:
    config = OctopusConfig.load(**secure_kafka.add_user(f"late-{namespace}"))
    with pytest.raises(TopicMissingError, match="ask whoever runs the broker"):
        ensure_topics(config)
    assert existing_topics(config) == set()
    with pytest.raises(TopicMissingError, match="octopus topics ensure"):
        list(tasks(config=config))


def test_the_bare_client_sees_nothing_of_another_user(alice: OctopusConfig, bob: OctopusConfig) -> None:
    admin = AdminClient(kafka_options(alice))
    seen = set(admin.list_topics(timeout=30).topics)
    assert seen == {topic_name(alice, topic) for topic in Topic}
    name = topic_name(bob, Topic.failures)
    assert admin.list_topics(name, timeout=30).topics[name].error.code() in REFUSED
    groups = admin.list_consumer_groups(request_timeout=30).result(30)
    assert [one.group_id for one in groups.valid if not one.group_id.startswith(alice.namespace)] == []


def test_the_bare_client_can_neither_read_nor_write_another_users_topics(
    alice: OctopusConfig, bob: OctopusConfig, emitting: Emitting
) -> None:
    emitter = emitting(bob)
    emitter.emit(task(1))
    assert emitter.flush(90)
    name = topic_name(bob, Topic.task_metrics)
    consumer = Consumer({**kafka_options(alice), "group.id": f"{alice.namespace}.g"})
    try:
        with pytest.raises(KafkaException) as error:
            consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=10)
        assert code(error) in REFUSED | {KafkaError._UNKNOWN_PARTITION}
        consumer.subscribe([name])
        message = consumer.poll(30)
        assert message is not None
        assert message.error().code() in REFUSED
        consumer.unsubscribe()
        consumer.assign([TopicPartition(name, 0, 0)])
        assert consumer.consume(1, 3) == []
    finally:
        consumer.close()
    answers: list[Any] = []
    producer = Producer({**kafka_options(alice), "message.timeout.ms": 10_000})
    producer.produce(name, b"x", partition=0, on_delivery=lambda failed, _: answers.append(failed))
    producer.flush(90)
    assert [one.code() for one in answers] == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
    assert len(list(tasks(config=bob))) == 1


def test_the_bare_client_joins_no_group_of_another_user(alice: OctopusConfig, bob: OctopusConfig) -> None:
    consumer = Consumer({**kafka_options(alice), "group.id": f"{bob.namespace}.deciders"})
    try:
        consumer.subscribe([topic_name(alice, Topic.failures)])
        deadline = time.monotonic() + 30
        message = None
        while message is None and time.monotonic() < deadline:
            message = consumer.poll(1)
        assert message is not None
        assert message.error().code() == KafkaError.GROUP_AUTHORIZATION_FAILED
    finally:
        consumer.close()


def test_the_bare_client_creates_changes_and_deletes_nothing(alice: OctopusConfig, bob: OctopusConfig) -> None:
    admin = AdminClient(kafka_options(alice))
    own, others = topic_name(alice, Topic.failures), topic_name(bob, Topic.failures)
    wanted = [NewTopic(f"{alice.namespace}.new", 1), NewTopic(f"{bob.namespace}.new", 1), NewTopic("new", 1)]
    for made in admin.create_topics(wanted, request_timeout=30).values():
        with pytest.raises(KafkaException) as error:
            made.result(30)
        assert code(error) in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
    for name, answer in admin.delete_topics([own, others], request_timeout=30).items():
        with pytest.raises(KafkaException) as error:
            answer.result(30)
        assert code(error) in REFUSED, name
    for answer in admin.delete_records([TopicPartition(own, 0, -1), TopicPartition(others, 0, -1)]).values():
        with pytest.raises(KafkaException) as error:
            answer.result(30)
        assert code(error) in REFUSED
    assert existing_topics(bob) == set(Topic)
    assert existing_topics(alice) == set(Topic)


def test_nobody_but_the_administrator_gives_rights_or_passwords(alice: OctopusConfig, bob: OctopusConfig) -> None:
    with pytest.raises(CredentialsError, match=r"rules of .* could not be set.*uthorization failed"):
        grant_namespace(alice, f"User:{alice.sasl_username}", bob.namespace)
    with pytest.raises(CredentialsError, match=r"user bob\S+ could not be set.*uthorization failed"):
        add_scram_user(alice, str(bob.sasl_username), "another")
    assert existing_topics(bob) == set(Topic)
    assert existing_topics(as_if(alice, bob)) == set()


def wrong(config: OctopusConfig, secure_kafka: ApacheKafka, how: str) -> OctopusConfig:
    """A user's configuration, made wrong in one way."""
    admin = secure_kafka.admin_settings()
    changes: dict[str, dict[str, Any]] = {
        "password": {"sasl_password": "guessed"},
        "stranger": {"sasl_username": "mallory"},
        "mechanism": {"sasl_mechanism": "PLAIN"},
        "clear text": {"security_protocol": "PLAINTEXT"},
        "clear text with user": {"security_protocol": "SASL_PLAINTEXT"},
        "no user": {"security_protocol": "SSL"},
        "unknown authority": {"ssl_ca_location": None},
        "no certificate": {"bootstrap_servers": admin["bootstrap_servers"], "security_protocol": "SSL"},
    }
    values = {name: getattr(config, name) for name in config.model_fields_set} | changes[how] | {"connect_timeout": 4.0}
    return OctopusConfig.load(**{name: value for name, value in values.items() if value is not None})


WRONG = {
    "password": r"refused the credentials of user alice-\S+: .*sasl_password",
    "stranger": r"refused the credentials of user mallory: .*sasl_username",
    "mechanism": r"refused the credentials.*supported mechanisms: SCRAM-SHA-512",
    "clear text": r"speaks TLS only, and PLAINTEXT is refused; set security_protocol",
    "clear text with user": r"speaks TLS only, and SASL_PLAINTEXT is refused; set security_protocol",
    "no user": r"closes connections that have TLS but no user; set security_protocol .* to SASL_SSL",
    "unknown authority": r"cannot be trusted.*set ssl_ca_location",
    "no certificate": r"refused the client's certificate.*ssl_certificate_location",
}


@pytest.mark.parametrize("how", WRONG)
def test_whoever_is_refused_is_told_so_within_seconds(
    alice: OctopusConfig, secure_kafka: ApacheKafka, how: str
) -> None:
    config = wrong(alice, secure_kafka, how)
    begin = time.monotonic()
    with pytest.raises(CredentialsError, match=WRONG[how]):
        existing_topics(config)
    with pytest.raises(CredentialsError, match=WRONG[how]):
        list(tasks(config=config))
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("how", ["password", "clear text", "unknown authority"])
def test_events_of_whoever_is_refused_wait_and_the_log_says_why(
    alice: OctopusConfig,
    secure_kafka: ApacheKafka,
    how: str,
    emitting: Emitting,
    caplog: pytest.LogCaptureFixture,
    wait_for: Wait,
) -> None:
    emitter = emitting(wrong(alice, secure_kafka, how))
    emitter.emit(task(1))
    wait_for(lambda: caplog.records)
    assert caplog.records[0].getMessage().partition(" Until then")[0]
    assert [record for record in caplog.records if "refused" in record.message or "trusted" in record.message]
    assert emitter.counts.spooled == 1
    assert list(tasks(config=alice)) == []


def test_a_follower_that_is_refused_says_why_and_goes_on_trying(
    alice: OctopusConfig, secure_kafka: ApacheKafka, caplog: pytest.LogCaptureFixture, wait_for: Wait
) -> None:
    follower = Follower(wrong(alice, secure_kafka, "password"), Wanted(Topic.failures, 0.0))
    batches = follower.read_batches()

    def complained() -> bool:
        assert next(batches) == []
        return "refused the credentials" in caplog.text

    wait_for(complained)
    follower.close()
    assert "it is tried again" in caplog.text


def test_a_follower_of_what_it_may_not_read_says_so(
    alice: OctopusConfig, bob: OctopusConfig, caplog: pytest.LogCaptureFixture, wait_for: Wait
) -> None:
    follower = Follower(as_if(alice, bob), Wanted(Topic.failures, 0.0))
    batches = follower.read_batches()

    def complained() -> bool:
        assert next(batches) == []
        return bool(caplog.text)

    wait_for(complained)
    follower.close()
    assert f"topic {bob.namespace}.failures may not be read by user {alice.sasl_username}" in caplog.text
    assert "set namespace to your own" in caplog.text


def test_no_password_is_in_any_message(
    alice: OctopusConfig, secure_kafka: ApacheKafka, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "octopus_plugins")
    config = wrong(alice, secure_kafka, "stranger")
    assert config.sasl_password is not None
    with pytest.raises(CredentialsError) as error:
        list(tasks(config=config))
    secret = config.sasl_password.get_secret_value()
    assert secret not in f"{error.value!r} {caplog.text} {config!r}"


def test_an_administrator_shows_a_certificate(secure_kafka: ApacheKafka, namespace: str) -> None:
    config = OctopusConfig.load(**secure_kafka.admin_settings(), namespace=namespace)
    assert ensure_topics(config) == set(Topic)
    assert existing_topics(config) == set(Topic)


def test_what_is_secret_can_be_read_by_its_owner_only(secure_kafka: ApacheKafka, alice: OctopusConfig) -> None:
    home = secure_kafka.home
    assert home.stat().st_mode & 0o777 == 0o700
    for file in (home / "certificates").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert (home / "users.json").stat().st_mode & 0o777 == 0o600
    assert str(alice.sasl_username) in (home / "users.json").read_text()
