"""Sections of a page in ``docs/`` that are written by what was measured."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from benchmarks.machine import describe

PAGE = Path(__file__).parents[2] / "docs" / "delivery.md"


def write_section(name: str, text: str, page: Path | None = None) -> None:
    """Put a text between the marks of a section.

    Args:
        name: Of the marks ``<!-- name -->`` and ``<!-- /name -->``.
        text: Markdown.
        page: The file; default: ``docs/delivery.md``.
    """
    page = page or PAGE
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not begin or not end:
        raise SystemExit(f"{page} has no marks <!-- {name} --> and <!-- /{name} -->")
    page.write_text(f"{before}{begin}{text.strip()}\n{end}{after}", encoding="utf-8")


def measured(command: str) -> str:
    """One line that says when, where and by which command something was measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=PAGE.parent
    ).stdout.strip()
    machine = describe()
    where = ", ".join(
        f"{name} {value}" if name not in ("cpu", "memory", "system") else value for name, value in machine.items()
    )
    return f"Measured by `{command}` on {time.strftime('%Y-%m-%d')}, commit {commit or 'unknown'}: {where}."
