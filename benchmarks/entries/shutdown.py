"""The end of a Parsl run: with monitoring against without, also where the broker is gone."""

from __future__ import annotations

import sys
import tempfile
import uuid
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Options, Result, Spread
from benchmarks.pairing import in_turn
from benchmarks.proxy import ProxiedBroker
from benchmarks.session import environment, watched
from octopus_plugins.config import OctopusConfig

DRIVER = Path(__file__).with_name("shutdown_driver.py")
TIMEOUT = 300.0
"""Seconds for one run."""

VARIANTS = {"none": "without us", "octopus": "everything on", "away": "everything on, broker gone"}


def measure(options: Options) -> Result:
    """Seconds that the end of a Parsl run takes: without us, with everything on, and with the broker gone."""
    amount = 50 if options.quick else 500
    with tempfile.TemporaryDirectory(prefix="octopus-bench-") as directory:
        variants = {name: partial(_rate, name, amount, Path(directory)) for name in VARIANTS}
        rates = in_turn(variants, 1 if options.quick else options.rounds())
    seconds = {name: [1 / rate for rate in measured] for name, measured in rates.items()}
    bound = OctopusConfig.model_fields["close_timeout"].default
    figures = [
        *(
            Figure(
                f"{VARIANTS[name]}, over that without us",
                Spread.of(1000 * (ours - none) for ours, none in zip(seconds[name], seconds["none"], strict=True)),
                "ms",
            )
            for name in ("octopus", "away")
        ),
        *(Figure(said, Spread.of(1000 * one for one in seconds[name]), "ms") for name, said in VARIANTS.items()),
    ]
    notes = (
        f"Parsl's cleanup after {amount} no-op tasks, 2 workers; ours until all events have arrived",
        f"broker gone: its connections break when the last result is there; what has not arrived within close_timeout"
        f" ({bound:g} s) stays on disk for the next run",
    )
    return Result("shutdown", "the end of a Parsl run", tuple(figures), notes, {"s": seconds})


def _rate(variant: str, amount: int, directory: Path) -> float:
    home = directory / uuid.uuid4().hex[:8]
    home.mkdir()
    closed: list[float] = []
    with ProxiedBroker(home) as broker:

        def hear(session: int, line: str) -> None:
            words = line.split()
            if words[:1] == ["closing"]:
                if variant == "away":
                    broker.proxy.cut()
                (home / "run" / "go").touch()
            elif words[:1] == ["closed"]:
                closed.append(float(words[1]))

        (home / "run").mkdir()
        config = "none" if variant == "none" else "octopus"
        command = [sys.executable, str(DRIVER), config, str(home / "run"), str(amount)]
        surroundings = environment(broker.address, f"bench-{home.name}", home / "spool")
        watched(command, surroundings, home, TIMEOUT, hear)
    return 1 / closed[0]
