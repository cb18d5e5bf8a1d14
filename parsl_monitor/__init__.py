"""Parsl and Octopus: what a run does, streamed; what fails, decided. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from octopus_plugins.htex.interchange.selector import OctopusManagerSelector
    from parsl_monitor.activation import disable, enable
    from parsl_monitor.executor import OctopusHighThroughputExecutor
    from parsl_monitor.hub import OctopusMonitoringHub
    from parsl_monitor.radio import OctopusRadio
    from parsl_monitor.retry import WrathRetryHandler

_HOME = {
    "OctopusHighThroughputExecutor": "executor",
    "OctopusManagerSelector": "octopus_plugins.htex.interchange.selector",
    "OctopusMonitoringHub": "hub",
    "OctopusRadio": "radio",
    "WrathRetryHandler": "retry",
    "disable": "activation",
    "enable": "activation",
}

__all__ = [
    "OctopusHighThroughputExecutor",
    "OctopusManagerSelector",
    "OctopusMonitoringHub",
    "OctopusRadio",
    "WrathRetryHandler",
    "disable",
    "enable",
]


__getattr__, __dir__ = lazily(__name__, _HOME)
