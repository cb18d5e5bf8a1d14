"""From the login to the logout, as in production: commands, a workflow and a decider service, each a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import Result

from octopus_plugins import decisions, failures
from octopus_plugins.events import Topic

from ...standin.globus import StandinGlobus
from ...standin.kafka import KafkaBackend
from ...standin.service import StandinService
from .users import User

HERE = Path(__file__).parent
SITES = [HERE / "site", HERE.parents[1] / "parsl_monitor" / "site"]


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@contextmanager
def decider_service(user: User) -> Iterator[list[str]]:
    """``octopus wrath serve``; what it printed, once it has ended."""
    said: list[str] = []
    process = user.start("wrath", "serve", "--json")
    try:
        assert process.stderr is not None
        assert "Deciding for" in process.stderr.readline()
        yield said
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        said += [*out.splitlines(), *err.splitlines()]
    finally:
        process.kill()
        process.communicate()


def run_workflow(user: User, run_dir: Path) -> dict[str, Any]:
    environment = {
        "PYTHONPATH": os.pathsep.join([*map(str, SITES), os.environ.get("PYTHONPATH", "")]),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    done = subprocess.run(
        [sys.executable, str(SITES[0] / "failing_workflow.py"), str(run_dir)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env=os.environ | user.environment | environment,
        cwd=user.home,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_from_login_over_a_failing_workflow_to_answers_and_logout(
    make_user: Callable[[str], User],
    globus: StandinGlobus,
    service: StandinService,
    backend: KafkaBackend,
    tmp_path: Path,
) -> None:
    carol = make_user("carol")
    told = carol.log_in(globus)
    assert (told.returncode, told.stderr) == (0, "")
    assert f"Logged in as carol@example.org, namespace {carol.namespace}." in told.stdout
    (key,) = carol.home.rglob("key.json")
    assert key.stat().st_mode & 0o777 == 0o600
    assert service.users[carol.person.subject]["key"]["access_key"] in key.read_text()
    assert backend.topics() >= {f"{carol.namespace}.{topic}" for topic in Topic}
    assert carol.octopus("topics", "delete", "heartbeats", "--yes").exit_code == 0
    assert carol.octopus("topics", "list").exit_code == 1
    assert carol.octopus("topics", "ensure").stdout == f"Created {carol.namespace}.heartbeats.\n"
    assert carol.octopus("topics", "list").exit_code == 0
    asked = len(service.requests)

    with decider_service(carol) as served:
        run = run_workflow(carol, tmp_path / "runinfo")
    assert (run["good"], run["passing"]) == (42, 2)
    assert "no parameter 'omega'" in run["bug"]
    decided = [json.loads(line) for line in served if line.startswith("{")]
    assert {each["task_id"] for each in decided} == {run["ids"]["bug"], run["ids"]["passing"]}
    # The key is all that a run needs: neither it nor the service asked the web service for anything.
    assert len(service.requests) == asked

    failed = records(carol.octopus("failures", "--run-id", "last", "--json"))
    assert {each["run_id"] for each in failed} == {run["run_id"]}
    assert {each["task_id"] for each in failed} == {run["ids"]["bug"], run["ids"]["passing"]}
    assert "look_up" in carol.octopus("failures").stdout
    found = failures(config=carol.config(), run_id="last", app="look_up")
    assert found.count_by("category") == {"code_error": len(list(found))}
    applied = [one for one in decisions(config=carol.config(), task_id=run["ids"]["bug"]) if one.order]
    assert [(one.decider, one.action) for one in applied[-1:]] == [("service", "terminate")]
    shown = carol.octopus("decisions", "--run-id", run["run_id"], "--action", "terminate")
    assert shown.exit_code == 0 and "terminate" in shown.stdout
    tail = records(carol.octopus("tail", "failures", "--since", "1h", "--limit", str(len(failed)), "--json"))
    assert tail == failed
    assert "ended well" in carol.octopus("explain", "last", run["ids"]["passing"]).stdout
    assert "Nothing undelivered" in carol.octopus("spool", "list").stdout

    assert carol.octopus("logout").stdout.startswith("Logged out")
    assert not key.exists()
    for arguments in (["failures"], ["topics", "list"], ["wrath", "serve", "--once"], ["whoami"]):
        gone = carol.octopus(*arguments)
        assert (gone.exit_code, len(gone.stderr.splitlines())) == (1, 1), arguments
        assert "log in with `octopus login`" in gone.stderr
