"""What stands still or is cut off for some seconds, and goes on."""

from __future__ import annotations

from benchmarks.harmless.compute.case import Case, Deed, Moment, Step, Target

STILL = 14.0
"""Seconds for which a process stands still: more than the manager's threshold would be long, less than HTEX's."""

CUT = 8.0

CASES = (
    *(
        Case(
            f"freeze-{name}",
            f"the {target.value} stands still for {STILL:g} s in the middle of a task",
            (Step(Moment.RUNNING, Deed.FREEZE, target, seconds=STILL),),
        )
        for name, target in (
            ("uep", Target.USER_ENDPOINT),
            ("interchange", Target.INTERCHANGE),
            ("manager", Target.MANAGER),
            ("worker", Target.WORKER),
        )
    ),
    Case(
        "cut-endpoint",
        f"the endpoint has no way to RabbitMQ for {CUT:g} s",
        (Step(Moment.RUNNING, Deed.CUT_ENDPOINT, seconds=CUT),),
    ),
    Case(
        "cut-endpoint-taken",
        f"the endpoint loses its way to RabbitMQ for {CUT:g} s before the acknowledgement of its tasks",
        (Step(Moment.TAKEN, Deed.CUT_ENDPOINT, seconds=CUT),),
    ),
    Case(
        "cut-client",
        f"the SDK has no way to RabbitMQ for {CUT:g} s",
        (Step(Moment.RUNNING, Deed.CUT_CLIENT, seconds=CUT),),
    ),
    Case(
        "cut-broker",
        f"the broker of ours is away for {CUT:g} s",
        (Step(Moment.RUNNING, Deed.CUT_BROKER, seconds=CUT),),
    ),
    Case("no-broker", "the broker of ours is never there", broker=False),
    Case(
        "full-disk",
        "the endpoint's disk is full while tasks are taken and answered; then a user endpoint is killed",
        (
            Step(Moment.SUBMITTED, Deed.FILL_DISK, seconds=6.0),
            Step(Moment.SUBMITTED, Deed.SUBMIT),
            # A second later they have been acknowledged: before that it would be chance who gets them again.
            Step(Moment.RUNNING, Deed.KILL, Target.USER_ENDPOINT, after=1.0),
        ),
        # More than the rest of a page of each file, which a file may still grow into.
        tasks=30,
        seconds=0.3,  # the first ones have all been answered when the user endpoint is killed
        disk=48,
    ),
)
