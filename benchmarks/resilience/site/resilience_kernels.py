"""The module that one node lacks in the scenario ``module``: the others find it on their PYTHONPATH."""

from __future__ import annotations


def kernel(number: int) -> int:
    """What the tasks of the scenario compute."""
    return number * number
