"""`octopus doctor` for the tests, and everything that they stage for it: each is to be told from all the others."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from octopus_plugins.cli.group import cli
from octopus_plugins.errors import OctopusError

# What is staged, and the one diagnosis that it must get. Of those in test_doctor.py, no broker is needed to be real.
HERE = {
    "a key of the file is misspelt": "settings.unknown_key",
    "the file is no TOML": "settings.not_toml",
    "the file that is named is not there": "settings.no_file",
    "the file shows its password to others": "settings.exposed",
    "a setting has a value that it cannot have": "settings.wrong_value",
    "clear text would go over a network": "settings.clear_text",
    "the password is missing": "settings.incomplete",
    "no local broker runs": "address.no_local_broker",
    "no bootstrap servers are set": "address.none",
    "the host name is wrong": "address.unknown_host",
    "nobody listens on the port": "connect.refused",
    "a firewall drops connections": "connect.silent",
    "the broker takes connections and never answers": "tls.silent",
    "TLS to a clear-text port": "tls.clear_text_port",
    "a web server listens there": "tls.not_kafka",
    "the cluster names addresses that cannot be reached": "brokers.advertised",
    "the spool's directory cannot be made": "spool.not_writable",
    "the spool's disk is full": "spool.full",
}
OCTOPUS = {
    "nobody is logged in": "login.missing",
    "the login was revoked": "login.ended",
    "others can read the tokens of the login": "login.exposed",
    "the tokens of the login are damaged": "login.damaged",
    "Globus Auth is away": "login.globus_away",
    "the key's file was removed": "key.missing",
    "others can read the key's file": "key.exposed",
    "the key's file is damaged": "key.damaged",
    "another namespace is asked for": "key.other_namespace",
    "the key was revoked": "auth.key",
    "the clock is wrong": "clock.skewed",
    "the web service is down": "service.away",
    "the web service is slow": "service.slow",
    "the web service is broken": "service.failing",
    "a topic was deleted": "topics.missing",
}
KAFKA = {
    "clear text to a TLS port": "tls.tls_port",
    "the authority is not trusted": "tls.untrusted",
    "the file of the authority is not there": "tls.ca_file",
    "the certificate is for another host name": "tls.host_name",
    "no client certificate is shown where one is wanted": "tls.client_certificate",
    "the password is wrong": "auth.password",
    "the mechanism is not taken": "auth.mechanism",
    "no user is named": "auth.no_user",
    "a user is named where there are none": "auth.no_sasl",
    "the namespace is somebody else's": "topics.forbidden",
    "the user may not write": "produce.forbidden",
    "the user may not read": "consume.forbidden",
}
STAGED = HERE | OCTOPUS | KAFKA


@dataclass(frozen=True)
class Report:
    """What `octopus doctor` said.

    Attributes:
        status: Its exit status.
        steps: Its findings, by step.
        output: All that it printed.
    """

    status: int
    steps: dict[str, dict[str, Any]]
    output: str

    @property
    def failed(self) -> list[str]:
        """The codes of what failed."""
        return [each["code"] for each in self.steps.values() if each["state"] == "failed"]

    @property
    def warned(self) -> list[str]:
        """The codes of what it warned of."""
        return [each["code"] for each in self.steps.values() if each["state"] == "warning"]

    def states(self) -> dict[str, str]:
        """The state of each step."""
        return {name: each["state"] for name, each in self.steps.items()}


def examine(timeout: float = 60.0, **environment: object) -> Report:
    """Run `octopus doctor --json` with settings from the environment."""
    variables = {f"OCTOPUS_{name.upper()}": str(value) for name, value in environment.items()}
    done = CliRunner().invoke(cli, ["doctor", "--json", "--timeout", str(timeout)], env=variables)
    assert done.stderr == "", done.stderr
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    return Report(done.exit_code, {each["step"]: each for each in findings}, done.output)


@contextlib.contextmanager
def other_words() -> Iterator[None]:
    """Every error of ours says what it says in other words: nobody may go by them."""
    plain = OctopusError.__init__

    def altered(error: OctopusError, what: str = "", *, remedy: str = "", **more: Any) -> None:
        plain(error, f"~{what[::-1]}~", remedy=f"~{remedy[::-1]}~", **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OctopusError, "__init__", altered)
        yield


def assert_diagnosed(report: Report, code: str) -> None:
    """This is what is wrong, and nothing else; there is a remedy; what builds on it was not tried, and says why."""
    assert report.failed == [code], report.output
    assert report.status == 1
    (found,) = [each for each in report.steps.values() if each["code"] == code]
    assert found["seen"] and found["why"] and found["remedy"]
    assert "{" not in found["why"] + found["remedy"]
    for each in report.steps.values():
        if each["state"] == "not_tried":
            assert each["seen"] == f"not tried, because {found['step']} failed"
