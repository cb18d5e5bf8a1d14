"""The matrix of kills, silences and restarts once more, with a second endpoint that a task may climb to."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.harmless.compute.case import Case, Deed, Moment, Step, Target
from benchmarks.harmless.compute.cases import kills, pauses, restarts

LIMIT = 120.0
"""Seconds for answers: an endpoint that is gone is given up after three of its heartbeats, and the other must start."""


def _with_ladder(case: Case) -> Case:
    return replace(case, name=f"ladder-{case.name}", ladder=True, limit=LIMIT)


CASES = (
    *(
        _with_ladder(case)
        for case in (*kills.CASES, *pauses.CASES, *restarts.CASES)
        # What the executor may do is the point here: the engine's retries and its disk stand in the first part.
        if not case.retries and case.executor_retries is None and case.disk is None
    ),
    Case(
        "ladder-kill-endpoint",
        "all processes of the endpoint are killed in the middle of a task, and it stays away",
        (Step(Moment.RUNNING, Deed.KILL, Target.ENDPOINT),),
        ladder=True,
        limit=LIMIT,
    ),
)
