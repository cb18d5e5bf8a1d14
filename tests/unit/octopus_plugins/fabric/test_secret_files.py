from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from octopus_plugins.errors import CredentialsError
from octopus_plugins.fabric.octopus.secret_files import locked, make_secret_directory, read_secret, write_secret


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "octopus" / "credentials" / "production"


def test_a_secret_is_written_for_its_owner_alone_whatever_the_umask(home: Path) -> None:
    before = os.umask(0)
    try:
        write_secret(home / "key.json", b"secret")
    finally:
        os.umask(before)
    assert (mode(home / "key.json"), mode(home), mode(home.parent)) == (0o600, 0o700, 0o700)
    assert read_secret(home / "key.json") == b"secret"


def test_what_was_there_stays_whole_and_loses_its_wide_mode(home: Path) -> None:
    write_secret(home / "key.json", b"one")
    (home / "key.json").chmod(0o644)
    write_secret(home / "key.json", b"two")
    assert mode(home / "key.json") == 0o600
    assert read_secret(home / "key.json") == b"two"
    assert [each.name for each in home.iterdir()] == ["key.json"]


def test_a_draft_that_a_killed_process_left_is_not_in_the_way(home: Path) -> None:
    make_secret_directory(home)
    (home / f".key.json.{os.getpid()}").write_bytes(b"half")
    write_secret(home / "key.json", b"whole")
    assert [each.name for each in home.iterdir()] == ["key.json"]


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_file_that_others_can_open_is_refused_with_the_command_that_helps(home: Path, wide: int) -> None:
    write_secret(home / "key.json", b"secret")
    (home / "key.json").chmod(wide)
    with pytest.raises(CredentialsError, match=f"mode {wide:o}.*`chmod 600 {home / 'key.json'}`"):
        read_secret(home / "key.json")


def test_a_directory_that_others_can_enter_is_refused_to_readers_and_writers(home: Path) -> None:
    write_secret(home / "key.json", b"secret")
    home.chmod(0o711)
    with pytest.raises(CredentialsError, match=f"`chmod 700 {home}`"):
        read_secret(home / "key.json")
    with pytest.raises(CredentialsError, match=f"`chmod 700 {home}`"):
        write_secret(home / "key.json", b"other")


def test_a_file_that_is_not_there_is_no_trouble(home: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_secret(home / "key.json")


def test_a_directory_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CredentialsError, match="set OCTOPUS_CREDENTIALS_DIR"):
        write_secret(tmp_path / "file" / "credentials" / "key.json", b"secret")


def test_one_at_a_time_holds_the_lock(home: Path) -> None:
    entered = threading.Event()

    def enter() -> None:
        with locked(home / "lock", 20):
            entered.set()

    with locked(home / "lock", 1):
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.2)
    other.join(20)
    assert entered.is_set()


def test_a_lock_that_is_not_given_back_is_told(home: Path) -> None:
    told = pytest.raises(CredentialsError, match=r"has held .*lock for more than 0\.1 s")
    with locked(home / "lock", 1), told, locked(home / "lock", 0.1):
        pass
