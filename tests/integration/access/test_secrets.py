"""No secret is where it should not be: planted canaries are looked for in all that is said, written and passed on."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from octopus_plugins.config import OctopusConfig
from octopus_plugins.fabric import ensure_topics
from octopus_plugins.fabric.octopus.keys import key_path, log_in

from ..standin.gate import GatedBroker
from ..standin.globus import Person, StandinGlobus
from ..standin.service import StandinService

SITE = Path(__file__).parent / "site"
KEEPERS = {"key.json", "tokens.json"}


def canaries(globus: StandinGlobus, fabric: StandinService, gated: GatedBroker) -> list[str]:
    """Every secret there is in this test; the MSK tokens whole, and what makes each of them one."""
    signed = [base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode() for token in gated.tokens]
    signatures = [parse_qs(urlsplit(url).query)["X-Amz-Signature"][0] for url in signed]
    found = [*globus.secrets(), *fabric.secrets(), *gated.tokens, *signatures]
    return [*found, "canary-client-secret", "canary-sasl-password", "CANARY-SECRET"]


def leaks(text: str, secrets: list[str]) -> list[str]:
    return [f"{secret[:24]}…: {text[max(text.find(secret) - 200, 0) :][:300]}" for secret in secrets if secret in text]


def files_with(secrets: list[str], *homes: Path) -> list[str]:
    wanted = [secret.encode() for secret in secrets]
    found = []
    for home in homes:
        for path in home.rglob("*"):
            if path.is_file() and path.name not in KEEPERS:
                data = path.read_bytes()
                found += [f"{path}: {secret[:24]!r}" for secret in wanted if secret in data]
    return found


@pytest.mark.slow
def test_nothing_that_is_said_written_or_passed_on_at_debug_holds_a_secret(
    tmp_path: Path, globus: StandinGlobus, fabric: StandinService, gated: GatedBroker, robot: Person
) -> None:
    done = subprocess.run(
        [sys.executable, str(SITE / "secret_run.py")], capture_output=True, text=True, timeout=170, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    # It did happen, loudly, and the secrets are of the kind that is looked for.
    for proof in ("KEY FOUND 46", "DELIVERED True", "CHILD {", "DEBUG:urllib3", "DEBUG:globus_sdk", robot.namespace):
        assert proof in said
    assert "no failure of" not in said
    secrets = canaries(globus, fabric, gated)
    assert len(secrets) > 8 and gated.tokens
    assert leaks(said, secrets) == []
    assert files_with(secrets, tmp_path) == []
    kept = [path for path in tmp_path.rglob("*") if path.name in KEEPERS]
    assert {oct(path.stat().st_mode & 0o777) for path in kept} == {"0o600"}
    assert any(secret in key.read_text() for key in kept for secret in fabric.secrets())


@pytest.mark.slow
def test_neither_workers_nor_the_run_directory_of_parsl_get_a_secret(
    tmp_path: Path,
    globus: StandinGlobus,
    fabric: StandinService,
    gated: GatedBroker,
    robot: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log_in(OctopusConfig.load())
    ensure_topics(OctopusConfig.load())
    assert robot.client_secret
    monkeypatch.delenv("DIASPORA_SDK_CLIENT_SECRET")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SITE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    run_dir = tmp_path / "runinfo"
    done = subprocess.run(
        [sys.executable, str(SITE / "secret_workflow.py"), str(run_dir)],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        cwd=tmp_path,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert "WORKER {" in said
    assert re.search(r"events: emitted [1-9]\d*, delivered [1-9]", said)
    assert len(list(run_dir.rglob("*.log"))) >= 2
    secrets = canaries(globus, fabric, gated)
    assert gated.tokens
    assert leaks(said, secrets) == []
    assert files_with(secrets, tmp_path) == []
    assert str(key_path(OctopusConfig.load())).startswith(str(tmp_path))
