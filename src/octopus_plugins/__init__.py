"""octopus-plugins: stream and resolve the failures of Parsl and Globus Compute.

Every public name can be imported from here; its module is loaded when the name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig
    from octopus_plugins.errors import (
        BrokerStartError,
        BrokerUnreachableError,
        ConfigError,
        CredentialsError,
        FabricError,
        MissingDependencyError,
        OctopusError,
        PluginError,
        PolicyError,
        SchemaError,
        ServiceError,
        SpoolError,
        TopicMissingError,
        UnsupportedHostError,
    )
    from octopus_plugins.events import (
        Block,
        Categorization,
        Decision,
        Event,
        ExceptionInfo,
        Failure,
        Heartbeat,
        Limits,
        NodeState,
        Placement,
        Pool,
        ResourceSample,
        Run,
        Rung,
        Task,
        Topic,
        Usage,
        WorkerState,
    )
    from octopus_plugins.hookspecs import WITHHOLD, hookimpl
    from octopus_plugins.streams import Stream, decisions, failures, heartbeats, resources, runs, tasks
    from octopus_plugins.wrath import (
        Category,
        History,
        Layer,
        Match,
        Policy,
        Rule,
        Trust,
        categorize,
        decide,
        load_policy,
    )

    __version__: str

_MODULES = {
    "config": ("OctopusConfig",),
    "errors": (
        "BrokerStartError",
        "BrokerUnreachableError",
        "ConfigError",
        "CredentialsError",
        "FabricError",
        "MissingDependencyError",
        "OctopusError",
        "PluginError",
        "PolicyError",
        "SchemaError",
        "ServiceError",
        "SpoolError",
        "TopicMissingError",
        "UnsupportedHostError",
    ),
    "events": (
        "Block",
        "Categorization",
        "Decision",
        "Event",
        "ExceptionInfo",
        "Failure",
        "Heartbeat",
        "Limits",
        "NodeState",
        "Placement",
        "Pool",
        "ResourceSample",
        "Run",
        "Rung",
        "Task",
        "Topic",
        "Usage",
        "WorkerState",
    ),
    "hookspecs": ("WITHHOLD", "hookimpl"),
    "streams": ("Stream", "decisions", "failures", "heartbeats", "resources", "runs", "tasks"),
    "wrath": (
        "Category",
        "History",
        "Layer",
        "Match",
        "Policy",
        "Rule",
        "Trust",
        "categorize",
        "decide",
        "load_policy",
    ),
}

_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "WITHHOLD",
    "Block",
    "BrokerStartError",
    "BrokerUnreachableError",
    "Categorization",
    "Category",
    "ConfigError",
    "CredentialsError",
    "Decision",
    "Event",
    "ExceptionInfo",
    "FabricError",
    "Failure",
    "Heartbeat",
    "History",
    "Layer",
    "Limits",
    "Match",
    "MissingDependencyError",
    "NodeState",
    "OctopusConfig",
    "OctopusError",
    "Placement",
    "PluginError",
    "Policy",
    "PolicyError",
    "Pool",
    "ResourceSample",
    "Rule",
    "Run",
    "Rung",
    "SchemaError",
    "ServiceError",
    "SpoolError",
    "Stream",
    "Task",
    "Topic",
    "TopicMissingError",
    "Trust",
    "UnsupportedHostError",
    "Usage",
    "WorkerState",
    "__version__",
    "categorize",
    "decide",
    "decisions",
    "failures",
    "heartbeats",
    "hookimpl",
    "load_policy",
    "resources",
    "runs",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("octopus-plugins")
        except PackageNotFoundError:
            value = "0+unknown"  # run from a source tree that is not installed
    elif name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
