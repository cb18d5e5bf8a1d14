"""A budget for resource samples: what does not fit is left out, and the samplers learn how far apart to be.

Samples are what grows with the workers of a run, and nothing is decided by them: they are what can be had less often.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

LOOK_SECONDS = 1.0
"""How often it is looked at what the samples come to."""

SETTLE_SECONDS = 10.0
"""Time constant of the average that decides: a node's samples come together."""

SUSTAINED = 3
"""Looks after which what all of them saw is believed, whatever the average says: many nodes begin at the same time."""

HEADROOM = 0.9
"""Share of the budget that samplers are to use; what comes by chance at the same time has the rest."""

BURST_SECONDS = 10.0
"""How much of the budget may be spent at once, so that a run that begins loses no sample while its samplers learn."""

LEAST_RISE, LEAST_FALL = 1.1, 1.15
"""Ratios: a change by less is not worth telling a thousand nodes."""

MAX_STRETCH = 10_000.0

LEAST_SECONDS = 5.0
"""A node's report of what it sent is passed over if it comes sooner after the last: one is due when a worker dies."""

SILENT_PERIODS = 3.0
"""Times that a node may be silent for as long as between its last two reports, before it counts as gone."""

UNHEARD_SECONDS = 3600.0
"""The same where there was only one report."""


class SampleBudget:
    """Bytes per second for the resource samples of one run. Thread-safe.

    What the samples would come to is reckoned as if they came as often as was set: each counts as often as its period
    was stretched. So what is on its way when a stretch is told does not count twice.

    Args:
        rate: Bytes per second, keys and values before compression; more than 0.
        clock: Seconds that only grow.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.stretch = 1.0
        """How many times further apart than set the samples are to be; as `look` reckons."""
        self.spent = 0
        """Bytes of what fitted."""
        self._clock = clock
        self._lock = threading.Lock()
        self._left = rate * BURST_SECONDS
        self._filled = self._looked = clock()
        self._heard = 0.0
        self._demand = 0.0
        self._lately: deque[float] = deque(maxlen=SUSTAINED)
        self._by_source: dict[str, _Source] = {}

    def admits(self, size: int, stretch: float, *, heeds: bool = True) -> bool:
        """Take a record of samples into account.

        Args:
            size: Its bytes.
            stretch: How many times the period of its sampler was stretched.
            heeds: Whether its sampler can be told the stretch. One that cannot must not take what the others, who
                make room for it, need: it leaves half of what may be spent at once.

        Returns:
            Whether it fits; one that does not is to be left out.
        """
        now = self._clock()
        with self._lock:
            self._heard += size * stretch
            self._left = min(self._left + (now - self._filled) * self.rate, self.rate * BURST_SECONDS)
            self._filled = now
            if self._left <= (0.0 if heeds else self.rate * BURST_SECONDS / 2.0):
                return False
            self.spent += size
            self._left -= size  # below 0 by one record at most: also one that is larger than the burst gets through
            return True

    def hear(self, source: str, weighed: float) -> None:
        """A node has produced samples by itself.

        Args:
            source: Which one.
            weighed: The bytes of all that it has produced so far, each sample as often as its period was stretched.
        """
        now = self._clock()
        with self._lock:
            before = self._by_source.get(source)
            if before is None:
                self._by_source[source] = _Source(now, weighed, 0.0, now + UNHEARD_SECONDS)
            elif (passed := now - before.heard) >= LEAST_SECONDS:
                rate = max(weighed - before.weighed, 0.0) / passed
                self._by_source[source] = _Source(now, weighed, rate, now + SILENT_PERIODS * passed)

    def look(self) -> None:
        """Reckon how far apart the samples are to be: `stretch`. To be called now and then, however often."""
        now = self._clock()
        with self._lock:
            passed = now - self._looked
            if passed < LOOK_SECONDS:
                return
            # What is sampled ever more seldom is heard of ever more seldom, too.
            settle = SETTLE_SECONDS * max(1.0, math.sqrt(self.stretch))
            self._lately.append(self._heard / passed + self._from_sources(now))
            self._demand += (1.0 - math.exp(-passed / settle)) * (self._lately[-1] - self._demand)
            if len(self._lately) == self._lately.maxlen:
                self._demand = max(self._demand, min(self._lately))
            self._heard, self._looked = 0.0, now
            wanted = min(max(self._demand / (self.rate * HEADROOM), 1.0), MAX_STRETCH)
            bound = 1.0 if wanted == 1.0 < self.stretch else LEAST_FALL
            if not self.stretch / bound < wanted < self.stretch * LEAST_RISE:
                self.stretch = wanted

    def _from_sources(self, now: float) -> float:
        """What the nodes produce by themselves, bytes per second: what each came to between its last two reports."""
        for source in [name for name, each in self._by_source.items() if now > each.until]:
            del self._by_source[source]
        return sum(each.rate for each in self._by_source.values())


class _Source(NamedTuple):
    """What a node has said of what it produced: when, how much so far, bytes per second, and how long that holds."""

    heard: float
    weighed: float
    rate: float
    until: float


def explained(budget: SampleBudget) -> str:
    """What a run's log says of a budget that takes effect, once."""
    return (
        f"Resource samples would come to more than {budget.rate:,.0f} bytes a second and are taken further apart from"
        " now on; sample_budget sets how much they may be (docs/scale.md)"
    )
