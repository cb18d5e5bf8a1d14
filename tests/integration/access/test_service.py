"""The web service as we use it: every reply judged by its status, only our own namespace ever named."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from octopus_plugins.cli.group import cli
from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import ConfigError, ServiceError
from octopus_plugins.fabric.octopus.keys import log_in, open_service
from octopus_plugins.fabric.octopus.service import Service

from ..standin.backend import MemoryBackend
from ..standin.globus import Person, StandinGlobus
from ..standin.login import COMMAND
from ..standin.service import StandinService
from ..standin.wire import Fault, Reply

FOUR = ["decisions", "failures", "heartbeats", "task-metrics"]


def octopus(*arguments: str, **options: str) -> Result:
    return CliRunner().invoke(cli, arguments, **options)  # type: ignore[arg-type]


@pytest.fixture
def config(robot: Person, service: StandinService, load: Callable[..., OctopusConfig]) -> OctopusConfig:
    """Logged in as the service account."""
    log_in(load())
    return load()


@pytest.fixture
def client(config: OctopusConfig) -> Service:
    """The web service as that account."""
    return open_service(config)


def test_topics_are_created_listed_emptied_and_deleted(client: Service, service: StandinService, robot: Person) -> None:
    assert client.list_topics() == []
    client.create_topic("failures")
    client.create_topic("failures")
    client.create_topic("a_b-3")
    assert client.list_topics() == ["a_b-3", "failures"]
    client.recreate_topic("failures")
    client.delete_topic("a_b-3")
    assert client.list_topics() == ["failures"]
    assert isinstance(service.backend, MemoryBackend)
    assert service.backend.topics == {f"{robot.namespace}.failures"}


@pytest.mark.parametrize("name", ["ab", "a" * 33, "-ab", "ab_", "a b", "a.b", "a/b", "failures\n", "", "é12"])
def test_a_name_that_the_service_has_not_or_lets_through_by_mistake_is_never_sent(
    client: Service, service: StandinService, name: str
) -> None:
    before = len(service.requests)
    for call in (client.create_topic, client.delete_topic, client.recreate_topic):
        with pytest.raises(ConfigError, match="is no name of a topic on the Octopus service: 3–32"):
            call(name)
    assert len(service.requests) == before


@pytest.mark.parametrize(
    ("reply", "said", "remedy"),
    [
        ({"status": "error", "reason": "Token does not belong to the user."}, "does not belong", "octopus login"),
        ({"status": "error", "reason": "Token lacks the scope for action."}, "lacks the scope", "octopus logout"),
        ({"status": "failure", "message": "Namespace ns-1 not found for x"}, "not found for x", "makes your namespace"),
        ({"status": "failure", "message": "Kafka is away"}, "Kafka is away", "ask whoever runs the service"),
        ({"topics": "failures"}, "status None", "ask whoever runs"),
        ({"status": "succeeded"}, "status 'succeeded'", "ask whoever runs"),
    ],
)
def test_a_reply_of_200_that_is_no_success_is_an_error_with_the_remedy(
    client: Service, service: StandinService, reply: dict[str, str], said: str, remedy: str
) -> None:
    service.faults.append(Fault("/failures", reply=Reply({**reply})))
    with pytest.raises(ServiceError, match=said) as caught:
        client.create_topic("failures")
    assert remedy in str(caught.value)
    assert service.url in str(caught.value)


@pytest.mark.parametrize("body", ["<html>gateway</html>", "[]"])
def test_a_reply_that_is_no_json_object_is_an_error(client: Service, service: StandinService, body: str) -> None:
    service.faults.append(Fault("/namespace", reply=Reply(body)))
    with pytest.raises(ServiceError, match="its reply is no JSON object"):
        client.list_topics()


@pytest.mark.parametrize("status", [404, 405, 422])
def test_an_http_error_that_does_not_pass_is_told_at_once(
    client: Service, service: StandinService, status: int
) -> None:
    service.faults.append(Fault("/namespace", times=9, reply=Reply({"detail": "no"}, status)))
    with pytest.raises(ServiceError, match=f"HTTP {status}"):
        client.list_topics()
    assert len(service.calls("GET", "/api/v3/namespace")) == 1


def test_an_http_error_that_passes_is_asked_again(client: Service, service: StandinService) -> None:
    service.faults.append(Fault("/namespace", times=2, reply=Reply("Internal Server Error", 500)))
    assert client.list_topics() == []
    assert len(service.calls("GET", "/api/v3/namespace")) == 3


def test_a_service_that_fails_on_is_given_up_within_the_time(service: StandinService, config: OctopusConfig) -> None:
    impatient = open_service(config.model_copy(update={"service_timeout": 1.5}))
    service.faults.append(Fault("/namespace", times=99, reply=Reply("Internal Server Error", 500)))
    began = time.monotonic()
    with pytest.raises(ServiceError, match=r"within 1\.5 s: HTTP 500 Internal Server Error; try again later"):
        impatient.list_topics()
    assert time.monotonic() - began < 20


def test_an_inactive_token_is_renewed_once(client: Service, service: StandinService, globus: StandinGlobus) -> None:
    globus.deactivate_tokens()
    renewals = len(globus.requests)
    assert client.list_topics() == []
    assert [each.form["grant_type"] for each in globus.requests[renewals:]] == ["client_credentials"]
    assert len(service.calls("GET", "/api/v3/namespace")) == 2
    assert client.list_topics() == []
    assert len(globus.requests) == renewals + 1


def test_a_token_that_stays_inactive_is_renewed_no_more_than_once(
    client: Service, service: StandinService, globus: StandinGlobus
) -> None:
    service.faults.append(
        Fault("/namespace", times=9, reply=Reply({"status": "error", "reason": "Token is inactive."}))
    )
    renewals = len(globus.requests)
    with pytest.raises(ServiceError, match=r"Token is inactive\.; log in again"):
        client.list_topics()
    assert len(globus.requests) == renewals + 1
    assert len(service.calls("GET", "/api/v3/namespace")) == 2


def test_a_renewed_token_is_kept_for_the_next_process(
    client: Service, config: OctopusConfig, globus: StandinGlobus
) -> None:
    globus.deactivate_tokens()
    client.list_topics()
    renewals = len(globus.requests)
    open_service(config).list_topics()
    assert len(globus.requests) == renewals


def test_no_namespace_but_our_own_is_ever_named(
    config: OctopusConfig, service: StandinService, robot: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    octopus("topics", "ensure")
    for foreign in ("ns-000000000000.failures", "../ns-000000000000/failures", "ns-000000000000/failures"):
        assert octopus("topics", "delete", "--yes", foreign).exit_code == 2, foreign
    monkeypatch.setenv("OCTOPUS_NAMESPACE", "ns-000000000000")
    for arguments in (["delete", "--yes", "failures"], ["ensure"], ["list"]):
        result = octopus("topics", *arguments)
        assert result.exit_code == 1, arguments
        assert "unset OCTOPUS_NAMESPACE" in result.stderr
    assert service.namespaces_named() == {robot.namespace}
    assert config.namespace == robot.namespace


@pytest.mark.usefixtures("config")
def test_topics_ensure_list_and_delete_go_through_the_service(service: StandinService, robot: Person) -> None:
    missing = octopus("topics", "list")
    assert missing.exit_code == 1
    assert "octopus topics ensure" in missing.stderr
    made = octopus("topics", "ensure")
    assert f"{robot.namespace}.decisions" in made.stdout
    assert octopus("topics", "ensure").stdout == f"All topics of {robot.namespace} exist.\n"
    assert len(service.calls("POST", f"/api/v3/{robot.namespace}/")) == 4
    assert octopus("topics", "list").exit_code == 0

    declined = octopus("topics", "delete", "failures", input="n\n")
    assert declined.exit_code == 1
    assert service.calls("DELETE", "/api/v3/ns") == []
    assert octopus("topics", "delete", "failures", "--yes").stdout == f"Deleted {robot.namespace}.failures.\n"
    gone = octopus("topics", "delete", "failures", "--yes")
    assert gone.exit_code == 1
    assert "there is no topic" in gone.stderr
    wrong = octopus("topics", "delete", "fail ures", "--yes")
    assert wrong.exit_code == 2


@pytest.mark.slow
@pytest.mark.usefixtures("config")
def test_eight_processes_that_ensure_the_topics_at_once_create_each_once(
    service: StandinService, robot: Person
) -> None:
    racers = [
        subprocess.Popen([*COMMAND, "topics", "ensure"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    said = [each.communicate(timeout=120) for each in racers]
    assert [(each.returncode, err) for each, (_, err) in zip(racers, said, strict=True)] == [(0, "")] * 8
    created = [each.path.rpartition("/")[2] for each in service.calls("POST", f"/api/v3/{robot.namespace}/")]
    assert sorted(created) == FOUR
    assert sum(out.startswith("Created") for out, _ in said) == 1


def test_without_the_extra_the_error_says_what_to_install() -> None:
    script = """
import sys
sys.modules["globus_sdk"] = sys.modules["diaspora_event_sdk"] = None
from octopus_plugins.cli import main
sys.argv = ["octopus", "login"]
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'octopus-plugins[octopus]'" in done.stderr
    assert "Traceback" not in done.stderr
