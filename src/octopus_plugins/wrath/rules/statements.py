"""What a failure says, and the rules that go by it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.redaction import without_secrets
from octopus_plugins.wrath.rules.phrases import Phrases, Said
from octopus_plugins.wrath.rules.rule import TRACEBACK, Match, Rule, Trust, chain, is_mute, place, stderr
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History


def reported(failure: Failure) -> list[str]:
    """What the failure says: messages and notes; where the exception is mute, standard error without its warnings."""
    parts = []
    for info in (failure.exception, *failure.causes):
        parts.append(info.message)
        parts += info.notes
    if failure.stderr_tail and is_mute(failure):
        told = stderr(failure)
        at = told.rfind(TRACEBACK)  # what a program's own traceback says is why it ended
        parts.append(told[at:] if at >= 0 else _without_asides(told))
    return parts


# What a program says on its way and goes on. NCCL's warnings are its errors.
_ASIDE_WORDS = (
    "warn",
    "info",
    "debug",
    "notice",
    "falling back",
    "using ",
    "continuing",
    "retry",
    "ignored",
    "skipping",
)
_ASIDE = re.compile(
    r"(?<![\w-])(?:\w*warning|warn|info|debug|notice)\b[\]>)\"']?[:\s|]"
    r"|\b(?:falling back|using (?:the )?(?:default|builtin|built-in|cpu)|continuing|retrying|will retry|ignored"
    r"|skipping)\b",
    re.IGNORECASE,
)


def _without_asides(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not _is_aside(line[:200]))


def _is_aside(line: str) -> bool:
    lowered = line.lower()
    return any(word in lowered for word in _ASIDE_WORDS) and "nccl" not in lowered and bool(_ASIDE.search(line))


def line_with(failure: Failure, words: tuple[str, ...]) -> str:
    """The first line of the failure's text that has one of the words, at most 200 characters."""
    parts = [info.message for info in chain(failure)]
    parts.append(stderr(failure))
    for part in parts:
        for line in part.splitlines():
            lowered = line.lower()
            if any(word in lowered for word in words):
                return without_secrets(line.strip())[:200]
    return ""


def said(reason: str, words: tuple[str, ...]) -> Callable[[Failure, History | None], Match]:
    """The matcher of a rule that goes by words alone: the reason, and the line that has them."""

    def match(failure: Failure, history: History | None) -> Match:
        line = line_with(failure, words)
        return Match(f"{reason}{place(failure)}: {line}", {"text": line}, 0.65)

    return match


def stated(
    name: str,
    category: Category,
    reason: str,
    phrases: Phrases,
    *,
    confidence: float = 0.8,
    trust: Trust = Trust.statement,
    types: tuple[str, ...] = (),
    doc: str,
) -> Rule:
    """A rule that goes by what is said.

    Args:
        name: See Rule; so are ``category``, ``trust``, ``types`` and ``doc``.
        category: What it recognises.
        reason: What happened, as a clause.
        phrases: Of which one must be said.
        confidence: How sure that is.
        trust: On what ground.
        types: Types of exceptions that it is tried for; empty for all.
        doc: What it looks for.
    """

    def match(failure: Failure, history: History | None) -> Match | None:
        line = phrases.find(spoken(failure))
        if line is None:
            return None
        shown = without_secrets(line.strip())[:200]
        return Match(f"{reason}{place(failure)}: {shown}", {"text": shown}, confidence)

    return Rule(name, category, trust, match, types=types, doc=doc)


MAX_LINE = 600
"""Characters of a line that are looked at: of a longer one its beginning and its end."""

MAX_LINES = 60
"""Lines that are looked at: of more the first and the last ones."""


def spoken(failure: Failure, *, itself: bool = True) -> Said:
    """What the failure says as far as it is looked at; see `reported`.

    Args:
        failure: The failure.
        itself: Whether what the exception itself says is of interest.
    """
    parts = reported(failure)
    return _spoken(tuple(parts if itself else parts[1:]))


@functools.lru_cache(maxsize=64)
def _spoken(parts: tuple[str, ...]) -> Said:
    lines = [line for part in parts for line in part.splitlines()]
    if len(lines) > MAX_LINES:
        lines = lines[: MAX_LINES // 2] + lines[-MAX_LINES // 2 :]
    half = MAX_LINE // 2
    return Said("\n".join(line if len(line) <= MAX_LINE else f"{line[:half]} … {line[-half:]}" for line in lines))
