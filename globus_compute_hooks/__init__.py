"""Globus Compute and Octopus: what endpoints do, streamed; what fails, decided. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from globus_compute_hooks.endpoint.engine import OctopusEngine
    from globus_compute_hooks.sdk.activation import disable, enable
    from globus_compute_hooks.sdk.executor import OctopusExecutor

__all__ = ["OctopusEngine", "OctopusExecutor", "disable", "enable"]

_HOME = {
    "OctopusEngine": "endpoint.engine",
    "OctopusExecutor": "sdk.executor",
    "disable": "sdk.activation",
    "enable": "sdk.activation",
}

__getattr__, __dir__ = lazily(__name__, _HOME)
