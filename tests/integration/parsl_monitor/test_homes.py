"""Runs of users without a home directory: nothing breaks, records wait in a place of their own."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import processes
from .conftest import SITE

pytestmark = [pytest.mark.slow]

WITHOUT_PRIVILEGE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
"""Root may read and write everything; so started, it is held to the modes of its files."""


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A temporary directory of few letters: the sockets that Parsl's pool makes there may have a hundred."""
    with tempfile.TemporaryDirectory(prefix="oct", dir="/tmp") as directory:
        yield Path(directory)


@pytest.mark.parametrize("home", ["/dev/null", "unreadable", "none"])
def test_a_run_without_a_home_directory_works_and_one_warning_names_where_records_wait(
    tmp_path: Path, short_tmp: Path, home: str
) -> None:
    temporary, closed = short_tmp, tmp_path / "closed"
    closed.mkdir(mode=0o000)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HOME"))}
    environment |= {"TMPDIR": str(temporary), "LOGNAME": "somebody"}  # Parsl itself asks for the user's name
    if home != "none":
        environment["HOME"] = str(closed) if home == "unreadable" else home
    command = [sys.executable, str(SITE / "homeless_run.py"), str(tmp_path / "runs")]
    command.append("no-passwd" if home == "none" else "passwd")
    if home == "unreadable" and os.geteuid() == 0:
        assert shutil.which(WITHOUT_PRIVILEGE[0]), "needs setpriv: apt-get install util-linux"
        command = [*WITHOUT_PRIVILEGE, *command]
    finished = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    processes.wait_until_gone(tmp_path)
    found = json.loads(finished.stdout.splitlines()[-1])
    assert found["results"] == [0, 2, 4]
    place = temporary / f"octopus-{os.geteuid()}"
    assert found["spool"] == str(place / "spool")
    assert found["records"] > 0
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    about_homes = [message for message in found["warnings"] if "cannot be written" in message]
    assert len(about_homes) == 1
    assert str(place) in about_homes[0]
