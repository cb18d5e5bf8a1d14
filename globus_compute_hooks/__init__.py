"""Globus Compute and Octopus: what endpoints do, streamed; what fails, decided. See README.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from globus_compute_hooks.engine import OctopusEngine

_HOME = {"OctopusEngine": "engine"}

__all__ = ["OctopusEngine"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
