"""The goals of issue 3, each with whether it is met and by how much."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.resilience.outcomes import Outcomes, Run
from benchmarks.resilience.systems import PEERS, RETRIES
from octopus_plugins.wrath import Category, Policy

OURS, STOCK, QUIET = "ours", "stock", "none"

WELL, DOOMED, SLOWER = 0.99, 0.3, 1.05

MINIMUM_SEEDS = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal, and what was measured.

    Attributes:
        name: What the goal is about.
        goal: What must be reached, in words.
        value: What was, in words.
        met: Whether that is enough; None where these runs cannot tell.
        margin: By how much, in words.
    """

    name: str
    goal: str
    value: str
    met: bool | None
    margin: str = ""

    @property
    def text(self) -> str:
        """Met, missed or open."""
        word = {True: "met", False: "**missed**", None: "not measured"}[self.met]
        return f"{word} ({self.margin})" if self.margin else word


def verdicts(outcomes: Outcomes) -> list[Verdict]:
    """All goals that these runs say something of."""
    if OURS not in outcomes.systems:
        return []
    return [
        _ending_well(outcomes),
        *_doomed(outcomes),
        _tries(outcomes),
        *_makespans(outcomes),
        _hangs(outcomes),
        *_overhead(outcomes),
    ]


def allowed_tries(category: str) -> int:
    """How many tries the built-in policy gives a doomed task of this category, in a run with RETRIES."""
    entry = Policy.default().entry(Category[category])
    if entry.action == "terminate":
        return 1
    limits = [entry.maximum_attempts, entry.confirm, RETRIES + 1 if entry.charge else 0]
    return min(limit for limit in limits if limit)


def _ending_well(outcomes: Outcomes) -> Verdict:
    runs = [run for scenario in outcomes.scenarios if scenario != QUIET for run in outcomes.of(scenario, OURS)]
    name, goal = "runs that end well, all scenarios with failures", f"≥ {WELL:.0%} over ≥ {MINIMUM_SEEDS} seeds"
    if not runs:
        return Verdict(name, goal, "–", None)
    well = sum(run.ended_well for run in runs)
    enough = len(outcomes.seeds) >= MINIMUM_SEEDS
    value = f"{well} of {len(runs)} ({well / len(runs):.1%}), {len(outcomes.seeds)} seeds"
    met = well / len(runs) >= WELL
    return Verdict(name, goal, value, met if enough or not met else None, "" if enough else "too few seeds")


def _doomed(outcomes: Outcomes) -> list[Verdict]:
    found = []
    for scenario in outcomes.scenarios:
        ratios = outcomes.paired(scenario, OURS, STOCK, lambda run: run.seconds_to_failure, well=False)
        if ratios:
            ratio = statistics.median(ratios)
            name = f"{scenario}: time to failure of doomed tasks, ours / stock"
            found.append(
                Verdict(name, f"≤ {DOOMED} ×", f"{ratio:.3f} ×", ratio <= DOOMED, f"{ratio / DOOMED:.2f} × the goal")
            )
    return found


def _tries(outcomes: Outcomes) -> Verdict:
    name, goal = "tries of doomed tasks", "no more than the policy says"
    spent = [
        (task["failed_tries"], allowed_tries(task["doomed"]), f"{run.scenario}/{run.seed}/{task['name']}")
        for run in outcomes.runs
        if run.system == OURS
        for task in run.tasks
        if task["doomed"]
    ]
    if not spent:
        return Verdict(name, goal, "–", None)
    over = [f"{where} {tries} of {allowed}" for tries, allowed, where in spent if tries > allowed]
    value = f"{sum(tries for tries, _, _ in spent)} of {sum(allowed for _, allowed, _ in spent)} allowed"
    return Verdict(name, goal, value, not over, "; ".join(over[:3]))


def _makespans(outcomes: Outcomes) -> list[Verdict]:
    found = []
    for scenario in outcomes.scenarios:
        if scenario == QUIET:
            continue
        name, goal = f"{scenario}: makespan, ours / best peer", f"≤ {SLOWER} ×"
        peers = [peer for peer in PEERS if peer in outcomes.systems]
        peer = outcomes.best_peer(scenario, peers)
        if peer is None:
            well = outcomes.cell(scenario, OURS).ended_well > 0
            found.append(Verdict(name, goal, "fewer than half of any peer's runs end well", well or None))
            continue
        ratios = outcomes.paired(scenario, OURS, peer, _makespan)
        if not ratios:
            found.append(Verdict(name, goal, "ours never ended well", met=False))
            continue
        ratio = statistics.median(ratios)
        value = f"{ratio:.3f} × ({peer}; {min(ratios):.2f} – {max(ratios):.2f})"
        found.append(Verdict(name, goal, value, ratio <= SLOWER, f"{ratio / SLOWER:.2f} × the goal"))
    return found


def _hangs(outcomes: Outcomes) -> Verdict:
    hung = [f"{run.scenario}/{run.seed}" for run in outcomes.runs if run.system == OURS and run.hung]
    return Verdict("runs of ours that hang", "none", str(len(hung)), not hung, "; ".join(hung[:5]))


def _overhead(outcomes: Outcomes) -> list[Verdict]:
    """Ours against stock where nothing fails. There the peers differ from stock by noise alone: that is the noise."""
    ratios = outcomes.paired(QUIET, OURS, STOCK, _makespan)
    if not ratios:
        return []
    noise = [
        ratio
        for peer in PEERS
        if peer != STOCK and peer in outcomes.systems
        for ratio in outcomes.paired(QUIET, peer, STOCK, _makespan)
    ]
    name, goal = "none: makespan, ours / stock", "within the range of the other peers / stock, pair by pair"
    ratio = statistics.median(ratios)
    value = f"{ratio:.3f} × ({min(ratios):.3f} – {max(ratios):.3f})"
    if not noise:
        return [Verdict(name, goal, value, None, "no other peer ran")]
    return [Verdict(name, goal, value, ratio <= max(noise), f"noise {min(noise):.3f} – {max(noise):.3f} ×")]


def _makespan(run: Run) -> float | None:
    return run.makespan
