"""Tokens of Amazon MSK on Apache Kafka: those that clients make are accepted, and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from octopus_plugins.events import Topic
from octopus_plugins.fabric.kafka.topics import QuietLogger
from octopus_plugins.local import ApacheKafka

from .tokens import Keys, change, make_token

pytestmark = pytest.mark.slow

Wait = Callable[..., None]
Key = tuple[str, str]
Source = Callable[[], tuple[str, float]]


class Client:
    """A producer that shows tokens, and what it heard."""

    def __init__(self, kafka: ApacheKafka, source: Source) -> None:
        self.errors: list[KafkaError] = []
        self.answers: list[Any] = []
        self.asked = 0

        def token(_: str) -> tuple[str, float]:
            self.asked += 1
            return source()

        self.producer = Producer(
            {
                "bootstrap.servers": kafka.address,
                "security.protocol": "SASL_SSL",
                "ssl.ca.location": kafka.ca_location,
                "sasl.mechanisms": "OAUTHBEARER",
                "oauth_cb": token,
                "error_cb": self.errors.append,
                "message.timeout.ms": 60_000,
            },
            logger=QuietLogger(),
        )

    def topics(self, seconds: float = 20.0) -> set[str]:
        return set(self.producer.list_topics(timeout=seconds).topics)

    def send(self, topic: str) -> Any:
        """Send a record and wait for the answer."""
        heard = len(self.answers)
        self.producer.produce(topic, b"x", on_delivery=lambda error, _: self.answers.append(error))
        self.producer.flush(60)
        return self.answers[heard]

    def refusal(self) -> str:
        """What the broker says of a token that it does not accept."""
        deadline = time.monotonic() + 30
        heard: list[str] = []
        while not heard and time.monotonic() < deadline:
            with pytest.raises(KafkaException):
                self.topics(0.5)
            self.producer.poll(0)
            heard = [error.str() for error in self.errors if error.code() == KafkaError._AUTHENTICATION]
        return "\n".join(heard)


@pytest.fixture
def key(secure_kafka: ApacheKafka, keys: Keys, namespace: str) -> Key:
    """The key of a user who may work with this test's namespace."""
    secure_kafka.grant(namespace, namespace)
    secure_kafka.create_topics(namespace)
    return keys.make(namespace)


@pytest.fixture
def connect(secure_kafka: ApacheKafka) -> Iterator[Callable[[Source], Client]]:
    """Make clients whose tokens come from a source."""
    made: list[Client] = []

    def make(source: Source) -> Client:
        made.append(Client(secure_kafka, source))
        return made[-1]

    yield make
    for client in made:
        client.producer.purge()


Connect = Callable[[Source], Client]


def test_a_token_of_a_known_key_opens_the_topics_of_its_user_and_no_others(
    connect: Connect, key: Key, namespace: str, secure_kafka: ApacheKafka
) -> None:
    secure_kafka.create_topics("somebody-else")
    client = connect(lambda: make_token(key))
    assert client.topics() == {f"{namespace}.{topic}" for topic in Topic}
    assert client.send(f"{namespace}.failures") is None
    assert client.send("somebody-else.failures").code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_an_expired_token_is_refused(connect: Connect, key: Key, wait_for: Wait) -> None:
    token, end = make_token(key, 1)
    wait_for(lambda: time.time() > end + 1)
    assert "expired at" in connect(lambda: (token, time.time() + 900)).refusal()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"X_Amz_Expires": "899"}, "signature is wrong"),
        ({"X_Amz_Expires": "86400"}, "X-Amz-Expires is not within"),
        ({"X_Amz_Date": "20200101T000000Z"}, "expired at"),
        ({"X_Amz_Date": "20990101T000000Z"}, "from the future"),
        ({"X_Amz_Signature": "0" * 64}, "signature is wrong"),
        ({"Action": "kafka-cluster:Delete"}, "Action is not"),
        ({"X_Amz_Security_Token": "added"}, "signature is wrong"),
    ],
)
def test_a_tampered_token_is_refused(connect: Connect, key: Key, changes: dict[str, str], reason: str) -> None:
    token, end = make_token(key)
    assert reason in connect(lambda: (change(token, **changes), end)).refusal()


def test_a_token_that_was_only_written_anew_is_accepted(connect: Connect, key: Key) -> None:
    # Else the tests above would show nothing but that any change is refused.
    token, end = make_token(key)
    assert connect(lambda: (change(token), end)).topics()


def test_a_token_of_another_users_key_with_ones_own_signature_is_refused(
    connect: Connect, key: Key, keys: Keys
) -> None:
    others = keys.make("somebody-else")
    assert "signature is wrong" in connect(lambda: make_token((others[0], key[1]))).refusal()


def test_an_unknown_key_and_no_token_at_all_are_refused(connect: Connect) -> None:
    assert "access key is unknown" in connect(lambda: make_token(("AKIANOBODY", "secret"))).refusal()
    assert "no URL in base64url" in connect(lambda: ("a.b", time.time() + 900)).refusal()


def test_a_revoked_key_is_refused_at_the_next_login(connect: Connect, key: Key, keys: Keys) -> None:
    assert connect(lambda: make_token(key)).topics()
    keys.revoke(key[0])
    assert "access key is unknown" in connect(lambda: make_token(key)).refusal()


def test_a_connection_outlives_its_tokens_as_long_as_new_ones_are_shown(
    connect: Connect, key: Key, namespace: str, wait_for: Wait
) -> None:
    client = connect(lambda: make_token(key, 5))
    begin = time.monotonic()

    def long_enough() -> bool:
        assert client.send(f"{namespace}.failures") is None
        return time.monotonic() - begin > 15

    wait_for(long_enough, 60)
    assert client.asked >= 3


def test_a_connection_ends_with_its_token_where_no_new_one_is_shown(
    connect: Connect, key: Key, keys: Keys, namespace: str, wait_for: Wait
) -> None:
    client = connect(lambda: make_token(key, 5))
    assert client.send(f"{namespace}.failures") is None
    keys.revoke(key[0])

    def refused() -> bool:
        client.producer.produce(f"{namespace}.failures", b"x")
        client.producer.poll(0.2)
        return any("access key is unknown" in error.str() for error in client.errors)

    wait_for(refused, 60)
