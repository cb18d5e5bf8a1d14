"""Exceptions that exist only as text: tracebacks on standard error, and in what Globus Compute reports."""

from __future__ import annotations

import builtins
import re

from octopus_plugins.events import ExceptionInfo, Failure
from octopus_plugins.wrath.rules import OPAQUE_TYPES, is_mute, names

MAX_EXCEPTIONS = 4

# The line that ends a Python traceback: "module.Type: message". Frames are indented by two spaces or more; Globus
# Compute indents the whole by one.
_LAST_LINE = re.compile(r"^ ?(?P<type>[A-Za-z_][\w.]*)(?::[ \t]?(?P<message>.*))?$", re.MULTILINE)
_HEADER = "Traceback (most recent call last):"


def is_opaque(failure: Failure) -> bool:
    """Whether the exception's type says nothing and its text all."""
    return any(name in OPAQUE_TYPES for name in names(failure.exception))


def exceptions_in_text(failure: Failure) -> tuple[ExceptionInfo, ...]:
    """The exceptions whose tracebacks stand in the failure's text, last (outermost) first.

    Args:
        failure: The message of an opaque exception is read, or the standard error of a program that ended badly.

    Returns:
        At most MAX_EXCEPTIONS; the MRO is known for built-in types only.
    """
    if is_opaque(failure):
        # The traceback's end has what the bounded message may have lost.
        source = failure.traceback if _HEADER in (failure.traceback or "") else failure.exception.message
    elif is_mute(failure) and failure.stderr_tail:
        source = failure.stderr_tail
    else:
        return ()
    if not source or _HEADER not in source:
        return ()
    found: list[ExceptionInfo] = []
    for part in source.split(_HEADER)[:0:-1][:MAX_EXCEPTIONS]:
        match = _LAST_LINE.search(part)
        if match:
            found.append(_info(match["type"], (match["message"] or "").strip()))
    return tuple(found)


def _info(name: str, message: str) -> ExceptionInfo:
    cls = getattr(builtins, name, None)
    mro: tuple[str, ...] = (name, "Exception")
    if isinstance(cls, type) and issubclass(cls, BaseException):
        mro = tuple(base.__name__ for base in cls.__mro__ if base is not object)
    attributes: dict[str, str | int | float | bool | None] = {}
    number = re.match(r"\[Errno (\d{1,4})\]", message)
    if number:
        attributes["errno"] = int(number.group(1))
    return ExceptionInfo(type=name, message=message, mro=mro, attributes=attributes)
