from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from octopus_plugins import OctopusConfig
from octopus_plugins.errors import BrokerUnreachableError, CredentialsError
from octopus_plugins.fabric.kafka.auth_errors import Refusals
from octopus_plugins.local.certificates import make_certificates
from octopus_plugins.local.processes import free_port

Heard = Callable[..., Refusals]


@pytest.fixture
def heard() -> Heard:
    def make(*errors: tuple[int, str], **settings: str) -> Refusals:
        config = OctopusConfig(profile="kafka", bootstrap_servers=f"127.0.0.1:{free_port()}", **settings)  # type: ignore[arg-type]
        refusals = Refusals(config)
        for code, reason in errors:
            refusals(KafkaError(code, reason))
        return refusals

    return make


# As librdkafka 2.15 says them to a real broker; tests/integration/kafka/test_access.py has them from there.
DOWN = (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
AUTH = (
    KafkaError._AUTHENTICATION,
    "sasl_ssl://127.0.0.1:9/bootstrap: SASL authentication error: Authentication failed during authentication due to"
    " invalid credentials with SASL mechanism SCRAM-SHA-512 (after 305ms in state AUTH_REQ)",
)
CONNECT = (KafkaError._TRANSPORT, "127.0.0.1:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused")


def test_a_refusal_is_remembered_whatever_else_is_said_afterwards(heard: Heard) -> None:
    refusals = heard(AUTH, DOWN, CONNECT, sasl_username="alice")
    error = refusals.error("Local: Timed out")
    assert isinstance(error, CredentialsError)
    assert refusals.told is error
    assert "refused the credentials of user alice: SASL authentication error" in str(error)
    assert "AUTH_REQ" not in str(error)


def test_a_broker_that_is_away_is_no_refusal_and_its_own_reason_is_given(heard: Heard) -> None:
    error = heard(CONNECT, DOWN).error("Local: Timed out")
    assert isinstance(error, BrokerUnreachableError)
    assert "Connection refused" in str(error)


def test_without_any_word_the_questions_own_reason_is_given(heard: Heard) -> None:
    error = heard(DOWN).error("Local: Timed out")
    assert isinstance(error, BrokerUnreachableError)
    assert "Local: Timed out" in str(error)


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[str]:
    """The address of one that answers to TLS, and closes the connection then."""
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "octopus-broker.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


BROKEN = "ssl://127.0.0.1:9/bootstrap: Send failed: error:80000020:system library::Broken pipe: tls_retry_write_records"
RESET = "ssl://127.0.0.1:9/bootstrap: Disconnected: Connection reset by peer"


@pytest.mark.parametrize("reason", [BROKEN, RESET])
def test_a_broker_that_closes_connections_with_tls_wants_a_user(tls_broker: str, reason: str) -> None:
    refusals = Refusals(OctopusConfig(profile="kafka", bootstrap_servers=tls_broker, security_protocol="SSL"))
    refusals(KafkaError(KafkaError._TRANSPORT, reason))
    error = refusals.error("Local: Timed out")
    assert isinstance(error, CredentialsError)
    assert "TLS but no user" in str(error)


def test_with_a_certificate_of_ones_own_a_closed_connection_is_only_that(tls_broker: str) -> None:
    mine = {"ssl_certificate_location": "me.pem", "ssl_key_location": "me.key"}
    refusals = Refusals(OctopusConfig(profile="kafka", bootstrap_servers=tls_broker, security_protocol="SSL", **mine))
    refusals(KafkaError(KafkaError._TRANSPORT, RESET))
    assert isinstance(refusals.error("Local: Timed out"), BrokerUnreachableError)


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (KafkaError._SSL, "SSL handshake failed: certificate verify failed", "ssl_ca_location"),
        (
            KafkaError._TRANSPORT,
            "SSL connection closed by peer: connecting to a PLAINTEXT broker listener?",
            "PLAINTEXT",
        ),
        (KafkaError._TRANSPORT, "ssl/tls alert bad certificate: SSL alert number 42", "ssl_certificate_location"),
        (KafkaError._TRANSPORT, "tlsv13 alert certificate required", "ssl_certificate_location"),
    ],
)
def test_troubles_with_tls_are_refusals_with_a_remedy_of_their_own(
    heard: Heard, code: int, reason: str, remedy: str
) -> None:
    told = heard((code, reason), security_protocol="SSL").told
    assert told is not None
    assert remedy in str(told)


def test_what_was_heard_is_forgotten_when_all_is_well_again(heard: Heard) -> None:
    refusals = heard(AUTH)
    refusals.forget()
    assert refusals.told is None
    assert isinstance(refusals.error("late"), BrokerUnreachableError)


def test_credentials_that_were_refused_only_others_can_change(heard: Heard) -> None:
    assert heard(AUTH).refused
    assert not heard(CONNECT, DOWN).refused
    assert not heard((KafkaError._SSL, "SSL handshake failed: certificate verify failed")).refused


HANDSHAKE = "SASL OAUTHBEARER mechanism handshake failed"


CUT = [
    f"{HANDSHAKE}: Local: Broker transport failure: broker's supported mechanisms: (n/a)",
    "SASL authentication error: SaslAuthenticateRequest failed: Local: Broker transport failure",
]
TOO_SOON = f"{HANDSHAKE}: Broker: Request not valid in current SASL state: broker's supported mechanisms: "


@pytest.mark.parametrize("reason", CUT)
def test_a_connection_that_is_cut_while_it_is_authenticated_is_no_refusal(heard: Heard, reason: str) -> None:
    refusals = heard((KafkaError._AUTHENTICATION, reason), sasl_username="alice")
    assert refusals.told is None
    assert not refusals.refused
    error = refusals.error("Local: Timed out")
    assert isinstance(error, BrokerUnreachableError)
    assert reason.partition(":")[0] in str(error)


def test_a_token_that_is_shown_too_soon_after_the_last_one_is_no_refusal(tmp_path: Path) -> None:
    config = OctopusConfig(profile="octopus", bootstrap_servers="127.0.0.1:9", credentials_dir=tmp_path)
    refusals = Refusals(config)
    refusals(KafkaError(KafkaError._AUTHENTICATION, TOO_SOON))
    assert not refusals.refused


def test_a_listener_that_takes_no_user_refuses_one_with_the_same_words(heard: Heard) -> None:
    assert heard((KafkaError._AUTHENTICATION, TOO_SOON), sasl_username="alice").refused


def test_a_mechanism_that_the_broker_does_not_have_is_a_refusal(heard: Heard) -> None:
    reason = f"{HANDSHAKE}: Broker: Unsupported SASL mechanism: broker's supported mechanisms: GSSAPI"
    assert heard((KafkaError._AUTHENTICATION, reason), sasl_username="alice").refused


def test_a_password_is_never_thought_to_have_been_replaced(heard: Heard) -> None:
    refusals = heard(AUTH)
    assert not refusals.may_be_over()
    assert not refusals.is_settling()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (AUTH[1].replace("Authentication failed", "Access denied"), "(Access denied"),
        (
            "Failed to acquire SASL OAUTHBEARER token: nobody is logged in; log in with `octopus login`",
            "(nobody is logged in; log in with `octopus login`)",
        ),
    ],
)
def test_a_key_that_is_refused_is_told_with_what_was_said_and_the_way_out(
    heard: Heard, tmp_path: Path, said: str, reason: str
) -> None:
    config = OctopusConfig(profile="octopus", bootstrap_servers="127.0.0.1:9", credentials_dir=tmp_path)
    refusals = Refusals(config)
    refusals(KafkaError(KafkaError._AUTHENTICATION, said))
    assert reason in str(refusals.told)
    assert "run `octopus login`" in str(refusals.told)
