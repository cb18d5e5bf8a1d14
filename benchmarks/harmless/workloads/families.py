"""Each kind of exception has an app of its own, which fails for half of its inputs."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.harmless.kinds import FAMILIES, KINDS
from benchmarks.harmless.trial import Trial
from benchmarks.harmless.workload import Size, Workload


def half(kind: str, number: int, seconds: float) -> int:
    """Fails for odd inputs."""
    time.sleep(seconds)
    if number % 2:
        KINDS[kind][0](number)
    return number


def exits(number: int, seconds: float) -> str:
    """A command that exits with statuses of its own for odd inputs."""
    return f"sleep {seconds}; exit {(number % 2) * (1 + number % 7)}"


def leaves_no_output(number: int, seconds: float, outputs: tuple[object, ...] = ()) -> str:
    """A command that ends well, and for odd inputs without its output."""
    return f"sleep {seconds}; [ {number % 2} = 1 ] || touch {outputs[0]}"


def family(name: str) -> Callable[[Trial], None]:
    """A body with all kinds of a family."""

    def body(trial: Trial) -> None:
        apps = {kind: trial.app(half, name=f"half_{kind}") for kind in FAMILIES[name]}
        for number in range(trial.size.tasks // len(apps)):
            for kind, app in apps.items():
                error = KINDS[kind][1] if number % 2 else None
                trial.submit(app, kind, number, 0.12, value=number, error=error)

    return body


def commands(trial: Trial) -> None:
    """Bash apps that exit with a status, or without what they should leave."""
    from parsl import File

    status, missing = trial.app(exits, bash=True), trial.app(leaves_no_output, bash=True)
    for number in range(trial.size.tasks // 2):
        trial.submit(status, number, 0.12, value=0, error="BashExitFailure" if number % 2 else None)
        output = File(str(trial.directory / f"output-{number}"))
        error = "MissingOutputs" if number % 2 else None
        trial.submit(missing, number, 0.12, outputs=[output], value=0, error=error)


def _pair(name: str, title: str, body: Callable[[Trial], None], tasks: int, retried: int) -> tuple[Workload, Workload]:
    return (
        Workload(f"kinds-{name}", f"{title}; half of the inputs", body, Size(3, 1, tasks)),
        Workload(f"kinds-{name}-retried", f"{title}; half of the inputs", body, Size(3, 1, retried), retries=2),
    )


WORKLOADS = (
    *_pair("code", "errors of code and data: " + ", ".join(FAMILIES["code"]), family("code"), 168, 84),
    *_pair("outside", "errors of what is around it: " + ", ".join(FAMILIES["outside"]), family("outside"), 170, 85),
    *_pair("commands", "bash apps: exit statuses, missing outputs", commands, 120, 60),
)
