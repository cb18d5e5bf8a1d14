"""Runs in turn: what is compared runs side by side in time, so that a busy machine is busy for all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.figures import Spread


def in_turn(
    variants: Mapping[str, Callable[[], float]], rounds: int, report: Callable[[str], None] = lambda line: None
) -> dict[str, list[float]]:
    """Measure variants in turn, every second round in reverse order.

    Args:
        variants: What to run, by name; each returns its rate.
        rounds: How often.
        report: Called with a line about each measurement.

    Returns:
        The rates by name, one for each round.
    """
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        order = list(variants) if number % 2 == 0 else list(reversed(variants))
        for name in order:
            rate = variants[name]()
            rates[name].append(rate)
            report(f"{number + 1}/{rounds} {name}: {rate:,.1f}/s")
    return rates


def ratios(over: Sequence[float], under: Sequence[float]) -> Spread:
    """The spread of the ratios of measurements made in the same rounds."""
    return Spread.of(a / b for a, b in zip(over, under, strict=True))
