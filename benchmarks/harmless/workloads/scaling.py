"""Blocks that come and go, and blocks that stay."""

from __future__ import annotations

import time

from benchmarks.harmless.trial import Trial
from benchmarks.harmless.workload import Blocks, Size, Workload
from benchmarks.harmless.workloads.mishaps import nap


def bursts(trial: Trial) -> None:
    """Work, a pause in which blocks may go, and work again."""
    app = trial.app(nap)
    for number in range(trial.size.tasks // 2):
        trial.submit(app, number, 0.5, value=number)
    trial.wait()
    time.sleep(4.0)  # the pause is part of the workload
    for number in range(trial.size.tasks // 2):
        trial.submit(app, number, 0.5, value=number)


def ebb(trial: Trial) -> None:
    """Much work, then one long task beside which blocks may go."""
    app = trial.app(nap)
    for number in range(trial.size.tasks):
        trial.submit(app, number, 0.5, value=number)
    trial.submit(app, -1, 9.0, value=-1)
    trial.wait()
    trial.submit(app, -2, 0.5, value=-2)


def drops(trial: Trial) -> None:
    """Single tasks now and then, for a pool that stands by."""
    app = trial.app(nap)
    for number in range(trial.size.tasks):
        trial.submit(app, number, 0.5, value=number)
        trial.wait()
        time.sleep(1.0)  # so is this one


ELASTIC = {"max_idletime": 2.0}

WORKLOADS = (
    Workload(
        "scale-simple",
        "strategy simple, up to 3 blocks, two bursts with a pause",
        bursts,
        Size(1, 2, 60),
        blocks=Blocks(1, 0, 3),
        options={"strategy": "simple", **ELASTIC},
        warm=False,
    ),
    Workload(
        "scale-htex",
        "strategy htex_auto_scale, up to 3 blocks, a burst and a long task",
        ebb,
        Size(1, 2, 40),
        blocks=Blocks(1, 0, 3),
        options={"strategy": "htex_auto_scale", **ELASTIC},
        warm=False,
    ),
    Workload(
        "standing",
        "a standing pool of 2 blocks, single tasks now and then",
        drops,
        Size(2, 1, 6),
        blocks=Blocks(2, 2, 3),
        options={"strategy": "htex_auto_scale", **ELASTIC},
    ),
)
