"""What a step finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from octopus_plugins.doctor.diagnoses import DIAGNOSES

State = Literal["ok", "warning", "failed", "not_needed", "not_tried"]

_SEEN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found.

    Attributes:
        step: Its name.
        state: ``ok``; ``warning`` (it works, and something should be looked at); ``failed``; ``not_needed`` with these
            settings; ``not_tried``, because a step before it failed.
        seen: What was seen, in a few words; for the last two, why.
        code: Which diagnosis it is; None where all is well.
        why: Why it is likely so.
        remedy: The one thing to do.
        notes: Further lines for people.
        details: The same for machines.
        seconds: How long it took.
    """

    step: str
    state: State
    seen: str
    code: str | None = None
    why: str | None = None
    remedy: str | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def ok(step: str, seen: str, *, notes: Iterable[str] = (), **details: Any) -> Finding:
    """All is well."""
    return Finding(step, "ok", seen, notes=tuple(notes), details=details)


def not_needed(step: str, why: str) -> Finding:
    """These settings do without it."""
    return Finding(step, "not_needed", why)


def not_tried(step: str, because: str) -> Finding:
    """Another step failed, and this one can tell nothing then."""
    return Finding(step, "not_tried", f"not tried, because {because} failed", details={"because": because})


def trouble(
    code: str,
    seen: str,
    texts: Mapping[str, Any] | None = None,
    *,
    notes: Iterable[str] = (),
    step: str | None = None,
    **details: Any,
) -> Finding:
    """Something is wrong.

    Args:
        code: Which diagnosis.
        seen: What was seen.
        texts: What the texts of the diagnosis need.
        notes: Further lines for people.
        step: Where, for the diagnoses that every step can make.
        **details: For machines.
    """
    diagnosis = DIAGNOSES[code]
    return Finding(
        step or diagnosis.step,
        "warning" if diagnosis.warning else "failed",
        seen if len(seen) <= _SEEN_CHARACTERS else seen[: _SEEN_CHARACTERS - 1] + "…",
        code,
        diagnosis.why.format(**texts or {}),
        diagnosis.remedy.format(**texts or {}),
        tuple(notes),
        details,
    )
