"""Octopus for an existing Parsl configuration, in one line; and its undo."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
    retried. Doing it twice changes nothing.

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
        ConfigError: A setting is wrong, or the configuration has a monitoring hub that cannot be replaced.
        UnsupportedHostError: This version of Parsl lacks something that we build on.
    """
    check_parsl()
    if hasattr(config, _ADDED):
        return config
    # All that can be refused comes first, so that a refusal leaves the configuration as it was.
    hub, handler = config.monitoring, config.retry_handler
    if hub is None:
        hub = OctopusMonitoringHub(octopus=octopus, listen=listen)
    elif not isinstance(hub, OctopusMonitoringHub):
        raise ConfigError(
            "the configuration has a MonitoringHub already; put OctopusMonitoringHub in its place, with"
            " logging_endpoint= to keep Parsl's own database as well"
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
    before = {"monitoring": config.monitoring, "retry_handler": config.retry_handler, "adoption": hub.adoption}
    config.monitoring, config.retry_handler = hub, handler
    hub.adoption = Adoption(hub, radio, revive=revive, node_agent=node_agent)
    hub.adoption.adopt(config.executors)
    setattr(config, _ADDED, before)
    return config


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
