"""Whether an app fails more often on one node than on the others: what a denial rests on.

The counts of a node and of all others are of the same stretch of time, in which both sides ended tries: an app whose
first inputs are bad fails everywhere at first, and whoever came first must not look worse for it. Only the first tries
of tasks are compared: retries are led away from where they failed, so that what fails at its first try and ends well at
its second would make the node of the first tries look bad.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from octopus_plugins.wrath.recent import Recent

MAX_SPELLS = 256
"""Nodes per app of which failures are remembered."""

NEGLIGIBLE = 1e-6
"""Share of the sum below which a term of the test is the last one that is added: those after it are smaller still."""


@dataclass(slots=True)
class Spell:
    """How an app has fared on one node since it began to fail there.

    Attributes:
        good: First tries that ended well on the node since.
        bad: First tries that failed on the node since.
        good_before: First tries of the app that had ended well anywhere when the stretch began.
        bad_before: Failures of the app anywhere, likewise.
        cured: Tasks that failed here and then ended well on another node.
        failed_elsewhere: Failures, on other nodes, of tasks that failed here before.
    """

    good: int = 0
    bad: int = 0
    good_before: int = 0
    bad_before: int = 0
    cured: int = 0
    failed_elsewhere: int = 0


@dataclass(slots=True)
class Comparison:
    """How an app fares on each node of an executor in a run, from its first failure on.

    Attributes:
        good: First tries that ended well.
        bad: First tries that failed.
        nodes: What is known of the nodes on which it failed.
    """

    good: int = 0
    bad: int = 0
    nodes: Recent[str, Spell] = field(default_factory=lambda: Recent(MAX_SPELLS, Spell))

    def succeed(self, host: str | None) -> None:
        """Count a first try that ended well."""
        self.good += 1
        spell = self.nodes.get(host) if host else None
        if spell is not None:
            spell.good += 1

    def fail(self, host: str) -> None:
        """Count a first try that failed."""
        spell = self.nodes.get(host)
        if spell is None or not any(self.elsewhere(spell)):
            # Nothing to compare with yet: the stretch begins with this failure.
            cured, failed = (spell.cured, spell.failed_elsewhere) if spell is not None else (0, 0)
            spell = Spell(good_before=self.good, bad_before=self.bad, cured=cured, failed_elsewhere=failed)
        self.bad += 1
        spell.bad += 1
        self.nodes.put(host, spell)

    def forgive(self, host: str) -> None:
        """A node was found to be well again: what it failed before is no evidence any more."""
        self.nodes.pop(host, None)

    def elsewhere(self, spell: Spell) -> tuple[int, int]:
        """What ended well and what failed on the other nodes in the stretch of a node's spell."""
        return self.good - spell.good_before - spell.good, self.bad - spell.bad_before - spell.bad

    def stands_out(self, host: str, *, level: float, minimum: int) -> bool:
        """Whether the app fails on a node significantly more often than on the others.

        Args:
            host: The node.
            level: Probability of such a difference by chance below which it counts.
            minimum: First tries that each side must have ended.
        """
        spell = self.nodes.get(host)
        if spell is None:
            return False
        good, bad = self.elsewhere(spell)
        if spell.good + spell.bad < minimum or good + bad < minimum:
            return False
        return fisher(spell.bad, spell.good, bad, good) < level


def fisher(bad: int, good: int, bad_elsewhere: int, good_elsewhere: int) -> float:
    """The one-sided p-value of Fisher's exact test: that so many failures fall on one side by chance.

    Args:
        bad: Failures here.
        good: Successes here.
        bad_elsewhere: Failures elsewhere.
        good_elsewhere: Successes elsewhere.
    """
    if bad * good_elsewhere <= bad_elsewhere * good:
        return 1.0  # no worse here than elsewhere
    here, failed = bad + good, bad + bad_elsewhere
    total = here + bad_elsewhere + good_elsewhere
    term = math.exp(_log_choose(failed, bad) + _log_choose(total - failed, good) - _log_choose(total, here))
    tail = term
    # More failures here than expected: from here on each term is smaller than the one before.
    for count in range(bad, min(here, failed)):
        term *= (failed - count) * (here - count) / ((count + 1) * (total - failed - here + count + 1))
        tail += term
        if term <= NEGLIGIBLE * tail:
            break
    return min(tail, 1.0)


def _log_choose(total: int, count: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
