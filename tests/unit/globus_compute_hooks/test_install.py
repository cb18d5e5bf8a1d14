"""`octopus endpoint`: what it does to an endpoint's files, and that it is undone to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from globus_compute_endpoint.engines import GlobusComputeEngine

from globus_compute_hooks.endpoint import install
from globus_compute_hooks.endpoint.command import endpoint
from octopus_plugins.errors import ConfigError, UnsupportedHostError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An endpoint called ``site``."""
    monkeypatch.setenv("GLOBUS_COMPUTE_USER_DIR", str(tmp_path))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "config.yaml").write_text("display_name: null\n")
    (directory / "user_config_template.yaml.j2").write_text("engine:\n  type: OctopusEngine\n")
    return directory


@pytest.mark.parametrize(
    "text",
    ["", "# notes only\n", "PATH: /opt/bin\n", "PATH: /opt/bin", "PYTHONPATH: /opt/lib\r\nA: 'ä'\r\n", "\n\n", None],
)
def test_what_enable_does_is_undone_to_the_byte(site: Path, text: str | None) -> None:
    file = site / "user_environment.yaml"
    if text is not None:
        file.write_bytes(text.encode())
    assert install.enable("site")
    assert file.read_bytes() != (text or "").encode()
    assert not install.enable("site")
    assert install.disable("site")
    assert not install.disable("site")
    assert (file.read_bytes() if file.exists() else None) == (None if text is None else text.encode())


def test_what_the_file_said_still_holds(site: Path) -> None:
    (site / "user_environment.yaml").write_text("PATH: /opt/bin\nPYTHONPATH: /opt/lib")
    install.enable("site")
    told = yaml.safe_load((site / "user_environment.yaml").read_text())
    assert told == {"PATH": "/opt/bin", "PYTHONPATH": f"{install.SITE}:/opt/lib"}


def test_what_was_written_meanwhile_stays(site: Path) -> None:
    file = site / "user_environment.yaml"
    file.write_text("A: 1")
    install.enable("site")
    file.write_text("# mine\n" + file.read_text() + "B: 2\n")
    install.disable("site")
    assert yaml.safe_load(file.read_text()) is not None
    assert file.read_text().startswith("# mine\nA: 1")
    assert "B: 2" in file.read_text()


def test_the_file_s_mode_stays(site: Path) -> None:
    file = site / "user_environment.yaml"
    file.write_text("A: 1\n")
    file.chmod(0o640)
    install.enable("site")
    assert file.stat().st_mode & 0o777 == 0o640


def test_another_version_of_the_host_is_refused_and_nothing_is_touched(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GlobusComputeEngine, "submit", lambda self, task: None)
    with pytest.raises(
        UnsupportedHostError, match=r"globus-compute-endpoint .* has another GlobusComputeEngine\.submit"
    ):
        install.enable("site")
    assert not (site / "user_environment.yaml").exists()


def test_an_unknown_endpoint_is_named_with_those_that_are_known(site: Path) -> None:
    for name in ("sight", "..", "a/b"):
        with pytest.raises(ConfigError, match=r"there is no endpoint .* there are: site"):
            install.enable(name)


def test_the_commands_say_what_they_did_and_what_is_left_to_do(site: Path) -> None:
    run = CliRunner().invoke
    before = run(endpoint, ["status", "--json"])
    assert before.exit_code == 1
    assert "`octopus endpoint enable` it" in json.loads(before.output)["problem"]
    assert "is enabled" in run(endpoint, ["enable", "site"]).output
    after = run(endpoint, ["status", "site"])
    assert (after.exit_code, after.output) == (0, "site: enabled, OctopusEngine\n")
    assert "now cannot find" in run(endpoint, ["disable", "site"]).output


@pytest.mark.slow
def test_a_python_that_is_started_so_finds_the_engine_and_runs_the_next_sitecustomize(
    site: Path, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import builtins\nbuiltins.own_was_run = True\n")
    (site / "user_environment.yaml").write_text(f"PYTHONPATH: {tmp_path / 'own'}\n")
    install.enable("site")
    environment = yaml.safe_load((site / "user_environment.yaml").read_text())
    script = (
        "import sys; early = [name for name in sys.modules if name.startswith('globus_compute_endpoint')]\n"
        "from globus_compute_endpoint import engines\n"
        "engine = getattr(engines, 'OctopusEngine', None)\n"
        "print(early, own_was_run, engine.__module__, getattr(engines, 'NoEngine', None))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[0] == "[] True globus_compute_hooks.endpoint.engine None"
