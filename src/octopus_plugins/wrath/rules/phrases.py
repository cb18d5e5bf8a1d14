"""What programs and libraries are known to say, found quickly: most of a long text is passed over by what it lacks."""

from __future__ import annotations

import functools
import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    from re import _constants as _ops
    from re import _parser
else:
    import sre_constants as _ops
    import sre_parse as _parser

SHORTEST = 3
"""Characters that a piece must have to be looked for before a pattern is tried."""


class Said:
    """What somebody said, ready to be searched.

    Args:
        text: As it stands.

    Attributes:
        text: The same.
        lowered: In lower case.
    """

    __slots__ = ("_grams", "lowered", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.lowered = text.lower()
        self._grams: frozenset[str] | None = None

    def lacks(self, beginnings: frozenset[str]) -> bool:
        """Whether it surely has none of the pieces that begin so; quick, for a short text."""
        if len(self.lowered) > MAX_GRAMS:
            return False
        if self._grams is None:
            said = self.lowered
            self._grams = frozenset([said[at : at + SHORTEST] for at in range(len(said) - SHORTEST + 1)])
        return self._grams.isdisjoint(beginnings)


MAX_GRAMS = 1_000
"""Characters of a text up to which all that it has of SHORTEST characters is made a set of."""


class Phrases:
    """Regular expressions of which one must be found, whatever the case, each within a line.

    Args:
        phrases: The expressions.
        unless: What the line must not say.
    """

    __slots__ = ("_beginnings", "_tried", "_unless")

    def __init__(self, *phrases: str, unless: Phrases | None = None) -> None:
        self._tried = tuple((pieces(phrase), phrase) for phrase in phrases)
        known = all(pieces for pieces, _ in self._tried)
        every = frozenset(piece[:SHORTEST] for pieces, _ in self._tried for piece in pieces)
        self._beginnings = every if known else None
        self._unless = unless

    def find(self, said: Said) -> str | None:
        """The first line that has one of the phrases and nothing of what it must not have."""
        if self._beginnings is not None and said.lacks(self._beginnings):
            return None
        text, lowered = said.text, said.lowered
        for pieces, phrase in self._tried:
            for piece in pieces:
                if piece in lowered:
                    break
            else:
                if pieces:
                    continue
            for found in _compiled(phrase).finditer(text):
                line = text[text.rfind("\n", 0, found.start()) + 1 : _end(text, found.end())]
                if self._unless is None or not self._unless.has(line):
                    return line
        return None

    def has(self, text: str) -> bool:
        """Whether `find` finds something."""
        return self.find(Said(text)) is not None


def _end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


@functools.cache
def _compiled(phrase: str) -> re.Pattern[str]:
    return re.compile(phrase, re.IGNORECASE | re.MULTILINE)


def pieces(phrase: str) -> tuple[str, ...]:
    """Pieces of text, in lower case, of which all that matches an expression has one; none where that is not known."""
    return tuple(sorted(_best(_parser.parse(phrase, re.IGNORECASE | re.MULTILINE)) or ()))


def _best(items: Any) -> frozenset[str] | None:
    """Of all sets of pieces that a sequence cannot do without the one that is found least."""
    candidates: list[frozenset[str]] = []
    run = ""
    for op, value in items:
        if op is _ops.LITERAL:
            run += chr(value)
            continue
        if op is not _ops.AT:  # a border of a word lies between, and takes no room
            candidates.append(frozenset({run}))
            run = ""
        inner = _inside(op, value)
        if inner is not None:
            candidates.append(inner)
    candidates.append(frozenset({run}))
    lowered = [frozenset(piece.lower() for piece in candidate) for candidate in candidates]
    fit = [candidate for candidate in lowered if min(map(len, candidate)) >= SHORTEST]
    return max(fit, key=lambda one: (min(map(len, one)) - len(one), sorted(one)), default=None)


def _inside(op: Any, value: Any) -> frozenset[str] | None:
    if op is _ops.SUBPATTERN:
        return _best(value[3])
    if op in (_ops.MAX_REPEAT, _ops.MIN_REPEAT):
        return _best(value[2]) if value[0] >= 1 else None
    if op is _ops.BRANCH:
        branches = [_best(branch) for branch in value[1]]
        known = [branch for branch in branches if branch is not None]
        return frozenset().union(*known) if len(known) == len(branches) else None
    return None
