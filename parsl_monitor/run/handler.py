"""What a run's retry handler is to its hub: the hub knows no more of it than this."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_plugins.wrath import Policy
    from parsl_monitor.hub import OctopusMonitoringHub
    from parsl_monitor.run.attempts import Attempt


class DecidingHandler(ABC):
    """A retry handler with a policy, that may hold failures back for a decider service.

    Attributes:
        policy: In force in the run.
        decider: Who decides: ``workflow`` or ``service``.
        retry_handler: The workflow's own handler, which is asked too; None where it has none.
    """

    policy: Policy
    decider: str
    retry_handler: Callable[[Exception, Any], float] | None

    @abstractmethod
    def hold(self, hub: OctopusMonitoringHub, attempt: Attempt, release: Callable[[], None]) -> bool:
        """Tell a failure, and hold its try back for the decider service, where that may be worth the wait.

        Args:
            hub: The run's.
            attempt: What failed, and with what.
            release: Settles the future that Parsl holds: then Parsl calls the handler.

        Returns:
            Whether the try is held; if not, nothing was done.
        """
