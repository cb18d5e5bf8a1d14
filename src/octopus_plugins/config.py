"""Settings: keyword arguments over environment variables over the profile in a TOML file.

The file is ``$OCTOPUS_CONFIG``, else ``octopus/config.toml`` in ``$XDG_CONFIG_HOME`` (``~/.config``)::

    profile = "kafka"                 # which of the tables below is used when nothing else says so

    [kafka]
    bootstrap_servers = "kafka.example.org:9092"
    namespace = "alice"
    security_protocol = "SASL_SSL"
    sasl_mechanism = "SCRAM-SHA-512"
    sasl_username = "alice"

Every setting has an environment variable, ``OCTOPUS_`` and its name in capitals. Secrets are never shown.
"""

from __future__ import annotations

import difflib
import getpass
import json
import os
import re
import socket
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from octopus_plugins.errors import ConfigError
from octopus_plugins.homes import config_home, is_out_of_reach, state_home

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROFILES = ("local", "kafka", "octopus")

# Not settings of ours: the first two choose among settings, the others belong to the Diaspora SDK.
_FOREIGN_VARIABLES = {"OCTOPUS_CONFIG", "OCTOPUS_AWS_ACCESS_KEY_ID", "OCTOPUS_AWS_SECRET_ACCESS_KEY"}

_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

NOT_LOGGED_IN = "ns-unknown"
"""Stands for the namespace on the Octopus service until somebody logs in: only that tells which it is."""


def _default_namespace() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "user"
    return re.sub(r"[^A-Za-z0-9_-]", "-", user).strip("-_")[:32] or "user"


def config_file() -> Path:
    """The file of settings that is read where none is named: ``$OCTOPUS_CONFIG``, else the user's own."""
    named = os.environ.get("OCTOPUS_CONFIG")
    return Path(named) if named else config_home() / "config.toml"


class OctopusConfig(BaseModel):
    """How to reach the topics, and what delivery may cost.

    Attributes:
        profile: ``local`` (the broker that ``octopus broker up`` starts), ``kafka`` (any Kafka), or ``octopus`` (the
            Diaspora service).
        bootstrap_servers: ``host:port[,host:port…]``; for ``local`` read from the running broker's state, for
            ``octopus`` told by the service at the login.
        namespace: Prefix of the topic names; on ``octopus`` it comes from the login.
        security_protocol: ``PLAINTEXT``, ``SSL``, ``SASL_SSL`` or ``SASL_PLAINTEXT``.
        allow_plaintext: Speak unencrypted to brokers that are not on this machine.
        sasl_mechanism: ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.
        sasl_username: For SASL.
        sasl_password: For SASL; never shown.
        ssl_ca_location: File of CA certificates; default: the system's.
        ssl_certificate_location: Client certificate for mTLS.
        ssl_key_location: Client key for mTLS.
        service_url: Where the Octopus web service is; default: the public one. Without TLS on this machine only.
        service_timeout: Seconds until a request to the web service is given up.
        region: The AWS region of the Octopus brokers.
        credentials_dir: Directory of what `octopus login` keeps.
        spool_dir: Directory of the on-disk spool; absolute and without symbolic links from here on.
        spool_max_bytes: Most that the spool of one process may take on disk.
        sample_queue_bytes: Most memory for samples that wait; the oldest are dropped.
        sample_budget: Bytes per second, before compression, that the resource samples of one run may come to; where
            there would be more, they are taken further apart. 0 sets no bound.
        in_flight_bytes: Most bytes handed to the Kafka client and not yet acknowledged.
        max_event_bytes: Larger events are cut to this.
        connect_timeout: Seconds until a query gives up on a silent broker.
        close_timeout: Seconds that shutdown may wait for deliveries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    profile: Literal["local", "kafka", "octopus"] = "local"
    bootstrap_servers: str | None = None
    namespace: str = Field(default_factory=_default_namespace)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"] | None = None
    allow_plaintext: bool = False
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: str | None = None
    ssl_certificate_location: str | None = None
    ssl_key_location: str | None = None
    service_url: str | None = None
    service_timeout: float = Field(default=30.0, gt=0)
    region: str = "us-east-1"
    credentials_dir: Path = Field(default_factory=lambda: config_home() / "credentials", validate_default=True)
    spool_dir: Path = Field(default_factory=lambda: state_home() / "spool", validate_default=True)
    spool_max_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024 * 1024)
    sample_queue_bytes: int = Field(default=8 * 1024 * 1024, ge=64 * 1024)
    sample_budget: int = Field(default=1_000_000, ge=0)
    in_flight_bytes: int = Field(default=8 * 1024 * 1024, ge=64 * 1024)
    max_event_bytes: int = Field(default=900_000, ge=10_000, le=10_000_000)
    connect_timeout: float = Field(default=10.0, gt=0)
    close_timeout: float = Field(default=5.0, ge=0)

    @field_validator("service_url")
    @classmethod
    def _check_service(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{value!r} is no URL: {error}") from error
        host = parts.hostname or ""
        if not re.fullmatch(r"[A-Za-z0-9.:-]+", host) or port == 0 or parts.username or parts.query or parts.fragment:
            raise ValueError(f"{value!r} is not like https://host[:port]")
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
            raise ValueError(f"{value!r} must begin with https://; http:// is for this machine only")
        return value.rstrip("/")

    @field_validator("namespace")
    @classmethod
    def _check_namespace(cls, value: str) -> str:
        if not _NAMESPACE.fullmatch(value):
            raise ValueError("a namespace is 1–63 letters, digits, '-' or '_' and starts with a letter or digit")
        return value

    @field_validator("bootstrap_servers")
    @classmethod
    def _check_servers(cls, value: str | None) -> str | None:
        if value is None:
            return None
        for server in value.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueError(f"{server.strip()!r} is not host:port")
        return value

    @field_validator("region")
    @classmethod
    def _check_region(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]+", value):
            raise ValueError(f"{value!r} is no AWS region, such as us-east-1")
        return value

    @field_validator("spool_dir", "credentials_dir")
    @classmethod
    def _fix_directory(cls, value: Path) -> Path:
        # Sessions are found again, and emitters shared, by this path: neither chdir nor a moved link may change it.
        try:
            return value.resolve()
        except (OSError, RuntimeError) as error:  # the working directory is gone, or links go round in circles
            raise ValueError(f"{str(value)!r} cannot be resolved ({error}); give an absolute path") from error

    @model_validator(mode="after")
    def _take_namespace_of_login(self) -> OctopusConfig:
        if self.profile == "octopus" and "namespace" not in self.model_fields_set:
            login = read_login(self.credentials_dir, self.environment)
            # Frozen for everybody else.
            object.__setattr__(self, "namespace", login["namespace"] if login else NOT_LOGGED_IN)
        return self

    @classmethod
    def load(cls, *, path: str | os.PathLike[str] | None = None, **settings: Any) -> OctopusConfig:
        """Put the settings together.

        Args:
            path: The TOML file; default: see the module's docstring. A default file may be missing.
            **settings: Settings by name; these win.

        Returns:
            The checked configuration.

        Raises:
            ConfigError: A setting is unknown or wrong; names it, where it stands, and what is allowed.
        """
        file, tables = _read_file(path)
        environment = _from_environment()
        profile = settings.get("profile") or environment.get("profile") or tables.get("profile") or "local"
        if profile not in PROFILES:
            raise ConfigError(
                f"profile {profile!r} is unknown",
                remedy=f"choose one of {', '.join(PROFILES)}",
                code="config_key_unknown",
            )
        merged: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source, values in (
            (f"[{profile}] in {file}", tables.get(profile, {})),
            ("the environment", environment),
            ("the arguments", settings),
        ):
            for name, value in values.items():
                if name not in cls.model_fields:
                    raise ConfigError(
                        f"unknown setting {name!r} in {source}{_did_you_mean(name, cls.model_fields)}",
                        code="config_key_unknown",
                    )
                if value is not None:
                    merged[name] = value
                    sources[name] = f"OCTOPUS_{name.upper()}" if source == "the environment" else source
        merged["profile"] = profile
        try:
            return cls(**merged)
        except ValidationError as error:
            raise ConfigError(_explain(error, sources)) from None

    def __getstate__(self) -> dict[Any, Any]:
        """What is pickled: all but the password, which may not travel with somebody's function to other machines."""
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "sasl_password": None}}

    @property
    def environment(self) -> str:
        """Which Octopus web service is meant, as the name of a directory: ``production``, ``local``, ``host-port``."""
        if self.service_url:
            parts = urlsplit(self.service_url)
            return re.sub(r"[^A-Za-z0-9.]+", "-", f"{parts.hostname} {parts.port or ''} {parts.path}").strip("-.")
        # The SDK's own variable; what it does not know means production there too.
        return "local" if os.environ.get("DIASPORA_SDK_ENVIRONMENT") == "local" else "production"

    @property
    def servers(self) -> str:
        """The bootstrap servers; for ``local`` those of the running broker, for ``octopus`` the login's.

        Raises:
            ConfigError: None are known; says how to get them.
        """
        if self.bootstrap_servers:
            return self.bootstrap_servers
        if self.profile == "local":
            running = read_local_broker()
            if running is not None:
                return running.address
            raise ConfigError("no local broker is running", remedy="start one with `octopus broker up`")
        if self.profile == "octopus":
            login = read_login(self.credentials_dir, self.environment)
            if login is None:
                raise ConfigError(
                    "nobody is logged in to the Octopus service",
                    remedy="log in with `octopus login`",
                    code="login_missing",
                )
            if login["endpoint"]:
                return login["endpoint"]
        raise ConfigError(
            f"profile {self.profile!r} needs bootstrap_servers",
            remedy=(
                'set OCTOPUS_BOOTSTRAP_SERVERS, or put `bootstrap_servers = "host:port"` under'
                f" [{self.profile}] in {config_home() / 'config.toml'}"
            ),
        )

    @property
    def address(self) -> str:
        """The bootstrap servers for a message to people; never an error, also when they are no longer known."""
        try:
            return self.servers
        except ConfigError:
            return f"an address that is no longer known (profile {self.profile!r})"

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded broker, which in some ways is no Kafka."""
        running = read_local_broker() if self.profile == "local" and not self.bootstrap_servers else None
        return self.profile == "local" and (running is None or running.kind == "embedded")

    def with_local_user(self) -> OctopusConfig:
        """These settings; for a local broker that lets only users in, with those of its user where none are set.

        Raises:
            ConfigError: The file that has them cannot be read.
        """
        running = read_local_broker() if self.profile == "local" and not self.bootstrap_servers else None
        if running is None or running.settings is None:
            return self
        own = self.model_dump(exclude={"profile"}, exclude_unset=True)
        return self.load(path=running.settings, profile="kafka", **own)

    def on_loopback(self) -> bool:
        """Whether every bootstrap server is on this machine."""
        return all(_is_loopback(server.strip().rpartition(":")[0]) for server in self.servers.split(","))


@dataclass(frozen=True, slots=True)
class LocalBroker:
    """A broker on this machine that ``octopus broker up`` started.

    Attributes:
        address: ``host:port[,host:port…]``.
        pids: Its processes.
        kind: ``embedded`` or ``kafka``.
        settings: A configuration file for its user, where it lets only users in.
    """

    address: str
    pids: tuple[int, ...]
    kind: str = "embedded"
    settings: Path | None = None


def local_broker_file() -> Path:
    """The file in which a local broker leaves its address, process ids, kind and file of settings, a line each."""
    return state_home() / "broker" / "address"


def read_local_broker() -> LocalBroker | None:
    """The local broker, if one of its processes still runs."""
    try:
        lines = local_broker_file().read_text(encoding="utf-8").splitlines()
        address, pids, kind, settings, *_ = [*lines, *("embedded", "")[len(lines) - 2 :]]
        found = LocalBroker(address, tuple(map(int, pids.split())), kind, Path(settings) if settings else None)
    except (OSError, ValueError):
        return None
    return found if any(map(_exists, found.pids)) else None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def key_file(credentials_dir: Path, environment: str) -> Path:
    """The file in which `octopus login` keeps the user's key for a web service."""
    return credentials_dir / environment / "key.json"


def read_login(credentials_dir: Path, environment: str) -> dict[str, str] | None:
    """Namespace and endpoint of whoever is logged in to a web service; nothing secret. None where nobody is."""
    try:
        found = json.loads(key_file(credentials_dir, environment).read_bytes())
        namespace, endpoint = found["namespace"], found["endpoint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # whoever uses the key says what is wrong with the file
    if not isinstance(namespace, str) or not isinstance(endpoint, str) or not _NAMESPACE.fullmatch(namespace):
        return None
    return {"namespace": namespace, "endpoint": endpoint}


def _is_loopback(host: str) -> bool:
    host = host.strip("[]")
    return host in {"localhost", "::1"} or host.startswith("127.") or host == socket.gethostname() == "localhost"


def _read_file(path: str | os.PathLike[str] | None) -> tuple[Path, dict[str, Any]]:
    named = path or os.environ.get("OCTOPUS_CONFIG")
    file = Path(path) if path else config_file()
    try:
        with file.open("rb") as stream:
            tables = tomllib.load(stream)
    except (FileNotFoundError, NotADirectoryError):
        if named:
            raise ConfigError(f"there is no configuration file {file}", code="config_file_missing") from None
        return file, {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        if not named and is_out_of_reach(file):
            return file, {}
        raise ConfigError(f"{file} cannot be read as TOML: {error}", code="config_file_unreadable") from error
    for name in tables:
        if name != "profile" and name not in PROFILES:
            raise ConfigError(
                f"unknown key {name!r} in {file}{_did_you_mean(name, ('profile', *PROFILES))}",
                code="config_key_unknown",
            )
        if isinstance(tables[name], dict) and "sasl_password" in tables[name] and file.stat().st_mode & 0o077:
            raise ConfigError(
                f"{file} has a password in it and can be read by others",
                remedy=f"`chmod 600 {file}`",
                code="config_file_exposed",
                command=f"chmod 600 {file}",
            )
    return file, tables


def _from_environment() -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, value in os.environ.items():
        if not variable.startswith("OCTOPUS_") or variable in _FOREIGN_VARIABLES:
            continue
        name = variable.removeprefix("OCTOPUS_").lower()
        if name in OctopusConfig.model_fields:
            values[name] = value
        elif close := difflib.get_close_matches(name, OctopusConfig.model_fields, n=1, cutoff=0.8):
            # Other tools use the prefix too, so that only a likely misspelling is worth a word.
            warnings.warn(f"{variable} is no setting; did you mean OCTOPUS_{close[0].upper()}?", stacklevel=3)
    return values


def _did_you_mean(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


def _explain(error: ValidationError, sources: Mapping[str, str]) -> str:
    problems = []
    for problem in error.errors(include_url=False, include_input=False):
        name = str(problem["loc"][0]) if problem["loc"] else "?"
        message = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{name} (from {sources.get(name, 'the defaults')}): {message}")
    return "; ".join(problems)
