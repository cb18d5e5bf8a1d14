"""How well the categoriser knows the corpus: ``python -m benchmarks.corpus.evaluate --help``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.corpus import store
from octopus_plugins.events import Categorization, Failure
from octopus_plugins.wrath import Category, History, categorize

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "categorization.md"
_BEGIN, _END = "<!-- written by benchmarks.corpus.evaluate: begin -->", "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the categoriser said of one failure of the corpus.

    Attributes:
        scene: The run that it comes from.
        case: Name of the case.
        label: What was injected.
        held_out: Whether it belongs to the third that is never looked at while rules are written.
        found: What today's rules say.
        made: How it was made.
    """

    scene: str
    case: str
    label: store.Label
    held_out: bool
    found: Categorization
    made: str

    @property
    def right(self) -> bool:
        """Whether the category is the label's."""
        return self.found.category == self.label.category

    @property
    def right_layer(self) -> bool:
        """Whether the layer is the label's."""
        return self.found.layer == self.label.layer


def verdicts() -> list[Verdict]:
    """Replay each recorded run through a History and categorise its failures anew, each by what came before it."""
    found = []
    for scene in store.scenes():
        history = History()
        for record in store.read(scene):
            event = record.event
            if isinstance(event, Failure):
                categorization = categorize(event, history)
                event = msgspec.structs.replace(event, categorization=categorization)
                if record.label is not None:
                    found.append(
                        Verdict(scene, record.case, record.label, record.held_out, categorization, record.made)
                    )
            history.observe(event)
    return found


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of right answers.

    Attributes:
        failures: How many were judged.
        category: Share with the right category.
        layer: Share with the right layer.
        structured: How many have structured evidence.
        structured_layer: Share of those with the right layer.
        unknown: How many were called unknown.
    """

    failures: int
    category: float
    layer: float
    structured: int
    structured_layer: float
    unknown: int


def score(judged: Sequence[Verdict]) -> Score:
    """Count the right answers."""
    structured = [verdict for verdict in judged if verdict.label.structured]
    return Score(
        len(judged),
        sum(verdict.right for verdict in judged) / max(len(judged), 1),
        sum(verdict.right_layer for verdict in judged) / max(len(judged), 1),
        len(structured),
        sum(verdict.right_layer for verdict in structured) / max(len(structured), 1),
        sum(verdict.found.category == Category.unknown.value for verdict in judged),
    )


def markdown(judged: Sequence[Verdict]) -> str:
    """The scores, the confusion table and the mistakes."""
    rows = [
        "| part | failures | right category | right layer | structured evidence | their right layer | `unknown` |",
        "|---|---|---|---|---|---|---|",
    ]
    parts = {
        "all": judged,
        "development (two thirds)": [verdict for verdict in judged if not verdict.held_out],
        "held out (one third)": [verdict for verdict in judged if verdict.held_out],
    }
    for name, part in parts.items():
        got = score(part)
        rows.append(
            f"| {name} | {got.failures} | {got.category:.1%} | {got.layer:.1%} | {got.structured} "
            f"| {got.structured_layer:.1%} | {got.unknown} |"
        )
    rows += ["", *_confusion(judged), "", *_mistakes(judged)]
    return "\n".join(rows) + "\n"


def _confusion(judged: Sequence[Verdict]) -> list[str]:
    counts = Counter((verdict.label.category, verdict.found.category) for verdict in judged)
    rows = ["| injected | failures | found as |", "|---|---|---|"]
    for category in Category:
        found = {said: count for (injected, said), count in counts.items() if injected == category.value}
        if found:
            ranked = sorted(found.items(), key=lambda item: (item[0] != category.value, -item[1], item[0]))
            said = ", ".join(f"`{name}` {count}" for name, count in ranked)
            rows.append(f"| `{category.value}` | {sum(found.values())} | {said} |")
    missing = [f"`{category}`" for category in Category if not any(name == category.value for name, _ in counts)]
    return rows + (["", f"Not in the corpus: {', '.join(missing)}."] if missing else [])


def _mistakes(judged: Sequence[Verdict]) -> list[str]:
    wrong = [verdict for verdict in judged if not verdict.right]
    if not wrong:
        return ["No failure got a wrong category."]
    rows = ["| wrong | made by | injected | found as | by rule |", "|---|---|---|---|---|"]
    rows += [
        f"| {verdict.case} | {' '.join(verdict.made.split()).replace('|', chr(92) + '|')[:160]} "
        f"| `{verdict.label.category}` | `{verdict.found.category}` | {verdict.found.rule or '–'} |"
        for verdict in wrong
    ]
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Judge the kept corpus and print the table.

    Returns:
        0 when at least 95 % have the right category and all with structured evidence the right layer; else 1.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--development", action="store_true", help="leave out the held-out third, to work on rules")
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/categorization.md")
    asked = parser.parse_args(arguments)
    judged = verdicts()
    if asked.development:
        judged = [verdict for verdict in judged if not verdict.held_out]
    table = markdown(judged)
    print(table)
    if asked.write_docs:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(_BEGIN)
        after = rest.partition(_END)[2]
        DOCUMENT.write_text(f"{before}{_BEGIN}\n\n{table}\n{_END}{after}", encoding="utf-8")
    got = score(judged)
    return int(got.category < 0.95 or got.structured_layer < 1.0)


if __name__ == "__main__":
    sys.exit(main())
