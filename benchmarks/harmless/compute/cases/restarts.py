"""Endpoints that are stopped and started, end by themselves when they are idle, or take long to start."""

from __future__ import annotations

from benchmarks.harmless.compute.case import Case, Deed, Moment, Step, Target

RESTART = Step(Moment.RUNNING, Deed.RESTART)
MORE = Step(Moment.SERVING, Deed.SUBMIT)

CASES = (
    Case("restart", "the endpoint is stopped and started in the middle of tasks", (RESTART,)),
    Case(
        "restart-thrice",
        "the endpoint is stopped and started three times in a row, each time in the middle of tasks",
        (RESTART, MORE, RESTART, MORE, RESTART),
        tasks=4,
    ),
    Case(
        "restart-idle",
        "a restart in the middle of tasks, with idle_heartbeats_soft: 2 and then tasks of 20 s",
        (RESTART, MORE),
        tasks=2,
        seconds=20.0,
        idle=2,
        limit=90.0,
    ),
    Case(
        "idle-long-tasks",
        "tasks of 20 s, with idle_heartbeats_soft: 2",
        tasks=4,
        seconds=20.0,
        idle=2,
    ),
    Case(
        "kill-uep-idle",
        "the user endpoint is killed in the middle of tasks of 20 s, with idle_heartbeats_soft: 2, and gets more",
        (Step(Moment.RUNNING, Deed.KILL, Target.USER_ENDPOINT), MORE),
        tasks=2,
        seconds=20.0,
        idle=2,
        limit=90.0,
    ),
    Case(
        "slow-start",
        "each block needs 20 s to start",
        worker_init="sleep 20",
        warm=False,
        seconds=1.0,
    ),
)
