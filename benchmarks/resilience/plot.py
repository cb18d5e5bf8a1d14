"""The plot of the page, as SVG: runs that end well, and makespans, by scenario and system."""

from __future__ import annotations

from html import escape

from benchmarks.resilience.outcomes import Outcomes

# Okabe and Ito's colours, which everybody can tell apart.
_COLOURS = {"ours": "#0072B2", "stock": "#999999", "tuned": "#E69F00", "largest": "#009E73"}
_LEFT, _TOP, _ROW, _PANEL, _GAP, _LABELS = 20, 56, 64, 330, 40, 90


def svg(outcomes: Outcomes) -> str:
    """Draw it: a row for each scenario, in it a bar for each system; left the share of runs, right the makespan."""
    width = _LEFT + _LABELS + 2 * _PANEL + _GAP + 40
    height = _TOP + _ROW * len(outcomes.scenarios) + 20
    cells = {
        (scenario, system): outcomes.cell(scenario, system)
        for scenario in outcomes.scenarios
        for system in outcomes.systems
    }
    longest = max((cell.makespan.high for cell in cells.values() if cell.makespan is not None), default=1.0)
    first, second = _LEFT + _LABELS, _LEFT + _LABELS + _PANEL + _GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(first, 20, "Runs that end well", 'font-weight="bold"'),
        _text(second, 20, "Makespan of those, s (median, range)", 'font-weight="bold"'),
    ]
    for number, system in enumerate(outcomes.systems):
        x = first + number * 80
        lines.append(f'<rect x="{x}" y="30" width="10" height="10" fill="{_COLOURS[system]}"/>')
        lines.append(_text(x + 14, 39, system))
    bar = (_ROW - 14) / max(len(outcomes.systems), 1)
    for row, scenario in enumerate(outcomes.scenarios):
        top = _TOP + row * _ROW
        lines.append(_text(_LEFT, top + _ROW / 2, scenario))
        for number, system in enumerate(outcomes.systems):
            cell, y = cells[scenario, system], top + number * bar
            colour = _COLOURS[system]
            if cell.runs:
                share = cell.ended_well / cell.runs
                lines.append(_bar(first, y, share * (_PANEL - 40), bar, colour))
                lines.append(_text(first + share * (_PANEL - 40) + 4, y + bar - 2, f"{share:.0%}", 'font-size="10"'))
            if cell.makespan is not None:
                scale = (_PANEL - 40) / longest
                lines.append(_bar(second, y, cell.makespan.median * scale, bar, colour))
                middle = y + bar / 2 - 0.5
                begin, end = second + cell.makespan.low * scale, second + cell.makespan.high * scale
                lines.append(
                    f'<line x1="{begin:.1f}" x2="{end:.1f}" y1="{middle:.1f}" y2="{middle:.1f}" stroke="black"/>'
                )
                lines.append(_text(end + 4, y + bar - 2, f"{cell.makespan.median:.1f}", 'font-size="10"'))
            elif cell.runs:
                said = "hung" if cell.hung else "none ended well"
                lines.append(_text(second + 2, y + bar - 2, said, 'font-size="10" fill="#666666"'))
    return "\n".join([*lines, "</svg>", ""])


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height - 1:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, said: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(said)}</text>'
