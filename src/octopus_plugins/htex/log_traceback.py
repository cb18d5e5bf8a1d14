"""The traceback of an exception as `logging` writes it, to the byte, with what it has of the last one.

For every exception Python reads the source of each frame again, parses it for its carets, and indents each line. Where
many tasks fail, they fail in the same frames.

Imported on compute nodes; the standard library only.
"""

from __future__ import annotations

import sys
import time
import traceback
from types import TracebackType
from typing import Any

SOURCE_SECONDS = 1.0
"""How old the text of a frame may be: its source may change."""

MAX_FRAMES = 2_000
"""Frames whose text is kept."""

MAX_DEPTH = 100
"""Frames of a traceback that is written here."""

# Python says more of these than their text and their frames: what may have been meant, the line of a program.
_TOLD_AT_LENGTH = (SyntaxError, NameError, AttributeError, ImportError)

_Key = tuple[str, str, int, int, bytes]
_texts: dict[_Key, tuple[float, str]] = {}


def exception_text(kind: type[BaseException], error: BaseException, trace: TracebackType) -> str | None:
    """What `logging.Formatter.formatException` gives; None for what it is left to.

    Args:
        kind: The exception's class.
        error: The exception.
        trace: Its traceback.

    Raises:
        Exception: What the user's code raises that is asked, as Python asks it.
    """
    if not _is_plain(kind, error) or hasattr(sys, "tracebacklimit"):
        return None
    keys = _keys(trace)
    if keys is None:
        return None
    now = time.monotonic()
    known = [_texts.get(key) for key in keys]
    if any(each is None or now > each[0] + SOURCE_SECONDS for each in known):
        return _learn(kind, error, trace, keys, now)
    frames = "".join([each[1] for each in known if each is not None])
    said = _said(error)
    if said is None:
        return None
    module = kind.__module__
    name = kind.__qualname__ if module in ("__main__", "builtins") else f"{module}.{kind.__qualname__}"
    last = f"{name}: {said}" if said else name
    notes = "".join(f"\n{note}" for note in error.__dict__.get("__notes__") or ()) if _SHOWS_NOTES else ""
    return f"Traceback (most recent call last):\n{frames}{last}{notes}"


def _said(error: BaseException) -> str | None:
    """What an exception says; None where Python makes something else of it."""
    try:
        said = str(error)
    except:  # noqa: E722 - as `traceback` does: what it says may raise anything, and a thread of Parsl's writes it down
        return None
    return said if type(said) is str else None


def _is_plain(kind: type[BaseException], error: BaseException) -> bool:
    """Whether all that Python says of an exception is its class, its text and its frames."""
    return (
        type(error) is kind
        and error.__cause__ is None
        and (error.__context__ is None or error.__suppress_context__)
        and not issubclass(kind, _TOLD_AT_LENGTH)
        and type(kind.__module__) is str
        # Python asks for notes and for members.
        and kind.__getattribute__ is BaseException.__getattribute__
        and not any(hasattr(kind, name) for name in ("__getattr__", "__notes__", "exceptions"))
        and _has_plain_notes(error)
    )


def _has_plain_notes(error: BaseException) -> bool:
    notes = error.__dict__.get("__notes__")
    return notes is None or (type(notes) is list and all(type(note) is str for note in notes))


_SHOWS_NOTES = sys.version_info >= (3, 11)


def _keys(trace: TracebackType) -> list[_Key] | None:
    """What the text of each frame depends on; None for a recursion, of which Python leaves frames out."""
    keys: list[_Key] = []
    link: TracebackType | None = trace
    while link is not None:
        code: Any = link.tb_frame.f_code
        key = code.co_filename, code.co_name, link.tb_lineno, link.tb_lasti, code.co_linetable
        if len(keys) == MAX_DEPTH or (keys and keys[-1][:3] == key[:3]):
            return None
        keys.append(key)
        link = link.tb_next
    return keys


def _learn(kind: type[BaseException], error: BaseException, trace: TracebackType, keys: list[_Key], now: float) -> str:
    """The whole text by Python's own means, whose frames are kept."""
    if len(_texts) > MAX_FRAMES:
        _texts.clear()
    read = traceback.TracebackException(kind, error, trace, compact=True)
    for key, frame in zip(keys, read.stack, strict=True):
        _texts[key] = now, "".join(traceback.StackSummary.from_list([frame]).format())
    return "".join(read.format()).removesuffix("\n")
