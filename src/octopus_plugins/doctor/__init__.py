"""What is wrong between this machine and the topics: one finding for each step of the way, each with its remedy.

Each step looks at one thing, and tells what it saw. Nothing is changed but for one small record that every reader
passes over (``probe.py``) and a spool's directory that was missing; above all no key is made or rotated.
``diagnoses.py`` has everything that can be found wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from octopus_plugins.doctor.diagnoses import DIAGNOSES, Diagnosis
    from octopus_plugins.doctor.examination import STEPS, Step, diagnose
    from octopus_plugins.doctor.findings import Finding

_HOMES = {
    "DIAGNOSES": "diagnoses",
    "Diagnosis": "diagnoses",
    "Finding": "findings",
    "STEPS": "examination",
    "Step": "examination",
    "diagnose": "examination",
}

__all__ = ["DIAGNOSES", "STEPS", "Diagnosis", "Finding", "Step", "diagnose"]


__getattr__, __dir__ = lazily(__name__, _HOMES)
