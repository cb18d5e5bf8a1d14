"""Whether the recorded runs, replayed, give the decisions that were made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.resilience.goals import Verdict
from octopus_plugins.streams.run_file import read_file
from octopus_plugins.wrath.policy.data import policy_from_data
from octopus_plugins.wrath.replay.replay import recorded_policy, replay


def replayed(files: Iterable[Path]) -> Verdict:
    """Categorise and decide anew every failure of some recordings, by the policy that each run told.

    Args:
        files: One recording for each run.

    Returns:
        How many decisions came out again exactly.
    """
    runs = failures = same = 0
    for file in files:
        events = read_file(file)
        policy = recorded_policy(events)
        if policy is None:
            continue
        runs += 1
        for each in replay(events, policy_from_data(policy), categorize_again=True):
            failures += 1
            same += each.recorded is not None and not each.differs
    value = f"{same} of {failures} decisions of {runs} runs"
    met = same == failures if failures else None
    return Verdict("decisions replayed from the recorded streams", "all the same", value, met)
