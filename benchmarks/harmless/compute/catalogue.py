"""All cases, by name."""

from __future__ import annotations

from benchmarks.harmless.compute.case import Case
from benchmarks.harmless.compute.cases import kills, pauses, plain, restarts

CASES: dict[str, Case] = {case.name: case for module in (plain, kills, pauses, restarts) for case in module.CASES}
