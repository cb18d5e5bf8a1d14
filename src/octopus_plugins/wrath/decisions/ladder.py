"""Where a retry goes: the rungs of a category in their order, each taken or passed over with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from octopus_plugins.events import Placement, Pool, Rung
from octopus_plugins.wrath.decisions.context import Case
from octopus_plugins.wrath.decisions.ranking import preferred
from octopus_plugins.wrath.decisions.resources import larger_resources
from octopus_plugins.wrath.policy.category import OTHER_BLOCK, OTHER_EXECUTOR, OTHER_NODE, RUNGS, SAME_NODE
from octopus_plugins.wrath.rules.rule import size
from octopus_plugins.wrath.taxonomy.categories import Category, Trait

MAX_AVOIDED = 16
"""Hosts named in a placement; the ones tried last matter most, and events are bounded."""

AVOID_NOT, AVOID_UNKNOWN, AVOID_SUSPECT, AVOID_LACKING = 0.001, 0.2, 3.0, 8.0
"""Seconds that a retry waits for another node while none has room: where the app has ended well on this one, none to
speak of; where it has not anywhere yet, doubled with each failure; where first tries end well on others only; and where
the node lacks what it needs."""

MAX_DOUBLINGS = 3
"""How often at most."""

TRIED_IN_VAIN = 2
"""Retries on a rung after which a further one comes first."""

MOVED_IN_VAIN = 10
"""Tasks that failed in the same way on a second node, from which on a last retry goes back to where its task was, as
long as none has ended well on a node that was new to it: nodes may have to be warmed up, each by a first try."""

MAX_WAITS = 2
FIRST_WAIT = 0.5
"""How often, and how long at first (seconds; then twice that), a task waits for a pool's other nodes to appear."""

POOR = 0.2
POOR_FAILURES = 10
"""Success rate below which, and failures from which on, an executor is passed over while another one may help."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """A rung that can be taken, or not.

    Attributes:
        possible: Whether a retry may go there.
        reason: Why, or why not.
        executor: The executor meant.
        wait: Seconds that the place needs before it can help.
    """

    possible: bool
    reason: str
    executor: str | None = None
    wait: float = 0.0


class Climb(msgspec.Struct, frozen=True, gc=False):
    """The ladder after it was climbed.

    Attributes:
        placement: Where the retry goes; None where no rung can help.
        rungs: Every rung with the reason why it was taken or passed over.
        wait: Seconds that the place needs before it can help.
    """

    placement: Placement | None
    rungs: tuple[Rung, ...]
    wait: float = 0.0


def climb(case: Case) -> Climb:
    """Find the rung that helps best: the first one that can help and was not tried in vain twice already."""
    steps = {name: _CONSIDER[name](case) for name in case.entry.rungs}
    possible = [name for name in case.entry.rungs if steps[name].possible]
    if SAME_NODE in possible and _goes_back(case):
        steps |= {name: replace(steps[name], reason="what failed like it went there in vain") for name in possible}
        steps[SAME_NODE] = replace(steps[SAME_NODE], reason="none like it ended well on a node that was new to it")
        possible = [SAME_NODE]
    if OTHER_EXECUTOR in possible and _suspects_memory(case):
        further = f"{steps[OTHER_EXECUTOR].reason}; its worker died {case.attempts + 1} times, and nobody saw of what"
        steps |= {
            name: replace(steps[name], reason=f"{steps[name].reason}, but it was lost twice") for name in possible
        }
        steps[OTHER_EXECUTOR] = replace(steps[OTHER_EXECUTOR], reason=f"{further}: it may need more memory")
        possible = [OTHER_EXECUTOR]
    # What lies with the task may need the same place again: what it left there. Nothing says that the place is bad.
    limit = 1 if case.categorization.scope == "task" and not _is_suspect(case) else TRIED_IN_VAIN
    fresh = [name for name in possible if _tried(case, name) < limit]
    taken = next(iter(fresh or possible), None)
    if taken is None and _may_stay(case):
        taken = SAME_NODE
        steps[SAME_NODE] = Step(True, "no other place can help, and the task has retries left", case.failure.executor)
    rungs = tuple(_rung(case, name, steps, possible, taken) for name in (*steps, *_left_out(case, steps)))
    if taken is None:
        return Climb(None, rungs)
    return Climb(_placement(case, taken, steps[taken].executor), rungs, steps[taken].wait)


def _suspects_memory(case: Case) -> bool:
    """Whether the worker died under the task twice and nobody saw why: most often that is memory."""
    return case.category is Category.worker_lost and case.attempts + 1 >= TRIED_IN_VAIN


def _tried(case: Case, rung: str) -> int:
    """How often a retry for this category went to a rung before."""
    return case.task.rungs.get((case.categorization.category, rung), 0) if case.task else 0


def _may_stay(case: Case) -> bool:
    """Whether a plain retry is better than none: anywhere but in an executor that has given up for good."""
    return case.category is not Category.executor_bad_state


def _left_out(case: Case, steps: Mapping[str, Step]) -> list[str]:
    return [name for name in RUNGS if name not in steps]


def _rung(case: Case, name: str, steps: Mapping[str, Step], possible: Sequence[str], taken: str | None) -> Rung:
    step = steps.get(name)
    if step is None:
        return Rung(name=name, reason=f"the policy has no such rung for {case.categorization.category}")
    if name == taken:
        return Rung(name=name, taken=True, reason=step.reason, executor=step.executor)
    if name not in possible:
        return Rung(name=name, reason=step.reason, executor=step.executor)
    in_vain = taken is not None and _tried(case, name) > 0
    reason = f"it was tried in vain ({_tried(case, name)} ×)" if in_vain else "not needed"
    return Rung(name=name, reason=reason)


def passed_over(case: Case, reason: str) -> tuple[Rung, ...]:
    """All rungs of a task that is not retried whatever the place."""
    return tuple(Rung(name=name, reason=reason) for name in case.entry.rungs)


def _placement(case: Case, rung: str, executor: str | None) -> Placement:
    here = case.failure.host or ""
    tried = tuple(sorted(case.hosts_tried - {here})[: MAX_AVOIDED - 1])
    avoid: tuple[str, ...] = ()
    if rung == SAME_NODE and _goes_back(case):
        new = tuple(host for host in case.hosts if host not in case.hosts_tried)[-MAX_AVOIDED:]
        return Placement(rung=rung, executor=executor, avoid_hosts=new, avoid_for=_patience(case))
    if rung == OTHER_NODE:
        avoid = (here, *tried)
    elif rung == OTHER_EXECUTOR and here and case.categorization.scope == "node":
        avoid = (here, *tried)  # executors may share nodes
    seconds = _patience(case)
    if rung == OTHER_BLOCK:
        return Placement(rung=rung, executor=executor, avoid_blocks=(case.failure.block or "",), avoid_for=seconds)
    prefer = preferred(case, rung, executor, avoid)
    avoid_for = seconds if avoid else 0.0
    return Placement(rung=rung, executor=executor, avoid_hosts=avoid, avoid_for=avoid_for, prefer_hosts=prefer)


def _goes_back(case: Case) -> bool:
    """Whether the last retry of a task goes to a node that it knows; see MOVED_IN_VAIN."""
    if not (case.is_last_retry and case.steerable and case.failure.host and case.categorization.scope == "task"):
        return False
    defect = case.history.defect(case.failure)
    return defect is not None and defect.confirmed >= MOVED_IN_VAIN and not defect.moved


def _patience(case: Case) -> float:
    """Seconds that a retry waits for another node at most, while none has room: longer where the place is suspect."""
    history, failure = case.history, case.failure
    here = history.app_on(failure.run_id, failure.app, failure.host)
    if here is not None and here.successes:
        return AVOID_NOT
    if Trait.lasting in case.category.traits and case.categorization.scope == "node" and case.is_firm:
        return AVOID_LACKING
    if case.is_last_retry or _is_suspect(case):
        return AVOID_SUSPECT
    return round(min(AVOID_UNKNOWN * 2.0 ** min(case.attempts, MAX_DOUBLINGS), AVOID_SUSPECT), 3)


def _is_suspect(case: Case) -> bool:
    """Whether first tries of the app end well on other nodes, and nothing of it ended well on this one."""
    history, failure = case.history, case.failure
    here = history.app_on(failure.run_id, failure.app, failure.host)
    comparison = history.comparison(failure.run_id, failure.executor, failure.app)
    return (here is None or not here.successes) and comparison is not None and comparison.good > 0


def _same_node(case: Case) -> Step:
    failure, host = case.failure, case.failure.host or "the same node"
    denied = failure.host and case.history.is_denied(failure.host, failure.time, failure.run_id, failure.app)
    if denied and case.steerable:
        return Step(False, f"{host} is denied")
    if Trait.lasting in case.category.traits and case.categorization.scope == "node":
        return Step(False, f"{host} will not have it at the next try either")
    if case.category is Category.executor_bad_state:
        return Step(False, f"{case.executor_name} takes no more tasks")
    if case.category is Category.memory_exhausted:
        if asked := larger_resources(case):
            more = ", ".join(f"{key} {value}" for key, value in asked.items())
            return Step(True, f"it asks for more there ({more})", failure.executor)
        if not case.categorization.evidence.get("neighbours"):
            return Step(False, f"{host} has no more memory at the next try either")
        if case.attempts:
            return Step(False, f"{host} was given time once already")
        reason = f"other tasks had used up the memory of {host}"
        return Step(True, reason, failure.executor, wait=case.entry.initial_interval)
    return Step(True, f"it may pass on {host}", failure.executor)


def _other_node(case: Case) -> Step:
    failure = case.failure
    if case.category is Category.executor_bad_state:
        return Step(False, f"{case.executor_name} takes no more tasks")
    if case.pool is None:
        return Step(False, f"nothing is known of {case.executor_name}")
    if not case.pool.steerable:
        return Step(False, f"{case.executor_name} cannot be told to keep off a node")
    if failure.host is None:
        return Step(False, "the node that it failed on is not known")
    host = case.other_host(untried=True)
    if host is None:
        return _no_other_node(case, case.pool)
    if case.category is Category.memory_exhausted:
        return _more_memory_on(case, host)
    return Step(True, f"{host} is up and was not tried", failure.executor)


def _no_other_node(case: Case, pool: Pool) -> Step:
    known = len(case.hosts) - (case.failure.host in case.hosts)
    if known:
        return Step(False, f"the other {known} known nodes of {case.executor_name} were tried, are denied or down")
    # At the start of a run a broken node can fail its first task before the other nodes have said a word.
    coming = pool.maximum_nodes or 1
    by_block = OTHER_BLOCK in case.entry.rungs and case.other_block() is not None  # which may be on any node
    if coming > 1 and case.attempts < MAX_WAITS and not by_block:
        reason = f"no other node of {case.executor_name} was seen yet, and up to {coming} may come"
        return Step(True, reason, case.failure.executor, wait=FIRST_WAIT * 2**case.attempts)
    return Step(False, f"{case.executor_name} has no other known node")


def _more_memory_on(case: Case, host: str) -> Step:
    if case.pool is not None and case.pool.memory_per_worker:
        bound = size(case.pool.memory_per_worker)
        return Step(False, f"every worker of {case.executor_name} may use {bound}")
    requested = case.categorization.evidence.get("requested")
    here = case.failure.node.memory_total if case.failure.node else None
    known = case.history.host(host)
    there = known.node.memory_total if known and known.node else None
    if there is not None and isinstance(requested, (int, float)) and requested > there:
        return Step(False, f"{host} has {size(there)}, and {size(requested)} were asked for")
    if here is None or there is None:
        return Step(True, f"{host} may have more memory", case.failure.executor)
    if there > here:
        return Step(True, f"{host} has {size(there)} in place of {size(here)}", case.failure.executor)
    if case.categorization.evidence.get("neighbours"):
        return Step(True, f"{host} may have fewer tasks at once", case.failure.executor)
    return Step(False, f"{host} has no more memory than {case.failure.host}")


def _other_block(case: Case) -> Step:
    if case.category is Category.executor_bad_state:
        return Step(False, f"{case.executor_name} takes no more tasks")
    if not case.steerable:
        return Step(False, f"{case.executor_name} cannot be told to keep off a block")
    if case.failure.block is None:
        return Step(False, "the block that it failed on is not known")
    block = case.other_block()
    if block is None:
        return Step(False, f"no other block of {case.executor_name} runs")
    return Step(True, f"block {block} runs as well as block {case.failure.block}", case.failure.executor)


def _other_executor(case: Case) -> Step:
    ladder, here = case.policy.ladder, case.failure.executor
    if not ladder:
        return Step(False, "the policy names no ladder of executors; `ladder=` would")
    if here not in ladder:
        return Step(False, f"{case.executor_name} is not on the ladder")
    later = ladder[ladder.index(here) + 1 :]
    if case.category is Category.executor_bad_state and not (case.task and case.task.count("memory_exhausted")):
        later += ladder[: ladder.index(here)][::-1]  # what is smaller is better than nothing
    if not later:
        return Step(False, f"{case.executor_name} is the last of the ladder")
    reasons: list[str] = []
    poor: Step | None = None
    for label in later:
        step = _suits(case, label)
        if not step.possible:
            reasons.append(step.reason)
        elif not _fares_badly(case, label):
            return replace(step, reason="; ".join([step.reason, *reasons]))
        else:
            reasons.append(f"hardly anything ends well in {label!r} of late")
            poor = poor or step
    return poor or Step(False, "; ".join(reasons))


def _fares_badly(case: Case, label: str) -> bool:
    tally = case.history.executor(case.failure.run_id, label)
    return tally is not None and tally.failures >= POOR_FAILURES and tally.score(case.failure.time) < POOR


def _suits(case: Case, label: str) -> Step:
    pools = case.run.pools if case.run else {}
    pool = pools.get(label)
    if pools and pool is None:
        return Step(False, f"this run has no executor {label!r}")
    if case.run is not None and label in case.run.bad_pools:
        return Step(False, f"{label!r} has given up")
    if pool is not None and case.category is Category.memory_exhausted:
        return _more_memory_in(case, pool)
    if pool is not None and case.category is Category.walltime_exceeded and _no_longer(case, pool):
        return Step(False, f"blocks of {label!r} live no longer")
    return Step(True, f"{label!r} comes next on the ladder", label)


def _no_longer(case: Case, pool: Pool) -> bool:
    here = case.pool.walltime if case.pool else None
    return bool(pool.walltime and here and pool.walltime <= here)


def _more_memory_in(case: Case, pool: Pool) -> Step:
    has = pool.memory_per_worker
    if not has:
        return Step(True, f"{pool.label!r} comes next on the ladder", pool.label)
    evidence = case.categorization.evidence
    requested, limit = evidence.get("requested"), evidence.get("limit")
    if isinstance(requested, (int, float)) and requested > has:
        return Step(False, f"{pool.label!r} gives a worker {size(has)}, and {size(requested)} were asked for")
    bound = (case.pool.memory_per_worker if case.pool else None) or limit
    if isinstance(bound, (int, float)) and has <= bound:
        return Step(False, f"{pool.label!r} gives a worker no more than {size(has)}")
    return Step(True, f"{pool.label!r} gives a worker {size(has)}", pool.label)


_CONSIDER = {
    SAME_NODE: _same_node,
    OTHER_NODE: _other_node,
    OTHER_BLOCK: _other_block,
    OTHER_EXECUTOR: _other_executor,
}
