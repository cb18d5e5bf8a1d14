"""Octopus for an existing Parsl configuration, in one line; and its undo."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parsl.config import Config

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import ConfigError
from octopus_plugins.wrath import Policy
from parsl_monitor.adoption import Adoption
from parsl_monitor.hub import OctopusMonitoringHub
from parsl_monitor.radio import OctopusRadio
from parsl_monitor.retry import WrathRetryHandler
from parsl_monitor.versions import check_parsl

_ADDED = "_octopus_added"


def enable(
    config: Config,
    *,
    octopus: OctopusConfig | Mapping[str, Any] | None = None,
    policy: str | os.PathLike[str] | Mapping[str, Any] | Policy | None = None,
    ladder: Sequence[str] | None = None,
    mode: str | None = None,
    decider: str = "workflow",
    deadline: float = 0.5,
    listen: bool = True,
    sample_period: float = 1.0,
    heartbeat_period: float = 10.0,
    revive: bool = True,
    node_agent: bool | None = None,
    direct: bool = False,
    speculate: bool = False,
) -> Config:
    """Turn Octopus on for a configuration, before it is loaded.

    Executors that build on HighThroughputExecutor become observed, also those that are added to the run later; others
    are watched from the submit side. What goes to Globus Compute is told with its ids there.
    A retry handler that is set keeps the last word. ``Config.retries`` is left as it is: with 0, nothing is
    retried. Doing it twice changes nothing; with other arguments, before the configuration is loaded, these hold.

    Args:
        config: The configuration; it is changed in place.
        octopus: How to reach the topics; see OctopusMonitoringHub.
        policy: See WrathRetryHandler.
        ladder: See WrathRetryHandler.
        mode: See WrathRetryHandler.
        decider: See WrathRetryHandler.
        deadline: See WrathRetryHandler.
        listen: See OctopusMonitoringHub.
        sample_period: Seconds between resource samples of a running task; 0 takes none.
        heartbeat_period: Seconds between heartbeats of a node; 0 sends none.
        revive: Whether blocks that worked and died are replaced while tasks wait; see OctopusHighThroughputExecutor.
        node_agent: Whether worker pools have a node agent; see OctopusHighThroughputExecutor.
        speculate: Whether a try that seems to be lost may run a second time, elsewhere, while the first may still run:
            only where tasks may run twice. The first result is taken.
        direct: Whether nodes produce resource samples by themselves; see OctopusHighThroughputExecutor.

    Returns:
        The same configuration.

    Raises:
        ConfigError: A setting is wrong; the configuration has a monitoring hub that cannot be replaced, or a hub or
            retry handler of ours that has these settings itself; or it is loaded and has other settings.
        UnsupportedHostError: This version of Parsl lacks something that we build on.
    """
    given = {name: value for name, value in locals().items() if name != "config"}
    check_parsl()
    _check(config, given)
    asked = {name: value for name, value in given.items() if value != _DEFAULTS[name]}
    added = getattr(config, _ADDED, None)
    if added is not None:
        if not asked or asked == added["asked"]:
            return config
        if config.monitoring.monitoring_hub_active:
            raise ConfigError(
                f"the configuration is loaded with {_said(added['asked'])}",
                remedy=f"enable a new Config with {_said(asked)}",
            )
        disable(config)
        try:
            return enable(config, **asked)
        except BaseException:
            enable(config, **added["asked"])
            raise
    # All that can be refused comes first, so that a refusal leaves the configuration as it was.
    hub, handler = config.monitoring, config.retry_handler
    if hub is None:
        hub = OctopusMonitoringHub(octopus=octopus, listen=listen)
    elif not isinstance(hub, OctopusMonitoringHub):
        raise ConfigError(
            "the configuration has a MonitoringHub already",
            remedy=(
                "put OctopusMonitoringHub in its place, with logging_endpoint= to keep Parsl's own database as well"
            ),
        )
    elif lost := asked.keys() & _OF_THE_HUB:
        raise ConfigError(
            "the configuration has an OctopusMonitoringHub", remedy=f"give {_named(lost)} to it, not to enable"
        )
    if isinstance(handler, WrathRetryHandler) and (lost := asked.keys() & _OF_THE_HANDLER):
        raise ConfigError(
            "the configuration has a WrathRetryHandler", remedy=f"give {_named(lost)} to it, not to enable"
        )
    if not isinstance(handler, WrathRetryHandler):
        handler = WrathRetryHandler(
            policy,
            ladder=ladder,
            mode=mode,
            retry_handler=handler,
            decider=decider,
            deadline=deadline,
            speculate=speculate,
        )
    radio = OctopusRadio(sample_period=sample_period, heartbeat_period=heartbeat_period, direct=direct)
    before = {
        "monitoring": config.monitoring,
        "retry_handler": config.retry_handler,
        "adoption": hub.adoption,
        "asked": asked,
    }
    config.monitoring, config.retry_handler = hub, handler
    hub.adoption = Adoption(hub, radio, revive=revive, node_agent=node_agent)
    hub.adoption.adopt(config.executors)
    setattr(config, _ADDED, before)
    return config


_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(enable).parameters.items()}
_OF_THE_HUB = {"octopus", "listen"}
_OF_THE_HANDLER = {"policy", "ladder", "mode", "decider", "deadline", "speculate"}


def _check(config: Any, given: Mapping[str, Any]) -> None:
    """See that what was given is what it must be; what others check is left to them.

    Raises:
        ConfigError: It is not; says what was given and what is wanted.
    """
    if not isinstance(config, Config):
        raise ConfigError(f"enable({config!r}): must be a parsl.Config")
    for name, value in given.items():
        default = _DEFAULTS[name]
        if isinstance(default, bool) and not isinstance(value, bool):
            raise ConfigError(f"{name}={value!r}: must be True or False")
        if isinstance(default, float):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 <= value < math.inf:
                raise ConfigError(f"{name}={value!r}: must be a number of seconds, 0 or more")


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"{name}=" for name in sorted(names))


def _said(asked: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in asked.items()) or "no arguments"


def disable(config: Config) -> Config:
    """Undo ``enable`` on a configuration that is not loaded: it is as it was before.

    Args:
        config: The configuration; it is changed in place.

    Returns:
        The same configuration.
    """
    before = getattr(config, _ADDED, None)
    if before is None:
        return config
    config.monitoring.adoption.undo()
    config.monitoring.adoption = before["adoption"]
    config.monitoring = before["monitoring"]
    config.retry_handler = before["retry_handler"]
    delattr(config, _ADDED)
    return config
