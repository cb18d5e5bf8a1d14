"""Processes of an endpoint that are killed: each at several moments."""

from __future__ import annotations

from benchmarks.harmless.compute.case import Case, Deed, Moment, Step, Target

SHORT_NAMES = {
    Target.USER_ENDPOINT: "uep",
    Target.INTERCHANGE: "interchange",
    Target.MANAGER: "manager",
    Target.WORKER: "worker",
}

WHEN = {
    Moment.TAKEN: "just after the tasks were taken, before their acknowledgement",
    Moment.ACKNOWLEDGED: "just after the acknowledgement",
    Moment.RUNNING: "in the middle of a task",
    Moment.ANSWERED: "just after the first result",
}


def _kill(target: Target, at: Moment, after: float = 0.0, retries: int = 0) -> Case:
    offset = f"+{after * 1000:.0f}ms" if after else ""
    name = f"kill-{SHORT_NAMES[target]}-{at.value}{offset}" + (f"-retries-{retries}" if retries else "")
    when = WHEN[at] + (f" and {after:g} s" if after else "")
    title = f"the {target.value} is killed {when}" + (f", with {retries} retries" if retries else "")
    return Case(name, title, (Step(at, Deed.KILL, target, after),), retries=retries)


CASES = (
    *(_kill(Target.USER_ENDPOINT, at) for at in WHEN),
    # The host's period of acknowledging, in steps.
    *(_kill(Target.USER_ENDPOINT, Moment.TAKEN, after) for after in (0.15, 0.3, 0.45)),
    _kill(Target.USER_ENDPOINT, Moment.ANSWERED, 0.25),
    *(_kill(Target.INTERCHANGE, at) for at in WHEN),
    *(_kill(Target.MANAGER, at) for at in WHEN),
    _kill(Target.MANAGER, Moment.RUNNING, retries=2),
    # A worker that has nothing to do is not what this is about: it is killed under a task.
    *(_kill(Target.WORKER, at) for at in (Moment.RUNNING, Moment.ANSWERED)),
    _kill(Target.WORKER, Moment.RUNNING, retries=2),
    Case(
        "kill-worker-running-executor-retries-0",
        "the worker is killed in the middle of a task, with OctopusExecutor(retries=0)",
        (Step(Moment.RUNNING, Deed.KILL, Target.WORKER),),
        executor_retries=0,
    ),
    Case(
        "kill-manager-of-two",
        "one of two blocks loses its manager in the middle of a task, with 2 retries",
        (Step(Moment.RUNNING, Deed.KILL, Target.MANAGER),),
        blocks=2,
        workers=1,
        retries=2,
    ),
)
