"""What of Parsl's suite ends otherwise, or later, with Octopus than in stock. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.parsl_suite.suite import Case

RATIO = 1.3
SECONDS = 2.0
"""A test is slower where it takes more than so many times stock's time, and more than so many seconds longer."""

REASONS: dict[str, str] = {}
"""Why a test ends otherwise or later, where that is known and meant to stay: by its id, or by what that begins with."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A test in stock and with Octopus.

    Attributes:
        stock: In stock.
        ours: With Octopus; None where it did not run there.
    """

    stock: Case
    ours: Case | None

    @property
    def test(self) -> str:
        """Its id."""
        return self.stock.test

    @property
    def worse(self) -> bool:
        """Whether it passes in stock and not with Octopus."""
        return self.stock.outcome == "passed" and (self.ours is None or self.ours.outcome != "passed")

    @property
    def slower(self) -> bool:
        """Whether it passes in both, and takes too long with Octopus."""
        if self.ours is None or self.stock.outcome != "passed" or self.worse:
            return False
        before, now = self.stock.seconds, self.ours.seconds
        return now > RATIO * before and now > before + SECONDS

    @property
    def differs(self) -> bool:
        """Whether it is worse or slower."""
        return self.worse or self.slower

    @property
    def reason(self) -> str:
        """Why, where that is known."""
        return next((why for begin, why in REASONS.items() if self.test.startswith(begin)), "")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One configuration in stock and in one variant of ours.

    Attributes:
        config: Name of the configuration.
        variant: ``enable`` or ``enable, broker``.
        stock: The tests in stock.
        ours: The same with Octopus.
        again: Those that differed, run once more in both, as pairs; twice where they differed then, too.
    """

    config: str
    variant: str
    stock: Sequence[Case]
    ours: Sequence[Case]
    again: Sequence[Pair] = ()

    @property
    def pairs(self) -> list[Pair]:
        """All tests that stock runs."""
        return paired(self.stock, self.ours)

    @property
    def suspects(self) -> list[Pair]:
        """Those that differ in the first round."""
        return [pair for pair in self.pairs if pair.differs]

    @property
    def differing(self) -> list[Pair]:
        """Those that differ in each round, as they were in the last."""
        suspects = {pair.test for pair in self.suspects}
        rounds: dict[str, list[Pair]] = {}
        for pair in self.again:
            rounds.setdefault(pair.test, []).append(pair)
        return [made[-1] for test, made in rounds.items() if test in suspects and all(pair.differs for pair in made)]

    @property
    def unsteady(self) -> list[Pair]:
        """Those that do not differ in each round, as they were in the first."""
        steady = {pair.test for pair in self.differing}
        return [pair for pair in self.suspects if pair.test not in steady]


def paired(stock: Iterable[Case], ours: Iterable[Case]) -> list[Pair]:
    """Each test that stock runs beside the same test with Octopus.

    Some of Parsl's tests draw their parameters at random, and are named by them: what has no like by its id stands
    beside the next of its function.
    """
    of_stock, of_ours = ({case.test: case for case in cases} for cases in (stock, ours))
    left: dict[str, list[Case]] = {}
    for test, case in of_ours.items():
        if test not in of_stock:
            left.setdefault(test.partition("[")[0], []).append(case)
    found = []
    for test, case in of_stock.items():
        others = left.get(test.partition("[")[0], [])
        found.append(Pair(case, of_ours.get(test) or (others.pop(0) if others else None)))
    return found


def passed(cases: Iterable[Case]) -> int:
    """How many of them passed."""
    return sum(case.outcome == "passed" for case in cases)
