"""Long-running processes, and how a workflow hears of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_plugins.services.decider import Decider
    from octopus_plugins.services.inbox import DecisionInbox

_HOMES = {"Decider": "decider", "DecisionInbox": "inbox"}

__all__ = ["Decider", "DecisionInbox"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
