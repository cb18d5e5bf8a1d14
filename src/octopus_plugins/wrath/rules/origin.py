"""Whose code raised an exception: the task's own, a library's, Python's."""

from __future__ import annotations

import re

from octopus_plugins.events import Failure
from octopus_plugins.exception_description import INSTALLED, LIBRARY, OWN, STANDARD

_STANDARD_FILE = re.compile(r"[/\\]lib(?:64)?[/\\]python\d(?:\.\d+)?[/\\](?!site-packages|dist-packages)|<frozen ")
MAX_BELOW = 7
"""Frames of one package between the task's own code and where it raised, up to which the call itself is at fault."""


_FRAME = re.compile(r'^ {1,8}File "([^"\n]{1,400})", line \d{1,9}, in ', re.MULTILINE)


def raised_by_own_code(failure: Failure) -> bool | None:
    """Whether the exception was raised in the task's own code, or straight below it: by what it called itself.

    None where nothing is known of where it was raised.
    """
    below: str | None = None
    for number, (origin, package) in enumerate(_way_back(failure)):
        if origin == OWN:
            return True
        if number == MAX_BELOW or below not in (None, package):
            return False
        below = package
    return None if below is None else False


def _way_back(failure: Failure) -> list[tuple[str, str]]:
    """Of each frame, innermost first, whose code it is and of which package."""
    frames = failure.exception.frames
    if frames:
        return [(frame.origin, frame.module.partition(".")[0]) for frame in reversed(frames)]
    # An event of an earlier version, or an exception that there is only text of.
    where = failure.exception.location
    files = _FRAME.findall(failure.traceback or "")
    if where is None:
        return []
    if not files or not where.startswith(f"{files[-1]}:"):
        files = [where.rpartition(":")[0] or where]
    return [_of_file(file) for file in reversed(files)]


def _of_file(file: str) -> tuple[str, str]:
    if found := INSTALLED.search(file):
        return LIBRARY, re.split(r"[/\\.]", file[found.end() :], maxsplit=1)[0]
    if found := _STANDARD_FILE.search(file):
        return STANDARD, re.split(r"[/\\.]", file[found.end() :], maxsplit=1)[0]
    return OWN, ""
