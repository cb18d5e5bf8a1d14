"""How many reported failures the categoriser gets right: ``python -m benchmarks.reports.evaluate [--write-docs]``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reports.cases import Report, failure, read
from octopus_plugins.events import Categorization
from octopus_plugins.wrath import categorize

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "categorization.md"
_BEGIN, _END = "<!-- written by benchmarks.reports.evaluate: begin -->", "<!-- end of the reports -->"


@dataclass(frozen=True, slots=True)
class Set:
    """Reports that were collected together.

    Attributes:
        name: Of its file in ``data``.
        seen: What the rules had seen of it before.
        before: Right categories of the rules before these (version of 2026-11-30), as counted with them.
        blind: Right categories when today's rules met it for the first time; None where they were written from it.
    """

    name: str
    seen: str
    before: int
    blind: int | None


SETS = (
    Set("given", "all, before the rules were written", 18, None),
    Set("first", "nothing; then its 9 misses were mended by their kinds", 36, 85),
    Set("second", "nothing; then its 10 misses were mended by their kinds", 32, 74),
    Set("everyday", "nothing; then phrases that misread it were weeded out", 158, 45),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one report."""

    report: Report
    found: Categorization

    @property
    def right(self) -> bool:
        """Whether the category is the report's, or one that is right as well."""
        return self.found.category in (self.report.category, *self.report.accept)

    @property
    def right_layer(self) -> bool:
        """Whether the layer is one of the report's."""
        return self.found.layer in self.report.layer


def verdicts(name: str) -> list[Verdict]:
    """Raise and categorise each report of a set, alone, with no history."""
    return [Verdict(report, categorize(failure(report))) for report in read(name)]


def page() -> str:
    """The table for ``docs/categorization.md``."""
    rows = ["| set | reports | right category | right layer | at first sight | rules before | seen |"]
    rows.append("|---|---|---|---|---|---|---|")
    wrong = ["| wrong | reported as | found as | by rule |", "|---|---|---|---|"]
    for one in SETS:
        found = verdicts(one.name)
        right, layers = sum(each.right for each in found), sum(each.right_layer for each in found)
        blind = "–" if one.blind is None else str(one.blind)
        rows.append(f"| {one.name} | {len(found)} | {right} | {layers} | {blind} | {one.before} | {one.seen} |")
        wrong += [
            f"| {_named(each.report)} | `{each.report.category}` | `{each.found.category}` | {each.found.rule or '–'} |"
            for each in found
            if not each.right
        ]
    return "\n".join(rows) + "\n" + ("\n" + "\n".join(wrong) + "\n" if len(wrong) > 2 else "")


def _named(report: Report) -> str:
    return f"[{report.id}]({report.source})" if report.source else report.id


def main(arguments: list[str] | None = None) -> int:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--write-docs", action="store_true", help=f"write it into {DOCUMENT.name}")
    if not parser.parse_args(arguments).write_docs:
        sys.stdout.write(page())
        return 0
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    DOCUMENT.write_text(f"{before}{_BEGIN}\n\n{page()}\n{_END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
