"""Failures that pass: stock Parsl, with enough retries, ends all of these tasks well."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harmless.kinds import KINDS, PASSING
from benchmarks.harmless.recording import MARKERS, next_try
from benchmarks.harmless.trial import Trial
from benchmarks.harmless.workload import Size, Workload

RETRIES = 5
USUAL = Size(3, 2, 150)


def at_last(kind: str, marker: str, fails: int, seconds: float) -> int:
    """Fails a number of times before it ends well."""
    time.sleep(seconds)
    if next_try(marker) <= fails:
        KINDS[kind][0](1)
    return fails


def slow_at_first(marker: str, fails: int) -> int:
    """Takes longer than its walltime a number of times."""
    if next_try(marker) <= fails:
        for _ in range(100):
            time.sleep(0.02)
    return fails


def exits_at_first(marker: str, fails: int) -> str:
    """A command that fails a number of times."""
    return f'printf x >> "${MARKERS}/{marker}"; [ $(wc -c < "${MARKERS}/{marker}") -gt {fails} ]'


def output_at_last(marker: str, fails: int, outputs: tuple[object, ...] = ()) -> str:
    """A command that leaves its output only after a number of tries."""
    return f"{exits_at_first(marker, fails)} && touch {outputs[0]}; true"


def coin(faults: tuple[bool, ...], marker: str, seconds: float) -> int:
    """Fails by chance; the dice are thrown beforehand, for each try."""
    time.sleep(seconds)
    if faults[next_try(marker) - 1]:
        raise RuntimeError("lost the connection to the licence server")
    return len(faults)


def shared(flag: str, seconds: float) -> bool:
    """Needs something that all nodes share and that is away at times."""
    time.sleep(seconds)
    return bool(Path(flag).read_text(encoding="utf-8"))


def at_try(number: int) -> Callable[[Trial], None]:
    """A body in which each kind of failure ends well at this try."""

    def body(trial: Trial) -> None:
        from parsl import File

        fails = number - 1
        apps = {kind: trial.app(at_last, name=f"at_last_{kind}") for kind in PASSING}
        slow, status = trial.app(slow_at_first), trial.app(exits_at_first, bash=True)
        missing = trial.app(output_at_last, bash=True)
        for turn in range(max(1, trial.size.tasks // (len(PASSING) + 3))):
            for kind, app in apps.items():
                trial.submit(app, kind, f"{kind}-{turn}", fails, 0.15, value=fails)
            trial.submit(slow, f"slow-{turn}", fails, walltime=0.4, value=fails)
            trial.submit(status, f"status-{turn}", fails, value=0)
            output = File(str(trial.directory / f"output-{turn}"))
            trial.submit(missing, f"missing-{turn}", fails, outputs=[output], value=0)

    return body


def coins(trial: Trial) -> None:
    """Each try fails with probability 0.5, all with one message."""
    app, chosen = trial.app(coin), random.Random(trial.seed)
    for number in range(trial.size.tasks):
        faults = tuple(chosen.random() < 0.5 for _ in range(RETRIES + 1))
        error = "RuntimeError" if all(faults) else None
        trial.submit(app, faults, f"coin-{number}", 0.15, value=len(faults), error=error)


def away(since: float, until: float) -> Callable[[Trial], None]:
    """A body in which the shared thing is away from and until so many seconds after the first submission."""

    def body(trial: Trial) -> None:
        flag = trial.directory / "shared" / "table"
        if since > 0:
            flag.write_text("here", encoding="utf-8")
        app, began = trial.app(shared), time.monotonic()
        for _ in range(trial.size.tasks):
            trial.submit(app, str(flag), 0.25, value=True)
        if since > 0:
            trial.until(lambda: time.monotonic() - began >= since)
            flag.unlink()
        trial.until(lambda: time.monotonic() - began >= until)
        flag.write_text("here", encoding="utf-8")

    return body


WORKLOADS = (
    Workload(
        "second-try", "each kind of failure ends well at its second try", at_try(2), Size(1, 4, 102), retries=RETRIES
    ),
    Workload("third-try", "each kind ends well at its third try", at_try(3), Size(3, 2, 102), retries=RETRIES),
    Workload(
        "third-try-alone",
        "the same on one node",
        at_try(3),
        Size(1, 4, 68),
        retries=RETRIES,
        short=Size(1, 4, 34),
    ),
    Workload("fifth-try", "each kind ends well at its fifth try", at_try(5), Size(3, 2, 68), retries=RETRIES),
    Workload("fifth-try-alone", "the same on one node", at_try(5), Size(1, 4, 34), retries=RETRIES),
    Workload("coin", "each try fails with probability 0.5, one message", coins, Size(3, 2, 100), retries=RETRIES),
    Workload("coin-alone", "the same on one node", coins, Size(1, 4, 100), retries=RETRIES, short=Size(1, 2, 24)),
    Workload("outage-first", "what all tasks need is away for the first 3 s", away(0, 3), USUAL, retries=2),
    Workload("outage-middle", "what all tasks need is away from 2 s to 4 s", away(2, 4), USUAL, retries=2),
)
