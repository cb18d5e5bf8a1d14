from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octopus_plugins.config import NOT_LOGGED_IN, OctopusConfig
from octopus_plugins.errors import CredentialsError, ServiceError
from octopus_plugins.fabric.octopus.keys import (
    Key,
    fetch_key,
    key_path,
    key_stamp,
    load_key,
    own_key,
    remove_key,
)
from octopus_plugins.fabric.octopus.login import Identity

ALICE = Identity("11111111-2222-3333-4444-555555abcdef", "alice@example.org")
BOB = Identity("11111111-2222-3333-4444-000000000000", "bob@example.org")


class Shelf:
    """Gives keys as the web service does."""

    url = "https://service"

    def __init__(self, endpoint: str = "b-1.example.org:9198,b-2.example.org:9198") -> None:
        self.number = 1
        self.asked: list[str] = []
        self.endpoint = endpoint

    def create_key(self) -> dict[str, Any]:
        self.asked.append("create")
        return {
            "access_key": f"AKIA{self.number}",
            "secret_key": f"canary-{self.number}",
            "create_date": "2026-01-01",
            "endpoint": self.endpoint,
        }

    def delete_key(self) -> None:
        self.asked.append("delete")
        self.number += 1


@pytest.fixture
def config(tmp_path: Path) -> OctopusConfig:
    return OctopusConfig(profile="octopus", credentials_dir=tmp_path / "credentials")


def fetch(config: OctopusConfig, shelf: Shelf, who: Identity = ALICE, **options: bool) -> tuple[Key, bool]:
    return fetch_key(config, shelf, who, **options)  # type: ignore[arg-type]


def test_the_namespace_follows_from_the_subject() -> None:
    assert ALICE.namespace == "ns-555555abcdef"


def test_a_key_is_kept_as_it_came_and_tells_the_configuration_where_to_go(config: OctopusConfig) -> None:
    assert config.namespace == NOT_LOGGED_IN
    key, changed = fetch(config, Shelf())
    assert changed
    assert load_key(config) == key
    later = OctopusConfig(profile="octopus", credentials_dir=config.credentials_dir)
    assert later.namespace == "ns-555555abcdef"
    assert later.servers == config.servers == "b-1.example.org:9198,b-2.example.org:9198"


def test_the_same_key_again_leaves_the_file_alone(config: OctopusConfig) -> None:
    shelf = Shelf()
    fetch(config, shelf)
    before = key_stamp(config)
    assert fetch(config, shelf) == (load_key(config), False)
    assert key_stamp(config) == before


def test_only_rotating_takes_a_key_back(config: OctopusConfig) -> None:
    shelf = Shelf()
    fetch(config, shelf)
    fetch(config, shelf)
    assert shelf.asked == ["create", "create"]
    key, changed = fetch(config, shelf, rotate=True)
    assert (key.access_key, changed) == ("AKIA2", True)
    assert shelf.asked[2:] == ["delete", "create"]


def test_a_service_that_gives_the_old_key_after_a_rotation_is_told(
    config: OctopusConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    fetch(config, shelf)
    monkeypatch.setattr(shelf, "delete_key", lambda: None)
    with pytest.raises(ServiceError, match="gave the old key again"):
        fetch(config, shelf, rotate=True)


def test_a_key_of_somebody_else_is_neither_overwritten_nor_used(config: OctopusConfig) -> None:
    fetch(config, Shelf())
    shelf = Shelf()
    with pytest.raises(CredentialsError, match=r"is of alice@example\.org, and this login of bob@example\.org"):
        fetch(config, shelf, BOB)
    assert shelf.asked == []
    foreign = config.model_copy(update={"namespace": BOB.namespace})
    with pytest.raises(CredentialsError, match="but ns-000000000000 is asked for"):
        own_key(foreign)


def test_a_key_of_another_service_is_not_used(config: OctopusConfig) -> None:
    fetch(config, Shelf())
    other = config.model_copy(update={"service_url": "https://other.example.org"})
    with pytest.raises(CredentialsError, match="octopus login"):
        load_key(other)
    key_path(other).parent.mkdir(mode=0o700)
    key_path(config).rename(key_path(other))
    with pytest.raises(CredentialsError, match=r"is for the service 'production', not 'other\.example\.org'"):
        load_key(other)


@pytest.mark.parametrize("endpoint", ["not an address", "a:0", "a:1,b"])
def test_an_endpoint_that_is_no_address_is_not_kept(config: OctopusConfig, endpoint: str) -> None:
    with pytest.raises(ServiceError, match="endpoint"):
        fetch(config, Shelf(endpoint))
    assert key_stamp(config) is None


def test_without_an_endpoint_the_servers_have_to_be_set(config: OctopusConfig) -> None:
    from octopus_plugins.errors import ConfigError

    fetch(config, Shelf(""))
    with pytest.raises(ConfigError, match="OCTOPUS_BOOTSTRAP_SERVERS"):
        _ = config.servers
    assert config.model_copy(update={"bootstrap_servers": "a:1"}).servers == "a:1"


def test_a_key_is_neither_shown_nor_pickled(config: OctopusConfig) -> None:
    key, _ = fetch(config, Shelf())
    assert "canary" not in f"{key!r} {key}"
    assert "AKIA" not in repr(key)
    with pytest.raises(TypeError, match="a key is not pickled"):
        pickle.dumps(key)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-30],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: text.replace('"secret_key": "canary-1"', '"secret_key": ""'),
        lambda text: text.replace('"endpoint"', '"end"'),
        lambda text: text.replace('"2026-01-01"', "7"),
        lambda text: text.replace("null", '"soon"'),
    ],
)
def test_a_damaged_file_is_told_without_what_is_in_it(config: OctopusConfig, spoil: Callable[[str], str]) -> None:
    fetch(config, Shelf())
    path = key_path(config)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(CredentialsError, match="is damaged; `octopus login` writes it anew") as caught:
        load_key(config)
    assert "canary" not in str(caught.value)


def test_removing_says_whether_there_was_one(config: OctopusConfig) -> None:
    assert not remove_key(config)
    fetch(config, Shelf())
    assert remove_key(config)
    with pytest.raises(CredentialsError, match="nobody is logged in"):
        load_key(config)
