"""Checks of policy values, each of which can say what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from octopus_plugins.errors import PolicyError

Check = Callable[[Any], "str | None"]
"""Takes a value and returns None, or what is allowed in its place."""

LARGEST = 1e9
"""Largest number that means anything here; as seconds it is thirty years."""


def one_of(allowed: tuple[str, ...]) -> Check:
    """One of some words."""
    return lambda value: None if isinstance(value, str) and value in allowed else f"one of {', '.join(allowed)}"


def whole(minimum: int) -> Check:
    """A whole number; a truth value is none."""
    allowed = f"a whole number, {minimum} or more"
    return lambda value: None if type(value) is int and minimum <= value <= LARGEST else allowed


def number(minimum: float, maximum: float = LARGEST) -> Check:
    """A number, not a truth value and not infinite."""
    allowed = f"a number, {minimum:g} or more" if maximum == LARGEST else f"a number from {minimum:g} to {maximum:g}"
    return lambda value: None if type(value) in (int, float) and minimum <= value <= maximum else allowed


def labels(allowed: tuple[str, ...] | None, *, empty: bool) -> Check:
    """A tuple of words without repetition, of those allowed where some are named."""
    what = f"of {', '.join(allowed)}" if allowed else "of executor labels"
    message = f"a list {what}, each at most once" + ("" if empty else ", at least one")

    def check(value: Any) -> str | None:
        good = (
            isinstance(value, tuple)
            and all(isinstance(item, str) and item and (allowed is None or item in allowed) for item in value)
            and len(set(value)) == len(value)
            and (empty or len(value) > 0)
        )
        return None if good else message

    return check


def text(value: Any) -> str | None:
    """Some text."""
    return None if isinstance(value, str) and value else "a text that is not empty"


def word(value: Any) -> str | None:
    """A text that may be empty."""
    return None if isinstance(value, str) else "a text"


def factors(value: Any) -> str | None:
    """A table of factors by name."""
    good = isinstance(value, Mapping) and all(
        isinstance(key, str) and key and type(factor) in (int, float) and 1 <= factor <= LARGEST
        for key, factor in value.items()
    )
    return None if good else "a table of names with numbers, 1 or more"


def counts(value: Any) -> str | None:
    """A table of whole numbers by name."""
    good = isinstance(value, Mapping) and all(
        isinstance(key, str) and key and type(count) is int and 0 <= count <= LARGEST for key, count in value.items()
    )
    return None if good else "a table of names with whole numbers, 0 or more"


def flag(value: Any) -> str | None:
    """A truth value."""
    return None if isinstance(value, bool) else "true or false"


def check_fields(value: object, checks: Mapping[str, Check]) -> None:
    """Check the fields of a dataclass.

    Raises:
        PolicyError: A value is not allowed; the message names the field, the value and what is allowed.
    """
    for item in fields(value):  # type: ignore[arg-type]
        check = checks.get(item.name)
        allowed = check(getattr(value, item.name)) if check else None
        if allowed:
            raise PolicyError(f"{item.name} = {getattr(value, item.name)!r}: must be {allowed}")
