"""A budget for resource samples: what does not fit is left out, and the samplers learn how far apart to be.

Samples are what grows with the workers of a run, and nothing is decided by them: they are what can be had less often.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

LOOK_SECONDS = 1.0
"""How often it is looked at what the samples come to."""

SETTLE_SECONDS = 10.0
"""Time constant of the average that decides: a node's samples come together, and what it sent itself it says later."""

SUSTAINED = 3
"""Looks after which what all of them saw is believed, whatever the average says: many nodes begin at the same time."""

HEADROOM = 0.9
"""Share of the budget that samplers are to use; what comes by chance at the same time has the rest."""

BURST_SECONDS = 10.0
"""How much of the budget may be spent at once, so that a run that begins loses no sample while its samplers learn."""

LEAST_RISE, LEAST_FALL = 1.1, 1.15
"""Ratios: a change by less is not worth telling a thousand nodes."""

MAX_STRETCH = 10_000.0


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
        self._by_source: dict[str, float] = {}

    def admits(self, size: int, stretch: float) -> bool:
        """Take a record of samples into account.

        Args:
            size: Its bytes.
            stretch: How many times the period of its sampler was stretched.

        Returns:
            Whether it fits; one that does not is to be left out.
        """
        now = self._clock()
        with self._lock:
            self._heard += size * stretch
            self._left = min(self._left + (now - self._filled) * self.rate, self.rate * BURST_SECONDS)
            self._filled = now
            if self._left <= 0.0:
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
        with self._lock:
            self._heard += max(weighed - self._by_source.get(source, 0.0), 0.0)
            self._by_source[source] = weighed

    def look(self) -> None:
        """Reckon how far apart the samples are to be: `stretch`. To be called now and then, however often."""
        now = self._clock()
        with self._lock:
            passed = now - self._looked
            if passed < LOOK_SECONDS:
                return
            # What is sampled ever more seldom is heard of ever more seldom, too.
            settle = SETTLE_SECONDS * max(1.0, math.sqrt(self.stretch))
            self._lately.append(self._heard / passed)
            self._demand += (1.0 - math.exp(-passed / settle)) * (self._lately[-1] - self._demand)
            if len(self._lately) == self._lately.maxlen:
                self._demand = max(self._demand, min(self._lately))
            self._heard, self._looked = 0.0, now
            wanted = min(max(self._demand / (self.rate * HEADROOM), 1.0), MAX_STRETCH)
            bound = 1.0 if wanted == 1.0 < self.stretch else LEAST_FALL
            if not self.stretch / bound < wanted < self.stretch * LEAST_RISE:
                self.stretch = wanted


def explained(budget: SampleBudget) -> str:
    """What a run's log says of a budget that takes effect, once."""
    return (
        f"Resource samples would come to more than {budget.rate:,.0f} bytes a second and are taken further apart from"
        " now on; sample_budget sets how much they may be (docs/scale.md)"
    )
