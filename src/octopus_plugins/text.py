"""Text that came from a topic, made harmless for a terminal and a log."""

from __future__ import annotations

MAX_LINE = 2_000
"""Characters of such a text in one line of a log."""

# Escape sequences would steer the terminal of whoever reads it; marks of direction would let text look like other text;
# line and paragraph separators end a line in some viewers.
_CONTROLS = {code: "�" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_MARKS = dict.fromkeys((1564, 8206, 8207, *range(8234, 8239), *range(8294, 8298), 8232, 8233), "�")
_HARMFUL = _CONTROLS | _MARKS
_ESCAPES = {code: f"\\u{code:04x}" for code in _HARMFUL if code >= 0x7F}


def printable(text: str) -> str:
    """The text with its control characters and marks of direction replaced; lines and tabs stay."""
    # Nothing of that is printable to Python, and most text is nothing else: that is found out in a tenth of the time.
    return text if text.isprintable() else text.translate(_HARMFUL)


def one_line(text: str, limit: int = MAX_LINE) -> str:
    """The same in one line, so that one message cannot look like two, and cut where it is too long."""
    line = printable(text[: limit + 1]).replace("\n", " ").replace("\t", " ")
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def escaped_json(text: str) -> str:
    """JSON text with what would act on a terminal written as escapes; the same value to whoever reads it."""
    return text.translate(_ESCAPES)
