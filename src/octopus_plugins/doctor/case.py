"""What the steps know of each other: the settings, how long one may take, and what those before it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import ConfigError
from octopus_plugins.fabric.kafka.topics import namespace

if TYPE_CHECKING:
    from octopus_plugins.fabric.octopus.keys import Key
    from octopus_plugins.fabric.octopus.login import Identity


@dataclass(frozen=True, slots=True)
class Server:
    """A broker's address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Probe:
    """The record that was written.

    Attributes:
        id: What tells it from every other record.
        topic: The topic's Kafka name.
        partition: Where it lies.
        offset: Where in there.
        milliseconds: From the call until it was acknowledged.
    """

    id: str
    topic: str
    partition: int
    offset: int
    milliseconds: float


@dataclass(slots=True)
class Case:
    """One examination.

    Attributes:
        load: Gets the settings.
        seconds: How long a step may take.
        identity: Who is logged in, once that is known.
        login_missing: Whether nobody ever logged in, so that there cannot be a key.
        package_missing: Whether a package is missing without which nothing reaches the Octopus service.
        key: The key, once it is known to be usable.
        skew: Seconds by which this machine's clock is ahead of the web service's, once that has told the time.
        servers: The bootstrap servers that have an address, later those that take connections.
        metadata: What the brokers told of themselves and their topics.
        probe: The record that was written.
    """

    load: Callable[[], OctopusConfig]
    seconds: float
    identity: Identity | None = None
    login_missing: bool = False
    package_missing: bool = False
    key: Key | None = None
    skew: float | None = None
    servers: list[Server] = field(default_factory=list)
    metadata: Any = None
    probe: Probe | None = None
    _config: OctopusConfig | None = None

    @property
    def loaded(self) -> bool:
        """Whether there are settings."""
        return self._config is not None

    @property
    def config(self) -> OctopusConfig:
        """The settings, with waiting times that fit into a step."""
        assert self._config is not None
        return self._config

    @config.setter
    def config(self, loaded: OctopusConfig) -> None:
        bounds = {"connect_timeout": 0.8 * self.seconds, "service_timeout": 0.25 * self.seconds}
        self._config = loaded.model_copy(update=bounds)

    def texts(self, **more: str) -> dict[str, Any]:
        """What the texts of diagnoses need: who, where, and what to do about a broker that is not there."""
        return {
            "twice": 8 * self.seconds,
            "profile": self.config.profile,
            "namespace": namespace(self.config),
            "user": self.user,
            "servers": ", ".join(map(str, self.servers)),
            "start": self.start,
            "restart": self.restart,
            **more,
        }

    @property
    def start(self) -> str:
        """What starts the brokers, for a remedy."""
        if self.config.profile == "local":
            return "`octopus broker up` starts one here"
        return "if it is right, ask whoever runs the broker"

    @property
    def restart(self) -> str:
        """What may help brokers that hang, for a remedy."""
        if self.config.profile == "local":
            return "`octopus broker down`, then `octopus broker up`"
        return "ask whoever runs the brokers"

    @property
    def user(self) -> str:
        """Who the brokers take this for, for a remedy."""
        try:
            return self.config.with_local_user().sasl_username or "your user"
        except ConfigError:
            return "your user"
