"""A key is taken away while things run: it is said once, nothing is lost, and a login elsewhere heals what runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from octopus_plugins import Run, runs
from octopus_plugins.errors import CredentialsError
from octopus_plugins.fabric import Emitter, existing_topics

from ...standin.service import StandinService
from .users import User

Wait = Callable[..., None]


def started(first: int, last: int) -> list[Run]:
    return [Run(run_id=f"run-{number}", time=time.time(), state="started") for number in range(first, last)]


def ids(first: int, last: int) -> list[str]:
    return [f"run-{number}" for number in range(first, last)]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [each for each in said if "refuse the key" in each]


def test_a_revoked_key_is_told_once_and_a_login_elsewhere_heals_what_runs(
    alice: User, service: StandinService, wait_for: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    config = alice.config()
    emitter = Emitter(config)
    live, got = runs(config=config, follow=True), list[str]()
    thread = threading.Thread(target=lambda: got.extend(run.run_id for run in live))
    thread.start()
    try:
        emitter.emit(*started(0, 5))
        assert emitter.flush(90)
        wait_for(lambda: got == ids(0, 5), 90)
        alice.age_key()
        before = service.users[alice.person.subject]["key"]["access_key"]
        service.revoke_key(alice.person.subject)
        wait_for(lambda: len(told(caplog)) == 2, 90)  # the emitter and the reader, once their connections were asked
        emitter.emit(*started(5, 15))
        assert not emitter.flush(1)
        assert emitter.counts.spooled == 10

        # New processes say the same, on one line.
        for command in (["failures"], ["topics", "describe"], ["decide", "allow", "--host", "x"]):
            said = alice.octopus(*command)
            assert (said.exit_code, len(said.stderr.splitlines())) == (1, 1), said.stderr
            assert f"refuse the key of {alice.namespace}" in said.stderr
            assert "run `octopus login`" in said.stderr
        with pytest.raises(CredentialsError, match="refuse the key"):
            existing_topics(config)

        elsewhere = alice.start("login")
        out, err = elsewhere.communicate(timeout=120)
        assert (elsewhere.returncode, err) == (0, ""), out
        assert service.users[alice.person.subject]["key"]["access_key"] != before
        emitter.emit(*started(15, 20))
        assert emitter.flush(90)
        wait_for(lambda: len(got) >= 20, 90)
    finally:
        live.close()
        emitter.close()
        thread.join(30)
    assert got == ids(0, 20)
    assert [run.run_id for run in runs(config=config)] == ids(0, 20)
    for each in told(caplog):
        assert f"refuse the key of {alice.namespace} (" in each and "its access key is unknown" in each
        assert "run `octopus login`" in each
    assert sum(str(config.spool_dir) in each for each in told(caplog)) == 1
    assert len(told(caplog)) == 2
