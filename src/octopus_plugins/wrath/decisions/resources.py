"""What a retry asks for more of."""

from __future__ import annotations

import math

from octopus_plugins.wrath.decisions.context import Case
from octopus_plugins.wrath.taxonomy.categories import Category


def larger_resources(case: Case) -> dict[str, str | int | float | bool | None]:
    """The keys of the task's own resource specification that the category's policy makes larger, and by how much.

    Memory grows only where the task itself ran out of it, not where its neighbours had used it up.

    Args:
        case: The failure.

    Returns:
        New values by key; whole numbers stay whole, rounded up. Empty where nothing changes.
    """
    if case.category is Category.memory_exhausted and case.categorization.evidence.get("neighbours"):
        return {}
    changed: dict[str, str | int | float | bool | None] = {}
    for key, factor in case.entry.resources.items():
        value = case.failure.resources.get(key)
        if factor == 1 or isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            continue
        try:
            larger = value * factor
        except OverflowError:
            continue  # a whole number with more digits than any resource
        if math.isfinite(larger):
            changed[key] = math.ceil(larger) if isinstance(value, int) else larger
    return changed
