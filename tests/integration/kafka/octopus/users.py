"""Users of the Octopus service, each with a home, a login and a key of their own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner, Result

from octopus_plugins import OctopusConfig
from octopus_plugins.cli import cli
from octopus_plugins.fabric.octopus.keys import key_path

from ...standin.globus import Person, StandinGlobus
from ...standin.login import COMMAND, log_in_by_link


@dataclass(frozen=True)
class User:
    """Somebody with a home directory, and the environment of what runs there.

    Attributes:
        person: Who that is at Globus.
        environment: Variables, over those of this process.
        home: Where the user's settings, credentials and spool are.
    """

    person: Person
    environment: dict[str, str]
    home: Path

    @property
    def namespace(self) -> str:
        return self.person.namespace

    def log_in(self, globus: StandinGlobus) -> subprocess.CompletedProcess[str]:
        """Log in as this user."""
        globus.user = self.person
        return log_in_by_link(environment=os.environ | self.environment)

    def changed(self, **environment: str) -> User:
        """The same user with other variables."""
        return replace(self, environment=self.environment | environment)

    def config(self, **settings: Any) -> OctopusConfig:
        """The configuration as the user's processes load it."""
        with self.at_home():
            return OctopusConfig.load(**settings)

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """Be a process of this user."""
        with mock.patch.dict(os.environ, self.environment):
            yield

    def octopus(self, *arguments: str) -> Result:
        """Run a command in this process, which is quicker."""
        return CliRunner().invoke(cli, arguments, env=self.environment)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a process of this user; without a path, an ``octopus`` command."""
        return subprocess.Popen(
            [*COMMAND, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | self.environment,
            **options,
        )

    def age_key(self) -> None:
        """Let the key be an old one: with a new one, a refusal is waited out for a minute."""
        hour_ago = time.time() - 3600
        os.utime(key_path(self.config()), (hour_ago, hour_ago))
