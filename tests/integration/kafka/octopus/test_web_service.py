"""Alice's login at the web service, with Bob's name or namespace: what the service says, and why we never ask it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from octopus_plugins.errors import ConfigError, ServiceError
from octopus_plugins.events import Topic
from octopus_plugins.fabric.octopus.keys import open_service
from octopus_plugins.fabric.octopus.login import GlobusLogin, Identity
from octopus_plugins.fabric.octopus.service import Service

from ...standin.globus import SERVICE, StandinGlobus
from ...standin.kafka import KafkaBackend
from ...standin.service import StandinService
from .conftest import NOTES
from .holdings import Holdings
from .users import User


@pytest.fixture
def token(alice: User, globus: StandinGlobus) -> str:
    """Alice's token for the service."""
    (found, *_) = (
        text
        for text, each in globus.tokens.items()
        if (each.person, each.resource_server, each.active) == (alice.person, SERVICE, True)
    )
    return found


def ask(service: StandinService, method: str, path: str, subject: str, token: str) -> dict[str, Any]:
    headers = {"subject": subject, "authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{service.url}/api/v3/{path}", method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer


def test_another_name_needs_another_login(
    alice: User, bob: User, service: StandinService, token: str, untouched: Holdings
) -> None:
    theirs = f"{bob.namespace}/{NOTES}"
    for method, path in (
        ("POST", "user"),
        ("POST", "key"),
        ("DELETE", "key"),
        ("GET", "namespace"),
        ("POST", theirs),
        ("DELETE", theirs),
        ("PUT", f"{theirs}/recreate"),
    ):
        answer = ask(service, method, path, bob.person.subject, token)
        assert answer == {"status": "error", "reason": "Token does not belong to the user."}, (method, path)
    assert untouched.records


def test_ones_own_login_creates_nothing_in_another_namespace_and_lists_the_own_alone(
    alice: User, bob: User, service: StandinService, token: str, untouched: Holdings
) -> None:
    answer = ask(service, "POST", f"{bob.namespace}/planted", alice.person.subject, token)
    assert answer["status"] == "failure"
    assert f"Namespace {bob.namespace} not found" in answer["message"]
    listed = ask(service, "GET", "namespace", alice.person.subject, token)["namespaces"]
    assert listed == {alice.namespace: sorted(topic.value for topic in Topic)}
    assert untouched.offsets


def test_our_client_has_no_words_for_another_namespace(
    alice: User, bob: User, service: StandinService, untouched: Holdings
) -> None:
    config = alice.config()
    own = open_service(config)
    before = len(service.requests)
    for name in (f"{bob.namespace}.{NOTES}", f"../{bob.namespace}/{NOTES}", f"{bob.namespace}/{NOTES}"):
        for call in (own.create_topic, own.delete_topic, own.recreate_topic):
            with pytest.raises(ConfigError, match="is no name of a topic on the Octopus service"):
                call(name)
    assert len(service.requests) == before
    posing = Service(config, GlobusLogin(config), Identity(bob.person.subject, bob.person.username))
    for call in (posing.create_topic, posing.delete_topic, posing.recreate_topic):
        with pytest.raises(ServiceError, match="Token does not belong to the user"):
            call(NOTES)
    assert untouched.records


def test_the_service_itself_deletes_a_topic_that_is_anothers_which_only_our_client_keeps_from_happening(
    alice: User, bob: User, service: StandinService, backend: KafkaBackend, token: str
) -> None:
    # Observed of release 0.4.6. It also shows that the tests above would notice if something of Bob's were gone.
    with bob.at_home():
        open_service(bob.config()).create_topic("scratch")
    assert f"{bob.namespace}.scratch" in backend.topics()
    answer = ask(service, "DELETE", f"{bob.namespace}/scratch", alice.person.subject, token)
    assert answer["status"] == "failure"
    assert f"{bob.namespace}.scratch" not in backend.topics()
