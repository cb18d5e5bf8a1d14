"""Octopus for an existing Parsl configuration, in one line; and its undo."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from parsl.config import Config
from parsl.executors import GlobusComputeExecutor, HighThroughputExecutor
from parsl.monitoring.radios.htex import HTEXRadio

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import ConfigError
from octopus_plugins.wrath import Policy
from parsl_monitor.compute import ComputeExecutor
from parsl_monitor.executor import ObservedExecutor
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

    Executors that build on HighThroughputExecutor become observed; others are watched from the submit side. What
    goes to Globus Compute is told with its ids there.
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
    before: dict[str, Any] = {"monitoring": config.monitoring, "retry_handler": config.retry_handler}
    before |= {"executors": [], "others": []}
    config.monitoring, config.retry_handler = hub, handler
    for executor in config.executors:
        if isinstance(executor, HighThroughputExecutor) and not isinstance(executor, ObservedExecutor):
            before["executors"].append(
                (executor, type(executor), executor.remote_monitoring_radio, executor.block_error_handler)
            )
            # The instance stays the user's own, with all it was given: only its class learns to observe.
            executor.__class__ = _mixed(ObservedExecutor, type(executor), revive=revive, node_agent=node_agent)
            if type(executor.remote_monitoring_radio) is HTEXRadio:
                executor.remote_monitoring_radio = radio
        elif isinstance(executor, GlobusComputeExecutor) and not isinstance(executor, ComputeExecutor):
            before["others"].append((executor, type(executor)))
            executor.__class__ = _mixed(ComputeExecutor, type(executor), octopus_hub=hub)
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
    config.monitoring = before["monitoring"]
    config.retry_handler = before["retry_handler"]
    for executor, cls, radio, block_error_handler in before["executors"]:
        executor.__class__ = cls
        executor.remote_monitoring_radio = radio
        executor.block_error_handler = block_error_handler
    for executor, cls in before["others"]:
        executor.__class__ = cls
    delattr(config, _ADDED)
    return config


def _mixed(ours: type, cls: type, **attributes: Any) -> type:
    return type(f"Octopus{cls.__name__}", (ours, cls), {"__module__": __name__, **attributes})
