"""Where settings and state live, with a home directory and without."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from octopus_plugins import homes
from octopus_plugins.config import OctopusConfig
from octopus_plugins.homes import can_be_written, config_home, state_home


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of temporary files; no variable says where settings and state live."""
    for name in [*os.environ]:
        if name.startswith(("XDG_", "OCTOPUS_")):
            monkeypatch.delenv(name)
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    homes._fallback.cache_clear()
    return place


def no_passwd_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def getpwuid(user: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", getpwuid)


def without_home(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "none":
        no_passwd_entry(monkeypatch)
    else:
        monkeypatch.setenv("HOME", how)


def test_a_home_directory_that_can_be_written_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_home() == tmp_path / ".local/state/octopus"
    assert config_home() == tmp_path / ".config/octopus"


def test_variables_win_over_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_passwd_entry(monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert (state_home(), config_home()) == (tmp_path / "state/octopus", tmp_path / "config/octopus")


@pytest.mark.parametrize("how", ["/dev/null", __file__, "none"])
def test_without_a_home_directory_the_spool_is_in_a_private_place_and_one_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, temporary: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    without_home(monkeypatch, how)
    with caplog.at_level(logging.WARNING, "octopus_plugins"):
        configs = [OctopusConfig.load() for _ in range(3)]
    place = temporary / f"octopus-{os.geteuid()}"
    assert {config.spool_dir for config in configs} == {place / "spool"}
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert not configs[0].credentials_dir.is_relative_to(temporary)
    (message,) = (record.message for record in caplog.records)
    assert str(place) in message


@pytest.mark.parametrize("taken", ["open to all", "a link", "a file", "somebody else's"])
def test_a_place_that_others_could_have_made_is_not_used(
    monkeypatch: pytest.MonkeyPatch, temporary: Path, tmp_path: Path, taken: str
) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    place = temporary / f"octopus-{os.geteuid()}"
    if taken == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    elif taken == "a file":
        place.touch(mode=0o600)
    else:
        place.mkdir(mode=0o700)
    if taken == "open to all":
        place.chmod(0o777)
    if taken == "somebody else's":
        if os.geteuid() != 0:
            pytest.skip("needs root, to make a directory that belongs to another user")
        os.chown(place, 54321, -1)
    used = state_home()
    assert used != place
    assert used.parent == temporary
    assert stat.S_IMODE(used.stat().st_mode) == 0o700
    assert state_home() == used  # the same one as long as the process lives


def test_with_no_place_at_all_records_wait_in_memory(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setattr(tempfile, "tempdir", "/proc/no-such-place")
    assert not can_be_written(OctopusConfig.load().spool_dir)


AS_ANOTHER_USER = """
import os, sys, tempfile
from octopus_plugins.config import OctopusConfig
OctopusConfig.load()  # what is imported later could not be read
tempfile.tempdir = None
os.environ["HOME"] = sys.argv[1]
os.environ.pop("XDG_STATE_HOME"), os.environ.pop("XDG_CONFIG_HOME")
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(54321), os.setuid(54321)
config = OctopusConfig.load()
config.spool_dir.mkdir(parents=True)
print(config.spool_dir, config.namespace)
"""


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user can reach; those of pytest are root's alone."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="octopus-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("settings", [False, True])
def test_a_home_directory_that_may_not_be_entered_is_none(open_place: Path, settings: bool) -> None:
    home, temporary = open_place / "home", open_place / "open"
    (home / ".config/octopus").mkdir(parents=True)
    if settings:
        (home / ".config/octopus/config.toml").write_text('profile = "kafka"\n[kafka]\nnamespace = "secret"\n')
    home.chmod(0o000)
    temporary.mkdir()
    temporary.chmod(0o1777)
    environment = {
        **os.environ,
        "TMPDIR": str(temporary),
        "XDG_STATE_HOME": str(open_place / "state"),
        "XDG_CONFIG_HOME": str(open_place / "config"),
    }
    finished = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER, str(home)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    home.chmod(0o700)
    assert finished.returncode == 0, finished.stderr
    spool, namespace = finished.stdout.split()
    assert Path(spool).is_relative_to(temporary)
    assert namespace != "secret"
