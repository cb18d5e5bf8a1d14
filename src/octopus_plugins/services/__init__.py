"""Long-running processes, and how a workflow hears of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from octopus_plugins.services.decider_service import Decider
    from octopus_plugins.services.decision_subscriber import DecisionInbox

_HOMES = {"Decider": "decider_service", "DecisionInbox": "decision_subscriber"}

__all__ = ["Decider", "DecisionInbox"]


__getattr__, __dir__ = lazily(__name__, _HOMES)
