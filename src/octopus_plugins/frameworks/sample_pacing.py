"""Has the nodes of a run sample as far apart as its budget asks: the same for every framework."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from octopus_plugins.fabric.produce.budget import SampleBudget

logger = logging.getLogger("octopus_plugins")


class Pacer:
    """Tells executors the stretch of a budget, each once, and the log that it takes effect, once.

    Args:
        budget: Of the run; None is without a bound, and nothing is ever told.
    """

    def __init__(self, budget: SampleBudget | None) -> None:
        self._budget = budget
        self._told: dict[str, float] = {}

    def pace(self, executors: Mapping[str, Callable[[float], bool]]) -> None:
        """Tell what has changed; to be called now and then, however often.

        Args:
            executors: By label, what hands an executor's nodes a stretch; it returns False where it is too early.
        """
        if self._budget is None:
            return
        self._budget.look()
        stretch = self._budget.stretch
        for label, hand in executors.items():
            if self._told.get(label, 1.0) != stretch and hand(stretch):
                if not self._told:
                    logger.info(
                        "Resource samples would come to more than %s bytes a second and are taken further apart from"
                        " now on; sample_budget sets how much they may be (docs/scale.md)",
                        f"{self._budget.rate:,.0f}",
                    )
                self._told[label] = stretch
