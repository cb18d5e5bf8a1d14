"""Parsl and Octopus: what a run does, streamed; what fails, decided. See README.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsl_monitor.enabling import disable, enable
    from parsl_monitor.executor import OctopusHighThroughputExecutor
    from parsl_monitor.hub import OctopusMonitoringHub
    from parsl_monitor.radio import OctopusRadio
    from parsl_monitor.retry import WrathRetryHandler
    from parsl_monitor.selector import OctopusManagerSelector

_HOME = {
    "OctopusHighThroughputExecutor": "executor",
    "OctopusManagerSelector": "selector",
    "OctopusMonitoringHub": "hub",
    "OctopusRadio": "radio",
    "WrathRetryHandler": "retry",
    "disable": "enabling",
    "enable": "enabling",
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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
