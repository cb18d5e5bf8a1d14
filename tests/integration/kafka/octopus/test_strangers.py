"""Who is let in: nobody without a key that the service gave, or with a token that is not what such a key signs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from octopus_plugins import failures
from octopus_plugins.errors import CredentialsError
from octopus_plugins.events import Task, Topic
from octopus_plugins.fabric import Emitter, existing_topics
from octopus_plugins.fabric.octopus import msk
from octopus_plugins.fabric.octopus.keys import Key, load_key
from octopus_plugins.local import ApacheKafka

from ..tokens import change, make_token
from .users import User

Wait = Callable[..., None]
Forge = Callable[[Key, str], tuple[str, float]]

TASK = Task(run_id="stranger", task_id="1", time=1.0, state="running")


def with_another_host(key: Key, region: str) -> tuple[str, float]:
    """A token for MSK in another region: host and scope are part of what is signed."""
    token, end = SIGN(key, region)
    return change(token, host="kafka.eu-west-1.amazonaws.com"), end


SIGN = msk.sign

TOKENS: dict[str, tuple[Forge, str]] = {
    "unknown key": (lambda key, _: make_token(("AKIANOBODY", key.secret_key)), "its access key is unknown"),
    "another secret": (lambda key, _: make_token((key.access_key, "guessed")), "its signature is wrong"),
    "payload": (lambda key, region: _changed(key, region, X_Amz_Expires="800"), "its signature is wrong"),
    "signature": (lambda key, region: _changed(key, region, X_Amz_Signature="0" * 64), "its signature is wrong"),
    "host": (with_another_host, "its credential is for something else"),
    "no token": (lambda *_: ("a.b", time.time() + 900), "it is no URL in base64url"),
}


def _changed(key: Key, region: str, **changes: str) -> tuple[str, float]:
    token, end = SIGN(key, region)
    return change(token, **changes), end


@pytest.fixture(scope="module")
def carol(alice: User) -> User:
    """A user whose key is an old one."""
    alice.age_key()
    return alice.changed(OCTOPUS_SPOOL_DIR=str(alice.home / "strangers-spool"))


@pytest.mark.parametrize("how", TOKENS)
def test_a_token_that_no_key_of_the_service_signed_opens_nothing(
    carol: User, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge, reason = TOKENS[how]
    monkeypatch.setattr(msk, "sign", forge)
    check_refused(carol, reason)


def test_an_expired_token_opens_nothing(carol: User, monkeypatch: pytest.MonkeyPatch, wait_for: Wait) -> None:
    key = load_key(carol.config())
    token, end = make_token((key.access_key, key.secret_key), 1)
    monkeypatch.setattr(msk, "sign", lambda *_: (token, time.time() + 900))
    wait_for(lambda: time.time() > end + 1)
    check_refused(carol, "it expired at")


def check_refused(carol: User, reason: str) -> None:
    refused = carol.octopus("failures")
    assert refused.exit_code == 1
    assert reason in refused.stderr
    assert f"refuse the key of {carol.namespace}" in refused.stderr
    assert "run `octopus login`" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_the_same_path_is_open_to_a_token_as_it_should_be(carol: User, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else the test above would show nothing but that its ways to sign do not work.
    monkeypatch.setattr(msk, "sign", lambda key, _: make_token((key.access_key, key.secret_key)))
    assert existing_topics(carol.config()) == set(Topic)
    monkeypatch.setattr(msk, "sign", lambda key, region: _changed(key, region))
    assert carol.octopus("failures").exit_code == 0


@pytest.mark.parametrize("how", ["unknown key", "payload"])
def test_events_of_whoever_is_refused_wait_and_the_log_says_why(
    carol: User, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wait_for: Wait
) -> None:
    forge, reason = TOKENS[how]
    config = carol.config()
    with monkeypatch.context() as patch:
        patch.setattr(msk, "sign", forge)
        emitter = Emitter(config)
        emitter.emit(TASK)
        wait_for(lambda: reason in caplog.text, 90)
        assert (emitter.counts.delivered, emitter.counts.spooled) == (0, 1)
        emitter.close(0.1)
    assert list(failures(config=config)) == []


def test_a_stranger_without_a_key_does_not_get_as_far_as_the_brokers(make_user: Callable[[str], User]) -> None:
    stranger = make_user("mallory")
    for command in (["failures"], ["topics", "list"], ["topics", "ensure"], ["wrath", "serve"], ["whoami"]):
        said = stranger.octopus(*command)
        assert said.exit_code == 1, command
        assert "nobody is logged in" in said.stderr, command
        assert "log in with `octopus login`" in said.stderr, command


CLEAR_TEXT: dict[str, tuple[dict[str, str], str]] = {
    "nothing shown": (
        {"profile": "kafka", "security_protocol": "PLAINTEXT"},
        "speaks TLS only, and PLAINTEXT is refused; set security_protocol",
    ),
    "with the key": ({"security_protocol": "PLAINTEXT"}, "is reached by SASL_SSL only, not by PLAINTEXT"),
    "with a token": ({"security_protocol": "SASL_PLAINTEXT"}, "speaks TLS only, and SASL_PLAINTEXT is refused"),
}


@pytest.mark.parametrize("how", CLEAR_TEXT)
def test_a_client_in_clear_text_is_refused(carol: User, how: str, secure_kafka: ApacheKafka) -> None:
    settings, reason = CLEAR_TEXT[how]
    more = {"OCTOPUS_BOOTSTRAP_SERVERS": secure_kafka.address, "OCTOPUS_NAMESPACE": carol.namespace}
    more |= {f"OCTOPUS_{name.upper()}": value for name, value in settings.items()}
    user = carol.changed(**more, OCTOPUS_CONNECT_TIMEOUT="10")
    said = user.octopus("failures")
    assert said.exit_code == 1
    assert reason in said.stderr
    with pytest.raises(CredentialsError, match=reason):
        existing_topics(user.config())
