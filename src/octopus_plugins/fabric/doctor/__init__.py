"""What is wrong between this machine and the topics: one finding for each step of the way, each with its remedy.

Each step looks at one thing, and tells what it saw. Nothing is changed but for one small record that every reader
passes over (``probe.py``); above all no key is made or rotated. ``diagnoses.py`` has everything that can be found
wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octopus_plugins.fabric.doctor.diagnoses import DIAGNOSES, Diagnosis
    from octopus_plugins.fabric.doctor.examination import STEPS, Step, diagnose
    from octopus_plugins.fabric.doctor.findings import Finding

_HOMES = {
    "DIAGNOSES": "diagnoses",
    "Diagnosis": "diagnoses",
    "Finding": "findings",
    "STEPS": "examination",
    "Step": "examination",
    "diagnose": "examination",
}

__all__ = ["DIAGNOSES", "STEPS", "Diagnosis", "Finding", "Step", "diagnose"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
