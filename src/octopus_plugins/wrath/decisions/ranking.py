"""Which nodes a retry should rather get: those where tasks end well."""

from __future__ import annotations

from octopus_plugins.wrath.decisions.context import Case
from octopus_plugins.wrath.policy.category import SAME_NODE

MAX_PREFERRED = 8
FAIR = 0.5
"""Success rate below which a node is not preferred to one that nothing is known of."""


def preferred(case: Case, rung: str, executor: str | None, avoid: tuple[str, ...]) -> tuple[str, ...]:
    """The nodes that should get a retry, best first; empty where any node will do.

    Args:
        case: The failure.
        rung: The rung that is taken.
        executor: The executor that gets the retry.
        avoid: Nodes that must not get it.
    """
    failure, history = case.failure, case.history
    if rung == SAME_NODE:
        return (failure.host,) if failure.host and case.steerable and _is_well(case, failure.host) else ()
    if case.categorization.scope not in ("node", "worker") and not case.attempts:
        return ()  # what the task brings along it brings to every node: the first free one is the best
    hosts = history.hosts(failure.run_id, executor)
    ranked = []
    for place, host in enumerate(history.good_hosts(executor)):
        if host in hosts and host not in avoid and case.is_eligible(host):
            here, known = history.app_on(failure.run_id, failure.app, host), history.host(host)
            tallies = (here, known.tally if known is not None else None)
            score = min((tally.score(failure.time) for tally in tallies if tally is not None), default=1.0)
            if score >= FAIR:
                # That this app ended well there says more than that any did.
                unproven = here is None or not here.successes
                ranked.append((unproven, -round(score, 3), place, host))
    return tuple(host for *_, host in sorted(ranked)[:MAX_PREFERRED])


def _is_well(case: Case, host: str) -> bool:
    known = case.history.host(host)
    time, run_id = case.failure.time, case.failure.run_id
    return not case.history.is_denied(host, time, run_id, case.failure.app) and (known is None or known.is_up(time))
