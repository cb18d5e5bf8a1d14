"""All results that were kept, over time, as SVG: a panel for each figure that has a goal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

# Okabe and Ito's colours, which everybody can tell apart.
_MET, _MISSED, _GOAL = "#0072B2", "#D55E00", "#999999"
_COLUMNS, _WIDTH, _HEIGHT = 3, 330, 150
_LEFT, _TOP, _HEAD = 20, 50, 34
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - 80, _HEIGHT - 66


@dataclass(frozen=True, slots=True)
class Point:
    """A figure as it was measured once.

    Attributes:
        time: When, as in ``2026-11-26T12:00:00Z``.
        median: The figure.
        low: The smallest measurement.
        high: The largest.
    """

    time: str
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """A figure over time, beside its goal.

    Attributes:
        entry: Name of the entry.
        figure: What is measured.
        unit: Of its values.
        goal: What it must reach, as it was last set.
        at_least: Whether larger is better.
        points: In the order of time.
    """

    entry: str
    figure: str
    unit: str
    goal: float
    at_least: bool
    points: tuple[Point, ...]

    def meets(self, value: float) -> bool:
        """Whether a value reaches the goal."""
        return value >= self.goal if self.at_least else value <= self.goal


def read(directory: Path) -> list[Series]:
    """The figures with a goal of all results in a directory; those of ``--quick`` are passed over.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is none of ours; names it.
    """
    known: dict[tuple[str, str], Series] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("quick"):
                continue
            for result in content["results"]:
                for figure in result["figures"]:
                    if figure["goal"] is None:
                        continue
                    value, goal = figure["value"], figure["goal"]
                    point = Point(content["time"], value["median"], value["low"], value["high"])
                    key = (result["entry"], figure["name"])
                    before = known[key].points if key in known else ()
                    known[key] = Series(*key, figure["unit"], goal["bound"], goal["at_least"], (*before, point))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no result of `make bench`: {error!r}") from error
    return sorted(known.values(), key=lambda series: (series.entry, series.figure))


def svg(series: Sequence[Series]) -> str:
    """Draw a panel for each series: medians with their ranges, run after run, and the goal."""
    rows = -(-len(series) // _COLUMNS)
    width, height = 2 * _LEFT + _COLUMNS * _WIDTH, _TOP + rows * _HEIGHT + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(_LEFT, 20, "make bench, run after run: median and range; dashed: the goal", 'font-weight="bold"'),
        f'<circle cx="{_LEFT + 4}" cy="34" r="3.5" fill="{_MET}"/>',
        _text(_LEFT + 14, 38, "met"),
        f'<circle cx="{_LEFT + 54}" cy="34" r="3.5" fill="{_MISSED}"/>',
        _text(_LEFT + 64, 38, "missed"),
    ]
    for number, one in enumerate(series):
        left = _LEFT + (number % _COLUMNS) * _WIDTH
        top = _TOP + (number // _COLUMNS) * _HEIGHT
        lines += _panel(one, left, top)
    return "\n".join([*lines, "</svg>", ""])


def _panel(series: Series, left: float, top: float) -> Iterable[str]:
    most = max(series.goal, *(point.high for point in series.points)) * 1.05 or 1.0
    bottom = top + _HEAD + _PLOT_HEIGHT

    def y(value: float) -> float:
        return bottom - max(value, 0.0) / most * _PLOT_HEIGHT

    yield _text(left, top + 14, series.entry, 'font-weight="bold"')
    yield _text(left, top + 27, _short(series.figure), 'font-size="10"')
    yield f'<line x1="{left}" x2="{left + _PLOT_WIDTH}" y1="{bottom}" y2="{bottom}" stroke="black"/>'
    level = y(series.goal)
    yield (
        f'<line x1="{left}" x2="{left + _PLOT_WIDTH}" y1="{level:.1f}" y2="{level:.1f}" stroke="{_GOAL}"'
        ' stroke-dasharray="4 3"/>'
    )
    sign = "≥" if series.at_least else "≤"
    yield _text(left + _PLOT_WIDTH + 4, level + 4, f"{sign} {series.goal:,.4g} {series.unit}", 'font-size="9"')
    step = _PLOT_WIDTH / max(len(series.points), 1)
    for number, point in enumerate(series.points):
        x = left + (number + 0.5) * step
        colour = _MET if series.meets(point.median) else _MISSED
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(point.low):.1f}" y2="{y(point.high):.1f}" stroke="{colour}"'
            ' stroke-opacity="0.5" stroke-width="2"/>'
        )
        told = f"{point.time}: {point.median:,.4g} {series.unit} ({point.low:,.4g} to {point.high:,.4g})"
        yield (
            f'<circle cx="{x:.1f}" cy="{y(point.median):.1f}" r="3.5" fill="{colour}"><title>{escape(told)}</title>'
            "</circle>"
        )
    days = f"{series.points[0].time[:10]} to {series.points[-1].time[:10]}, n = {len(series.points)}"
    yield _text(left, bottom + 13, days, 'font-size="9"')
    yield _text(left + _PLOT_WIDTH - 60, bottom + 13, f"last: {series.points[-1].median:,.4g}", 'font-size="9"')


def _short(name: str, most: int = 58) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _text(x: float, y: float, said: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(said)}</text>'
