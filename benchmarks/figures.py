"""What a benchmark says: figures with their spread, each beside its goal."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """A measured figure: the median of several measurements, and their range.

    Attributes:
        median: The figure.
        low: The smallest measurement.
        high: The largest.
        count: How many there were.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of some measurements.

        Raises:
            ValueError: There are none.
        """
        measured = sorted(values)
        if not measured:
            raise ValueError("no measurements: every run of the benchmark failed, or --pairs is 0")
        return cls(statistics.median(measured), measured[0], measured[-1], len(measured))


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure must reach.

    Attributes:
        bound: The figure to reach.
        at_least: Whether larger is better; else smaller is.
        source: Where the goal is written down.
    """

    bound: float
    at_least: bool = True
    source: str = "DESIGN §10"

    def verdict(self, value: float) -> str:
        """Whether a figure reaches the goal, and by how much it does or does not."""
        share = value / self.bound
        if (share >= 1) == self.at_least or share == 1:
            return f"met ({share:.2f} × the goal)"
        return f"missed ({share:.2f} × the goal)"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result.

    Attributes:
        name: What was measured.
        value: The measurements.
        unit: ``×`` for ratios, else ``tasks/s``, ``µs``, …
        goal: What it must reach, where there is a goal.
    """

    name: str
    value: Spread
    unit: str
    goal: Goal | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """How some measurements are spread: a histogram, one row for each series.

    Attributes:
        title: What was measured, with its unit.
        bounds: Upper bounds of the bins, ascending; what is above the last is counted apart.
        counts: Of each series, how many measurements fall into each bin, and above.
    """

    title: str
    bounds: tuple[float, ...]
    counts: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, title: str, bounds: Iterable[float], series: dict[str, list[float]]) -> Distribution:
        """Count measurements.

        Args:
            title: What was measured, with its unit.
            bounds: Upper bounds of the bins; a measurement that equals one is within it.
            series: The measurements by name.
        """
        edges = tuple(sorted(bounds))
        counts = {}
        for name, values in series.items():
            found = [0] * (len(edges) + 1)
            for value in values:
                found[bisect.bisect_left(edges, value)] += 1
            counts[name] = tuple(found)
        return cls(title, edges, counts)


@dataclass(frozen=True, slots=True)
class Result:
    """What one entry found.

    Attributes:
        entry: Name of the entry.
        title: What it compares, in one line.
        figures: The lines of its table.
        notes: What a reader must know to judge them; also whatever went wrong.
        raw: Every single measurement, for the JSON file.
        distributions: How single measurements are spread.
    """

    entry: str
    title: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict)
    distributions: tuple[Distribution, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of every entry.

    Attributes:
        pairs: How often each variant runs, in turn with the others; default: as the entry says.
        quick: Much smaller workloads: to see that it works, not for figures to quote.
        scale: Tasks of the entry ``scale``.
        outage: Seconds for which the entry ``memory`` is without its broker.
    """

    pairs: int | None = None
    quick: bool = False
    scale: int = 100_000
    outage: float = 60.0

    def rounds(self, usual: int = 5) -> int:
        """How often each variant runs.

        Args:
            usual: Where the command line does not say it.
        """
        asked = self.pairs if self.pairs is not None else usual
        return min(asked, 2) if self.quick else asked
