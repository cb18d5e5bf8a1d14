"""Brokers for a laptop and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_plugins.local.embedded import EmbeddedBroker, Running, down, status, up

__all__ = ["EmbeddedBroker", "Running", "down", "status", "up"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from octopus_plugins.local import embedded

        return getattr(embedded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
