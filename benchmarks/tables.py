"""A table twice: in Markdown for the documentation, and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown.

    Args:
        columns: Its header.
        rows: Each with as many cells, in Markdown; a bar in them is escaped here.
    """
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return [_line(columns), "|" + "---|" * len(columns), *map(_line, escaped)]


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print the same table.

    Args:
        title: Above it.
        columns: Its header.
        rows: Each with as many cells, in Markdown.
        console: Where to.
    """
    table = Table(title=title)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # As text: what a message has in brackets is no markup.
        table.add_row(*(Text(cell.replace("**", "").replace("`", "")) for cell in row))
    console.print(table)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
