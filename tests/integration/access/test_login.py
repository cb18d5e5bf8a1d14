"""``octopus login | logout | whoami`` against stand-ins for Globus Auth and the web service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from octopus_plugins.cli.group import cli
from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import CredentialsError, ServiceError
from octopus_plugins.fabric.octopus.keys import key_path, load_key, log_in

from ..standin.globus import Person, StandinGlobus
from ..standin.login import COMMAND, log_in_by_link
from ..standin.service import StandinService
from ..standin.wire import Fault, Reply


def octopus(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, arguments, **options)


def test_a_person_logs_in_by_a_link_and_a_code_and_keeps_one_key(
    globus: StandinGlobus, service: StandinService, load: Callable[..., OctopusConfig]
) -> None:
    first = log_in_by_link()
    assert (first.returncode, first.stderr) == (0, "")
    assert f"Logged in as alice@example.org, namespace {globus.user.namespace}." in first.stdout
    key = load_key(load())
    assert (key.subject, key.namespace) == (globus.user.subject, globus.user.namespace)
    assert load().namespace == globus.user.namespace
    assert load().servers == service.endpoint

    before = key_path(load()).stat()
    again = subprocess.run([*COMMAND, "login"], capture_output=True, text=True, check=True)
    assert "is the current one" in again.stdout
    assert load_key(load()) == key
    assert key_path(load()).stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.slow
def test_a_person_logs_in_through_a_browser_on_this_machine(
    tmp_path: Path, service: StandinService, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys, urllib.request\nurllib.request.urlopen(sys.argv[1], timeout=20).read()\n"
    )
    browser.chmod(0o700)
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.delenv("SSH_TTY", raising=False)
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    done = subprocess.run([*COMMAND, "login"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "http" not in done.stdout
    assert octopus("whoami").exit_code == 0
    assert len(service.calls("POST", "/api/v3/key")) == 1


@pytest.mark.usefixtures("service")
def test_a_login_without_a_terminal_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    result = octopus("login", "--no-browser", input="")
    assert result.exit_code == 1
    assert "run `octopus login` in a terminal" in result.stderr


@pytest.mark.usefixtures("service")
def test_a_service_account_logs_in_without_anybody(robot: Person, load: Callable[..., OctopusConfig]) -> None:
    result = octopus("login")
    assert (result.exit_code, result.stderr) == (0, "")
    assert robot.namespace in result.stdout
    assert load_key(load()).subject == robot.subject


@pytest.mark.usefixtures("service")
def test_a_service_account_may_be_given_tokens_for_other_servers_too(globus: StandinGlobus, robot: Person) -> None:
    globus.more_servers_for_clients = True
    assert octopus("login").exit_code == 0
    globus.deactivate_tokens()
    assert octopus("topics", "list").exit_code in {0, 1}
    assert json.loads(octopus("whoami", "--json").stdout)["subject"] == robot.subject


@pytest.mark.usefixtures("service", "robot")
def test_a_wrong_client_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIASPORA_SDK_CLIENT_SECRET", "wrong")
    result = octopus("login")
    assert result.exit_code == 1
    assert "check DIASPORA_SDK_CLIENT_ID and DIASPORA_SDK_CLIENT_SECRET" in result.stderr
    monkeypatch.delenv("DIASPORA_SDK_CLIENT_ID")
    assert "set both for a service account, or neither" in octopus("login").stderr


@pytest.mark.usefixtures("service")
def test_whoami_tells_who_in_words_and_as_json(robot: Person) -> None:
    nobody = octopus("whoami")
    assert nobody.exit_code == 1
    octopus("login")
    told = json.loads(octopus("whoami", "--json").stdout)
    assert (told["subject"], told["namespace"]) == (robot.subject, robot.namespace)
    assert robot.username in octopus("whoami").stdout


@pytest.mark.usefixtures("service")
def test_nobody_logged_in_is_one_line_with_the_remedy() -> None:
    for arguments in (["whoami"], ["topics", "list"], ["topics", "ensure"], ["failures"]):
        result = octopus(*arguments)
        assert result.exit_code == 1, arguments
        assert "octopus login" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_logging_out_revokes_the_tokens_and_removes_what_is_here(
    globus: StandinGlobus, service: StandinService, load: Callable[..., OctopusConfig]
) -> None:
    log_in_by_link()
    home = load().credentials_dir
    assert len(globus.refresh_tokens) == 2
    result = octopus("logout")
    assert (result.exit_code, result.stderr) == (0, "")
    assert globus.refresh_tokens == {}
    assert not any(token.active for token in globus.tokens.values())
    assert {each.name for each in home.rglob("*") if each.is_file()} <= {"lock", "topics.lock"}
    assert octopus("whoami").exit_code == 1
    assert service.calls("DELETE", "/api/v3/key") == []  # it is the other machines' key too
    assert "Nobody was logged in" in octopus("logout").stdout


@pytest.mark.slow
def test_a_login_that_was_revoked_elsewhere_is_told(globus: StandinGlobus, service: StandinService) -> None:
    log_in_by_link()
    globus.refresh_tokens.clear()
    globus.deactivate_tokens()
    result = octopus("whoami")
    assert result.exit_code == 1
    assert "log in again with `octopus login`" in result.stderr
    assert log_in_by_link().returncode == 0
    assert octopus("whoami").exit_code == 0
    assert len(service.calls("POST", "/api/v3/key")) == 2


@pytest.mark.usefixtures("robot")
def test_rotating_says_what_it_breaks_and_asks_before_it_makes_a_new_key(
    service: StandinService, load: Callable[..., OctopusConfig]
) -> None:
    octopus("login")
    old = load_key(load())
    declined = octopus("login", "--rotate", input="n\n")
    assert declined.exit_code == 1
    assert "ends the old one at once, on every machine" in " ".join(declined.stderr.split())
    assert service.calls("DELETE", "/api/v3/key") == []
    assert load_key(load()) == old

    done = octopus("login", "--rotate", "--yes")
    assert done.exit_code == 0
    assert "ends the old one at once, on every machine" in " ".join(done.stderr.split())
    assert len(service.calls("DELETE", "/api/v3/key")) == 1
    assert load_key(load()).access_key != old.access_key


@pytest.mark.usefixtures("robot")
def test_a_rotation_that_stops_half_way_says_so_and_can_be_repeated(
    service: StandinService, load: Callable[..., OctopusConfig]
) -> None:
    octopus("login")
    service.faults.append(Fault("/key", "POST", reply=Reply({"status": "failure", "message": "IAM is full"})))
    result = octopus("login", "--rotate", "--yes")
    assert result.exit_code == 1
    assert "the old key is gone and there is no new one yet" in result.stderr
    assert octopus("login").exit_code == 0
    assert load_key(load()).access_key == service.users[load_key(load()).subject]["key"]["access_key"]


@pytest.mark.usefixtures("robot")
def test_a_key_that_was_rotated_on_another_machine_is_fetched_anew(
    service: StandinService, robot: Person, load: Callable[..., OctopusConfig]
) -> None:
    octopus("login")
    old = load_key(load())
    service.revoke_key(robot.subject)
    assert octopus("login").exit_code == 0
    assert load_key(load()).access_key != old.access_key


@pytest.mark.slow
@pytest.mark.usefixtures("robot")
def test_two_first_logins_at_once_ask_for_one_key(service: StandinService) -> None:
    service.faults.append(Fault("/key", "POST", delay=1.0))  # so that the second surely comes while the first asks
    logins = [
        subprocess.Popen([*COMMAND, "login"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for each in logins:
        _, said = each.communicate(timeout=60)
        assert (each.returncode, said) == (0, "")
    assert len(service.calls("POST", "/api/v3/key")) == 1


@pytest.mark.slow
def test_somebody_elses_login_does_not_take_the_place_of_this_one(
    globus: StandinGlobus,
    service: StandinService,
    robot: Person,
    load: Callable[..., OctopusConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    octopus("login")
    for variable in ("DIASPORA_SDK_CLIENT_ID", "DIASPORA_SDK_CLIENT_SECRET"):
        monkeypatch.delenv(variable)
    other = log_in_by_link()
    assert other.returncode == 1
    assert "`octopus logout` first" in other.stderr
    assert load_key(load()).subject == robot.subject
    assert globus.user.subject not in {each.headers["subject"] for each in service.calls("POST", "/api/v3/key")}


@pytest.mark.usefixtures("robot", "service")
def test_files_that_others_can_read_are_refused_with_the_remedy(load: Callable[..., OctopusConfig]) -> None:
    octopus("login")
    path = key_path(load())
    assert {oct(each.stat().st_mode & 0o777) for each in path.parent.iterdir()} == {"0o600"}
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    path.chmod(0o640)
    with pytest.raises(CredentialsError, match=f"chmod 600 {path}"):
        load_key(load())
    path.chmod(0o600)
    path.parent.chmod(0o755)
    with pytest.raises(CredentialsError, match=f"chmod 700 {path.parent}"):
        load_key(load())
    assert octopus("login").exit_code == 1


@pytest.mark.usefixtures("robot", "service")
def test_a_damaged_key_is_told_without_its_text_and_mended_by_a_login(load: Callable[..., OctopusConfig]) -> None:
    octopus("login")
    path = key_path(load())
    path.write_text(path.read_text()[:-40])
    with pytest.raises(CredentialsError, match="is damaged") as caught:
        load_key(load())
    assert "canary" not in str(caught.value)
    assert octopus("login").exit_code == 0
    assert load_key(load()).secret_key.startswith("canary-secret-")


@pytest.mark.usefixtures("robot")
def test_a_service_that_is_too_slow_is_given_up_in_time(
    service: StandinService, load: Callable[..., OctopusConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("OCTOPUS_SERVICE_TIMEOUT", "1")
    service.faults.append(Fault("/key", times=9, delay=30))
    began = time.monotonic()
    with pytest.raises(ServiceError, match="did not give the key within 1 s: no answer"):
        log_in(load())
    assert time.monotonic() - began < 20


@pytest.mark.usefixtures("robot", "globus")
def test_globus_auth_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, service: StandinService) -> None:
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", "http://127.0.0.1:9/")
    monkeypatch.setenv("OCTOPUS_SERVICE_TIMEOUT", "1")
    result = octopus("login")
    assert result.exit_code == 1
    assert "Globus Auth does not answer" in result.stderr
