"""Tracebacks as text, as Python prints them but without carets, at a tenth of the time.

Python looks at each file of a traceback anew and parses a line of each frame for its carets. Where tasks fail by the
hundred in a second, that takes longer than all else, and each look at a file hands over the interpreter to another
thread.

Imported on compute nodes too: nothing but the standard library.
"""

from __future__ import annotations

import linecache
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType, WrapperDescriptorType
from typing import Any

SOURCE_SECONDS = 1.0
"""How old a look at a source file may be."""

MAX_SOURCES = 2_000
"""Files whose state is remembered."""

MAX_LINKS = 100
"""Exceptions of a chain, outermost first, that are told."""

_UNNAMED = frozenset({"builtins", "__main__"})
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def traceback_text(
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    frames: int | None = None,
    *,
    say: Callable[[BaseException], str | None] | None = None,
) -> str:
    """An exception with its traceback and its causes, as text.

    Args:
        kind: Its class.
        error: The exception.
        trace: Its traceback.
        frames: Of each traceback at most so many, the innermost ones.
        say: Gives what an exception says; where it gives None, Python asks the exception itself.
    """
    parts: list[str] = []
    seen: set[int] = set()
    while True:
        seen.add(id(error))
        said = say(error) if say is not None else None
        if said is not None:
            said = f": {said}" if said else ""
            module = "" if kind.__module__ in _UNNAMED else f"{kind.__module__}."
            parts.append(f"{module}{kind.__qualname__}{said}\n")
        elif hasattr(error, "exceptions"):  # a group, whose members Python draws beside each other
            parts.append("".join(traceback.format_exception(kind, error, trace, limit=frames and -frames)))
            break
        else:
            parts += traceback.format_exception_only(kind, error)[::-1]
        if trace is not None:
            parts += [_stack_text(trace, frames), "Traceback (most recent call last):\n"]
        cause = _KEPT["__cause__"].__get__(error)  # by no attribute of the user's
        joint = _CAUSE
        if cause is None and not _KEPT["__suppress_context__"].__get__(error):
            cause, joint = _KEPT["__context__"].__get__(error), _CONTEXT
        if cause is None or id(cause) in seen or len(seen) >= MAX_LINKS:
            break
        parts.append(joint)
        kind, error, trace = type(cause), cause, _TRACEBACK.__get__(cause)
    return "".join(reversed(parts))


def plain_text(error: BaseException) -> str:
    """What an exception says, as far as that can be known without calling the user's code.

    Python's own text where its class and what it was made with are Python's own; else what it was made with that is.
    """
    kind, given = type(error), BaseException.__dict__["args"].__get__(error)
    plain = [value for value in given if type(value) in PLAIN]
    if type(kind.__str__) is WrapperDescriptorType and len(plain) == len(given):
        return str(error)
    return ", ".join(map(str, plain))


def forget_traceback(error: BaseException) -> None:
    """Take an exception's traceback off, whatever its class makes of the attribute."""
    _TRACEBACK.__set__(error, None)


_KEPT: Any = BaseException.__dict__
_TRACEBACK: Any = _KEPT["__traceback__"]

PLAIN = frozenset({str, bytes, int, float, complex, bool, type(None)})
"""Types whose values say what they are without calling anybody's code."""


def _stack_text(trace: TracebackType, frames: int | None) -> str:
    links = _links(trace)
    if frames is not None:
        links = islice(_links(trace), max(0, sum(1 for _ in links) - frames), None)
    # As traceback.StackSummary writes it, for half of the time.
    parts: list[str] = []
    last: tuple[str, int, str] | None = None
    count = 0
    for link in links:
        code = link.tb_frame.f_code
        entry = code.co_filename, link.tb_lineno, code.co_name
        if entry != last:
            parts += _repeated(count)
            last, count = entry, 0
        count += 1
        if count <= _REPEATED:
            line = _source_line(entry[0], entry[1], link.tb_frame.f_globals)
            source = f"    {line}\n" if line else ""
            parts.append(f'  File "{entry[0]}", line {entry[1]}, in {entry[2]}\n{source}')
    return "".join([*parts, *_repeated(count)])


_REPEATED = 3  # times that Python prints a line of a recursion


def _repeated(count: int) -> list[str]:
    more = count - _REPEATED
    return [f"  [Previous line repeated {more} more time{'s' if more > 1 else ''}]\n"] if more > 0 else []


def _links(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


_looked: dict[str, tuple[float, bool]] = {}


def _source_line(file: str, number: int, module: dict[str, object]) -> str:
    now = time.monotonic()
    at, found = _looked.get(file, (0.0, False))
    if not at or now > at + SOURCE_SECONDS:
        if len(_looked) >= MAX_SOURCES:
            _looked.clear()
        linecache.checkcache(file)
        found = bool(linecache.getlines(file, module))
        _looked[file] = now, found
    return linecache.getline(file, number, module).strip() if found else ""
