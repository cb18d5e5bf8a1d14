"""All cases, by name."""

from __future__ import annotations

from benchmarks.harmless.compute.case import Case
from benchmarks.harmless.compute.cases import kills, ladders, pauses, plain, restarts

_MODULES = (plain, kills, pauses, restarts, ladders)

CASES: dict[str, Case] = {case.name: case for module in _MODULES for case in module.CASES}
"""The cases, by what happens in them; each module has them in ``CASES``."""
