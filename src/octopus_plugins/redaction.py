"""What is secret in a text, left out as far as its form tells.

Imported on compute nodes too: nothing but the standard library.
"""

from __future__ import annotations

import re

SECRET_NAME = re.compile(
    r"passw|passwd|\bpwd\b|token|secret|api_?key|access_?key|authorization|credential", re.IGNORECASE
)
"""What an attribute is called whose value is not told."""


def without_secrets(text: str) -> str:
    """A text without what is secret in it, as far as its form tells.

    Addresses lose user and password and what stands behind ``?`` and ``#``; what is assigned to a name such as
    ``password`` or ``token``, and what an ``Authorization`` header has, is replaced by ``…``.
    """
    if "://" in text:
        text = _address(text)
    if "url: /" in text:
        text = _PATH_QUERY.sub(r"\1", text)
    return _ASSIGNED.sub(r"\1…", text) if _SECRET_WORD.search(text) else text


def _address(text: str) -> str:
    parts, at = [], 0
    while (found := text.find("://", at)) >= 0:
        begin = found + 3
        end = begin
        while end < len(text) and text[end] not in _ENDS:
            end += 1
        address = text[begin:end]
        head, mark, rest = address.rpartition("@")
        if mark and (":" in head.partition("/")[0] or "/" not in head):
            address = rest
        parts += [text[at:begin], re.split(r"[?#]", address, maxsplit=1)[0]]
        at = end
    return "".join([*parts, text[at:]])


_ENDS = frozenset(' \t\r\n"<>`|\\')
_PATH_QUERY = re.compile(r"(\burl: /[^\s?]{0,1024})\?\S{1,4096}")
_SECRET_WORD = re.compile(r"passw|pwd|token|secret|key|authorization|bearer|credential", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"((?:passw(?:or)?d|passwd|pwd|[\w-]{0,20}token|[\w-]{0,20}secret[\w-]{0,20}|api[_-]?key|access[_-]?key(?:[_-]?id)?)"
    r"['\"]?\s?[=:]\s?['\"]?|\bauthorization['\"]?\s?[=:]\s?['\"]?(?:bearer |basic )?|\bbearer )[^\s'\",;&]{6,4096}",
    re.IGNORECASE,
)
