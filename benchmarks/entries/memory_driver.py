"""A process that emits at a steady rate while its broker goes away and comes back.

The command line says the events per second, and the seconds of each phase. It prints the phases as they begin
(``idle``: events are made and not emitted; ``warm``; ``steady``; ``away``; ``back``) with the CPU seconds and the
events so far, a ``second`` for each second of them, and at the end the counts of its emitter as JSON. Every tenth
event is a sample, the others are records. The Octopus settings come from ``OCTOPUS_*``.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

from benchmarks.entries.sample_events import sample, task_event
from octopus_plugins.config import OctopusConfig
from octopus_plugins.fabric import Emitter

PHASES = ("idle", "warm", "steady", "away")
SAMPLES = 10
"""One event in so many is a sample."""

_STEP = 0.02
_DELIVERY_SECONDS = 300.0


def main(rate: float, seconds: dict[str, float]) -> None:
    """Emit through all phases, and until everything has arrived.

    Args:
        rate: Events per second.
        seconds: The length of each phase.
    """
    emitter = Emitter(OctopusConfig.load())
    number = 0
    for phase in PHASES:
        _say(phase, number)
        number = _emit(emitter if phase != "idle" else None, rate, seconds[phase], number)
    _say("back", number)
    begin = time.monotonic()
    if not emitter.flush(_DELIVERY_SECONDS):
        raise RuntimeError(f"not everything arrived within {_DELIVERY_SECONDS:g} s: {emitter.counts}")
    _say("delivered", number)
    counts = {name: value for name, value in asdict(emitter.counts).items() if name != "topics"}
    emitter.close()
    print(json.dumps({**counts, "seconds until delivered": time.monotonic() - begin}), flush=True)


def _emit(emitter: Emitter | None, rate: float, seconds: float, number: int) -> int:
    """Emit evenly for some seconds; the number of the next event."""
    first, begin, told = number, time.monotonic(), 0
    while (passed := time.monotonic() - begin) < seconds:
        while number < first + passed * rate:
            event = sample(number) if number % SAMPLES == 0 else task_event(number)
            if emitter is not None:
                emitter.emit(event)
            number += 1
        if passed >= told + 1:
            told = int(passed)
            _say("second", number)
        time.sleep(_STEP)
    return number


def _say(what: str, number: int) -> None:
    print(f"{what} {time.process_time():.4f} {number}", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), dict(zip(PHASES, map(float, sys.argv[2:]), strict=True)))
