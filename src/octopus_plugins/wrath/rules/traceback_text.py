"""Exceptions that exist only as text: tracebacks on standard error, and in what Globus Compute reports."""

from __future__ import annotations

import builtins
import re

from octopus_plugins.events import ExceptionInfo, Failure
from octopus_plugins.wrath.rules.rule import LOST_TYPES, OPAQUE_TYPES, TRACEBACK, is_mute, names, stderr

MAX_EXCEPTIONS = 4

# The line that ends a Python traceback: "module.Type: message". Frames are indented by two spaces or more; Globus
# Compute indents the whole by one.
_LAST_LINE = re.compile(r"^ ?(?P<type>[A-Za-z_][\w.]*)(?::[ \t]?(?P<message>.*))?$", re.MULTILINE)
_FRAME = re.compile(r'^ {1,8}File "([^"\n]{1,400})", line (\d{1,9}), in (.{1,200})$', re.MULTILINE)
_ERRNO = re.compile(r"\[Errno (?P<number>\d{1,4})\][^:']{0,200}(?:: '(?P<name>[^']{0,400})')?")
_KIN: tuple[type[BaseException], ...] = (MemoryError, ModuleNotFoundError, ImportError, ConnectionError, TimeoutError)


_FRAMEWORKS = ("parsl.", "funcx", "globus_compute_")
_LOSSES = {name.rpartition(".")[2]: name for name in LOST_TYPES[:2]}
"""Parsl's losses by their names: which module has them, and who takes them over, changes with the versions."""


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
        source = failure.traceback if TRACEBACK in (failure.traceback or "") else failure.exception.message
    elif is_mute(failure) and failure.stderr_tail:
        source = stderr(failure)
    else:
        return ()
    if not source or TRACEBACK not in source:
        return ()
    found: list[ExceptionInfo] = []
    for part in source.split(TRACEBACK)[:0:-1][:MAX_EXCEPTIONS]:
        match = _LAST_LINE.search(part)
        if match:
            frames = _FRAME.findall(part[: match.start()])
            where = "{}:{} in {}".format(*frames[-1]) if frames else None
            found.append(_info(match["type"], (match["message"] or "").strip(), where))
    return tuple(found)


def _kin(name: str) -> type | None:
    """The built-in exception that a class is named after: ``MemoryError`` for ``numpy…_ArrayMemoryError``."""
    for base in _KIN:
        if name.endswith(base.__name__):
            return base
    return None


def _info(name: str, message: str, location: str | None) -> ExceptionInfo:
    cls = getattr(builtins, name, None) or _kin(name)
    mro: tuple[str, ...] = (name, "Exception")
    if isinstance(cls, type) and issubclass(cls, BaseException):
        bases = tuple(base.__name__ for base in cls.__mro__ if base is not object)
        mro = bases if bases[0] == name else (name, *bases)
    if (loss := _LOSSES.get(name.rpartition(".")[2])) is not None and name.startswith(_FRAMEWORKS):
        mro = (name, loss, *mro[1:])
    attributes: dict[str, str | int | float | bool | None] = {}
    number = _ERRNO.match(message)
    if number:
        attributes["errno"] = int(number["number"])
        if number["name"] is not None:
            attributes["filename"] = number["name"]
    return ExceptionInfo(type=name, message=message, mro=mro, attributes=attributes, location=location)
