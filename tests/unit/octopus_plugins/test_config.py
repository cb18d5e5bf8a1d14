from __future__ import annotations

import os
from pathlib import Path

import pytest

from octopus_plugins.config import LocalBroker, OctopusConfig, local_broker_file, read_local_broker
from octopus_plugins.errors import ConfigError


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OCTOPUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "octopus.toml"
    file.write_text(text)
    return file


def test_arguments_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(
        tmp_path, 'profile = "kafka"\n[kafka]\nnamespace = "file"\nbootstrap_servers = "file:1"\nclose_timeout = 1'
    )
    monkeypatch.setenv("OCTOPUS_NAMESPACE", "environment")
    monkeypatch.setenv("OCTOPUS_BOOTSTRAP_SERVERS", "environment:2")
    config = OctopusConfig.load(path=file, bootstrap_servers="argument:3")
    assert (config.profile, config.close_timeout) == ("kafka", 1.0)
    assert (config.namespace, config.servers) == ("environment", "argument:3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[kafka]\nbootstrap_server = "a:1"', "'bootstrap_server'.*did you mean 'bootstrap_servers'"),
        ("[kafak]", "'kafak'.*did you mean 'kafka'"),
        ('[kafka]\nbootstrap_servers = "nowhere"', "bootstrap_servers.*not host:port"),
        ("[kafka]\nclose_timeout = -1", "close_timeout"),
        ("not TOML", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        OctopusConfig.load(path=file, profile="kafka")
    assert str(file) in str(caught.value)


def test_a_wrong_variable_is_named_and_a_misspelt_one_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOPUS_NAMESPACE", "no spaces")
    with pytest.raises(ConfigError, match="OCTOPUS_NAMESPACE"):
        OctopusConfig.load()
    monkeypatch.delenv("OCTOPUS_NAMESPACE")
    monkeypatch.setenv("OCTOPUS_NAMESPACES", "x")
    with pytest.warns(UserWarning, match="did you mean OCTOPUS_NAMESPACE"):
        OctopusConfig.load()


def test_without_a_broker_each_profile_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match="octopus broker up"):
        _ = OctopusConfig.load().servers
    with pytest.raises(ConfigError, match="OCTOPUS_BOOTSTRAP_SERVERS"):
        _ = OctopusConfig.load(profile="kafka").servers


def test_the_local_broker_is_found_while_its_process_lives() -> None:
    file = local_broker_file()
    file.parent.mkdir(parents=True)
    file.write_text(f"127.0.0.1:1234\n{os.getpid()}\n")
    assert OctopusConfig.load().servers == "127.0.0.1:1234"
    assert read_local_broker() == LocalBroker("127.0.0.1:1234", (os.getpid(),))
    file.write_text("127.0.0.1:1234\n999999999\n")
    assert read_local_broker() is None


def test_equal_configurations_are_one_key() -> None:
    first = OctopusConfig.load(sasl_password="secret", sasl_username="me")
    second = OctopusConfig.load(sasl_password="secret", sasl_username="me")
    assert len({first, second}) == 1


def test_neither_another_working_directory_nor_a_moved_link_moves_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    monkeypatch.chdir(tmp_path)
    relative = OctopusConfig.load(spool_dir="new/spool")
    linked = OctopusConfig.load(spool_dir=tmp_path / "link" / "spool")
    monkeypatch.chdir("/")
    (tmp_path / "link").unlink()
    assert relative.spool_dir == tmp_path.resolve() / "new" / "spool"
    assert linked.spool_dir == tmp_path.resolve() / "disk" / "spool"
    assert linked == OctopusConfig.load(spool_dir=tmp_path / "disk" / "spool")


def test_the_default_spool_does_not_move_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    assert OctopusConfig().spool_dir == tmp_path.resolve() / "here" / "octopus" / "spool"


def test_a_spool_relative_to_a_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match=r"spool_dir.*give an absolute path"):
        OctopusConfig.load(spool_dir="spool")


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("https://octopus.example.org/", "octopus.example.org"),
        ("https://octopus.example.org:8443/api", "octopus.example.org-8443-api"),
        ("http://127.0.0.1:8000", "127.0.0.1-8000"),
        ("http://[::1]:8000", "1-8000"),
    ],
)
def test_a_service_has_a_directory_of_its_own_for_its_login(url: str, environment: str) -> None:
    assert OctopusConfig(profile="octopus", service_url=url).environment == environment


@pytest.mark.parametrize(
    "url",
    ["http://octopus.example.org", "ftp://x", "https://", "https://a:b@c", "https://x?y", "http://localhost:0", "x"],
)
def test_a_service_is_reached_over_tls_unless_it_is_on_this_machine(url: str) -> None:
    with pytest.raises(ConfigError, match="service_url"):
        OctopusConfig.load(profile="octopus", service_url=url)


def test_the_environment_of_the_sdk_tells_production_from_local(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, environment in (("local", "local"), ("production", "production"), ("unknown", "production")):
        monkeypatch.setenv("DIASPORA_SDK_ENVIRONMENT", value)
        assert OctopusConfig(profile="octopus").environment == environment


@pytest.mark.parametrize("region", ["", "us-east-1\n", "US-EAST-1", "us east 1", "../x"])
def test_a_region_is_one_of_aws(region: str) -> None:
    with pytest.raises(ConfigError, match="is no AWS region"):
        OctopusConfig.load(region=region)


def test_a_file_with_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[kafka]\nsasl_password = "hunter2"\n')
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=f"chmod 600 {file}"):
        OctopusConfig.load(path=file, profile="kafka")
    file.chmod(0o600)
    loaded = OctopusConfig.load(path=file, profile="kafka").sasl_password
    assert loaded is not None and loaded.get_secret_value() == "hunter2"
