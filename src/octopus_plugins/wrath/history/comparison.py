"""Whether an app fails more often on one node than on the others: what a denial rests on.

The counts of a node and of all others are of the same stretch of time, in which both sides ended tries: an app whose
first inputs are bad fails everywhere at first, and whoever came first must not look worse for it. Only the first tries
of tasks are compared: retries are led away from where they failed, so that what fails at its first try and ends well at
its second would make the node of the first tries look bad.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from octopus_plugins.wrath.history.lru import Recent

MAX_SPELLS = 256
"""Nodes per app of which failures are remembered."""

CLEAN = 1
"""First tries that other nodes must have ended well where there is no stretch of time to compare: they may be busy with
retries."""

USEFUL = 0.1
"""Share of first tries from which on a node that fails the others is worth having: to deny it costs what it does."""

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
        cured_here: Tasks that failed on another node and then ended well here.
        failed_elsewhere: Failures, on other nodes, of tasks that failed here before.
    """

    good: int = 0
    bad: int = 0
    good_before: int = 0
    bad_before: int = 0
    cured: int = 0
    cured_here: int = 0
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
            spell = replace(spell or Spell(), good=0, bad=0, good_before=self.good, bad_before=self.bad)
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
        """Whether the app fails on a node nearly always, and significantly more often than on the others.

        By Fisher's test, on all tries of the same stretch of time. A node that fails at once has no such stretch: it
        has had its share of the work before any other node ended a task. There the sign test shows it, on the tasks
        that moved from the node to others, where nothing ended well on it and first tries failed on no other.

        Args:
            host: The node.
            level: Probability of such a difference by chance below which it counts.
            minimum: First tries that each side must have ended.
        """
        spell = self.nodes.get(host)
        if spell is None or spell.good > USEFUL * (spell.good + spell.bad):
            return False
        good, bad = self.elsewhere(spell)
        if spell.good + spell.bad >= minimum and good + bad >= minimum:
            return fisher(spell.bad, spell.good, bad, good) < level
        return self._fails_alone(spell, minimum) and sign_test(spell.cured, spell.cured_here) < level

    def _fails_alone(self, spell: Spell, minimum: int) -> bool:
        """Whether nothing ended well on a node, and first tries on others have always ended well."""
        if spell.good or spell.cured_here or len(self.nodes) > 1:
            return False
        return self.good >= CLEAN and spell.cured >= minimum


def sign_test(this_way: int, other_way: int) -> float:
    """The one-sided p-value of the sign test: that so many of all go this way by chance.

    Args:
        this_way: Tasks that failed on the node and ended well elsewhere.
        other_way: Tasks that failed elsewhere and ended well on the node.
    """
    if this_way <= other_way:
        return 1.0
    total = this_way + other_way
    term = tail = math.exp(_log_choose(total, this_way) - total * math.log(2))
    for count in range(this_way, total):
        term *= (total - count) / (count + 1)
        tail += term
        if term <= NEGLIGIBLE * tail:
            break
    return min(tail, 1.0)


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
