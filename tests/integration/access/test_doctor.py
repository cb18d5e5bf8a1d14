"""`octopus doctor` on profile octopus: what can be wrong with login, key, web service, clock and topics."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from octopus_plugins.cli.group import cli

from ..doctor import OCTOPUS, Report, assert_diagnosed, examine, other_words
from ..standin.gate import GatedBroker
from ..standin.globus import Person, StandinGlobus
from ..standin.login import log_in_by_link
from ..standin.service import StandinService
from ..standin.wire import Fault, Reply

pytestmark = pytest.mark.slow

TIMEOUT = 48.0


@dataclass
class Scene:
    """One user's home, and all that it deals with.

    Attributes:
        home: The user's credentials.
        globus: Globus Auth.
        service: The web service.
        gate: The brokers.
        person: The user.
    """

    home: Path
    globus: StandinGlobus
    service: StandinService
    gate: GatedBroker
    person: Person

    @property
    def key(self) -> Path:
        """The file of the key."""
        (found,) = self.home.rglob("key.json")
        return found

    def examine(self, **settings: object) -> Report:
        """Run `octopus doctor`."""
        return examine(TIMEOUT, credentials_dir=self.home, **settings)


@pytest.fixture(scope="module")
def logged_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Alice, who has logged in by link; her topics are there. Not to be changed."""
    home = tmp_path_factory.mktemp("alice")
    person = Person("alice@example.org")
    with pytest.MonkeyPatch.context() as patch, StandinGlobus(person) as globus, GatedBroker(home) as gate:
        for name in ("DIASPORA_SDK_CLIENT_ID", "DIASPORA_SDK_CLIENT_SECRET", "DIASPORA_SDK_ENVIRONMENT"):
            patch.delenv(name, raising=False)
        with StandinService(globus, gate, endpoint=gate.address) as service:
            patch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{globus.url}/")
            patch.setenv("OCTOPUS_SERVICE_URL", service.url)
            patch.setenv("OCTOPUS_PROFILE", "octopus")
            patch.setenv("OCTOPUS_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            patch.setenv("OCTOPUS_CREDENTIALS_DIR", str(home / "credentials"))
            done = log_in_by_link()
            assert done.returncode == 0, done
            patch.delenv("OCTOPUS_CREDENTIALS_DIR")
            yield Scene(home / "credentials", globus, service, gate, person)


@pytest.fixture
def scene(logged_in: Scene, tmp_path: Path) -> Iterator[Scene]:
    """The same with a copy of the credentials; what is changed at the service is put right afterwards."""
    home = tmp_path / "credentials"
    shutil.copytree(logged_in.home, home)
    # The brokers are given time to hear of a key that was made just now: this one is an old one.
    for file in home.rglob("key.json"):
        os.utime(file, (time.time() - 3600,) * 2)
    globus, service = logged_in.globus, logged_in.service
    tokens, refresh = {name: each.active for name, each in globus.tokens.items()}, dict(globus.refresh_tokens)
    user = service.users[logged_in.person.subject]
    key = dict(user["key"])
    yield Scene(home, globus, service, logged_in.gate, logged_in.person)
    for name, active in tokens.items():
        globus.tokens[name].active = active
    globus.refresh_tokens.update(refresh)
    globus.faults.clear()
    service.faults.clear()
    service.set_clock(0.0)
    user["key"] = key
    logged_in.gate.set_key(logged_in.person.namespace, key["access_key"], key["secret_key"])


def forget_login(scene: Scene) -> None:
    shutil.rmtree(scene.home)


def revoke_login(scene: Scene) -> None:
    scene.globus.refresh_tokens.clear()
    scene.globus.deactivate_tokens()


def globus_away(scene: Scene) -> None:
    scene.globus.faults.append(Fault("/userinfo", times=100, delay=60.0))


def expose_tokens(scene: Scene) -> None:
    scene.key.with_name("tokens.json").chmod(0o640)


def damage_tokens(scene: Scene) -> None:
    tokens = scene.key.with_name("tokens.json")
    tokens.write_text(tokens.read_text()[:-40])


def remove_key(scene: Scene) -> None:
    scene.key.unlink()


def expose_key(scene: Scene) -> None:
    scene.key.chmod(0o644)


def damage_key(scene: Scene) -> None:
    scene.key.write_text(scene.key.read_text()[:-40])


def revoke_key(scene: Scene) -> None:
    scene.service.revoke_key(scene.person.subject)


def clock_wrong(scene: Scene) -> None:
    scene.service.set_clock(900.0)


def service_slow(scene: Scene) -> None:
    scene.service.faults.append(Fault("/api/v3/namespace", times=100, delay=60.0))


def service_broken(scene: Scene) -> None:
    scene.service.faults.append(Fault("/api/v3/namespace", times=100, reply=Reply("out of memory", 500)))


HOW: dict[str, Callable[[Scene], None]] = {
    "nobody is logged in": forget_login,
    "the login was revoked": revoke_login,
    "others can read the tokens of the login": expose_tokens,
    "the tokens of the login are damaged": damage_tokens,
    "Globus Auth is away": globus_away,
    "the key's file was removed": remove_key,
    "others can read the key's file": expose_key,
    "the key's file is damaged": damage_key,
    "the key was revoked": revoke_key,
    "the clock is wrong": clock_wrong,
    "the web service is slow": service_slow,
    "the web service is broken": service_broken,
}


def secrets_of(scene: Scene) -> list[str]:
    """Everything that must never be shown."""
    return [*scene.globus.secrets(), *scene.service.secrets(), *scene.gate.tokens]


@pytest.mark.parametrize("what", HOW)
def test_what_is_wrong_is_told_from_all_else(what: str, scene: Scene) -> None:
    HOW[what](scene)
    report = scene.examine()
    assert_diagnosed(report, OCTOPUS[what])
    with other_words():
        assert_diagnosed(scene.examine(), OCTOPUS[what])
    assert len(secrets_of(scene)) >= 3
    assert [secret for secret in secrets_of(scene) if secret in report.output] == []


def test_a_namespace_that_is_not_the_keys_is_told_from_all_else(scene: Scene) -> None:
    with other_words():
        assert_diagnosed(scene.examine(namespace="ns-000000000000"), OCTOPUS["another namespace is asked for"])


def test_a_topic_that_is_gone_is_told_from_all_else(scene: Scene) -> None:
    name = f"{scene.person.namespace}.decisions"
    scene.gate.delete_topic(name)
    try:
        report = scene.examine()
    finally:
        scene.gate.create_topic(name)
    assert_diagnosed(report, OCTOPUS["a topic was deleted"])
    assert report.steps["topics"]["seen"] == f"there is no {name}"
    assert report.steps["topics"]["remedy"] == "`octopus topics ensure`"


def test_all_is_well_and_nothing_is_asked_of_the_service_that_changes_anything(scene: Scene) -> None:
    before = len(scene.service.requests)
    report = scene.examine()
    assert (report.status, report.failed, report.warned) == (0, [], [])
    assert set(report.states().values()) - {"ok"} == {"not_needed"}
    assert [name for name, state in report.states().items() if state == "not_needed"] == ["tls", "counts"]
    assert abs(report.steps["clock"]["details"]["skew_seconds"]) < 30
    assert {each.method for each in scene.service.requests[before:]} == {"GET"}


def test_a_token_that_ended_before_its_time_is_renewed(scene: Scene) -> None:
    scene.globus.deactivate_tokens()
    report = scene.examine()
    assert (report.status, report.failed, report.warned) == (0, [], [])


def test_a_key_without_a_login_is_a_warning(scene: Scene) -> None:
    scene.key.with_name("tokens.json").unlink()
    report = scene.examine()
    assert (report.status, report.warned) == (0, ["login.only_key"])
    assert report.steps["consume"]["state"] == "ok"


def test_a_wrong_secret_of_a_service_account_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Person("robot@clients.auth.globus.org", client_secret="canary-client-secret")
    scene.globus.clients[robot.subject] = robot
    monkeypatch.setenv("DIASPORA_SDK_CLIENT_ID", robot.subject)
    monkeypatch.setenv("DIASPORA_SDK_CLIENT_SECRET", "canary-wrong-secret")
    with other_words():
        report = scene.examine()
    assert_diagnosed(report, "login.client_refused")
    assert "canary" not in report.output


def test_no_secret_is_shown_with_debug_either(scene: Scene) -> None:
    done = CliRunner().invoke(
        cli, ["--debug", "doctor", "--timeout", str(TIMEOUT)], env={"OCTOPUS_CREDENTIALS_DIR": str(scene.home)}
    )
    assert done.exit_code == 0
    assert len(secrets_of(scene)) >= 4
    assert [secret for secret in secrets_of(scene) if secret in done.output] == []


def test_a_web_service_that_is_down_is_told_from_all_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person("carol@example.org")
    with StandinGlobus(person) as globus, GatedBroker(tmp_path) as gate:
        with StandinService(globus, gate, endpoint=gate.address) as service:
            monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{globus.url}/")
            monkeypatch.setenv("OCTOPUS_SERVICE_URL", service.url)
            monkeypatch.setenv("OCTOPUS_PROFILE", "octopus")
            monkeypatch.setenv("OCTOPUS_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            assert log_in_by_link().returncode == 0
        report = examine(TIMEOUT)
    assert_diagnosed(report, OCTOPUS["the web service is down"])
    assert report.steps["clock"]["state"] == "not_tried"
    assert report.steps["consume"]["state"] == "ok"  # runs need the key only


def test_every_staging_is_tested() -> None:
    own = {"another namespace is asked for", "a topic was deleted", "the web service is down"}
    assert set(HOW) | own == set(OCTOPUS)


def test_what_a_service_says_does_not_act_on_the_terminal(scene: Scene) -> None:
    hostile = Reply({"status": "failure", "message": "\x1b[2Jall is well\x9b31m\r\n✓ topics"})
    scene.service.faults.append(Fault("/api/v3/namespace", times=100, reply=hostile))
    for options in ([], ["--json"]):
        done = CliRunner().invoke(cli, ["doctor", *options], env={"OCTOPUS_CREDENTIALS_DIR": str(scene.home)})
        assert done.exit_code == 1
        assert "all is well" in done.output
        assert not {"\x1b", "\x9b", "\r"} & set(done.output)
        assert len([line for line in done.output.splitlines() if line.startswith("✓ topics")]) <= 1
