"""A budget for resource samples: what does not fit is left out, and the samplers learn how far apart to be.

Samples are what grows with the workers of a run, and nothing is decided by them: they are what can be had less often.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

LOOK_SECONDS = 1.0
"""How often it is looked at what the samples come to."""

SETTLE_SECONDS = 10.0
"""Time constant of the average of what comes from workers that sample themselves, which name no node."""

HEADROOM = 0.9
"""Share of the budget that samplers are to use; what comes by chance at the same time has the rest."""

BURST_SECONDS = 10.0
"""How much of the budget may be spent at once, so that a run that begins loses no sample while its samplers learn."""

LEAST_RISE, LEAST_FALL = 1.1, 1.15
"""Ratios: a change by less is not worth telling a thousand nodes."""

MAX_STRETCH = 10_000.0

LEAST_SECONDS = 5.0
"""Between two moments that a node's rate is reckoned from: what it sends comes together, and now and then twice."""

SILENT_PERIODS = 3.0
"""Times that a node may be silent for as long as between those two, before it counts as gone."""

UNHEARD_SECONDS = 1200.0
"""Seconds between the two, where there was only one report."""


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
        self._unnamed = 0.0
        self._weighed: dict[str, float] = {}
        self._by_source: dict[str, _Source] = {}

    def admits(self, size: int, stretch: float = 1.0, source: str | None = None, period: float | None = None) -> bool:
        """Take a record of samples into account.

        Args:
            size: Its bytes.
            stretch: How many times the period of its sampler was stretched.
            source: Which node it is of.
            period: Seconds until that one's next; None for a sampler that cannot be told a stretch. Such a one must not
                take what the others, who make room for it, need: it leaves half of what may be spent at once.

        Returns:
            Whether it fits; one that does not is to be left out.
        """
        now = self._clock()
        with self._lock:
            if source is None or period is None:
                self._heard += size * stretch
            else:
                self._count(f"through us: {source}", size * stretch, now, max(period, 0.001))
            self._left = min(self._left + (now - self._filled) * self.rate, self.rate * BURST_SECONDS)
            self._filled = now
            if self._left <= (self.rate * BURST_SECONDS / 2.0 if period is None else 0.0):
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
            more = max(weighed - self._weighed.get(source, weighed), 0.0)
            self._weighed[source] = weighed
            self._count(source, more, now)

    def _count(self, source: str, weighed: float, now: float, period: float | None = None) -> None:
        """A node has sent more. Its rate is what came between two moments some seconds apart.

        Args:
            source: Which node, and which way.
            weighed: What it sent, bytes.
            now: When.
            period: For how many seconds that is at least, where it is known. The first after a change of stretch comes
                sooner.
        """
        before = self._by_source.get(source)
        if before is None:
            rate = weighed / period if period is not None else 0.0
            lasts = SILENT_PERIODS * max(period or UNHEARD_SECONDS, LEAST_SECONDS)
            self._by_source[source] = _Source(now, 0.0, rate, now + lasts)
            return
        passed, weighed = now - before.heard, before.weighed + weighed
        if passed < LEAST_SECONDS:
            self._by_source[source] = before._replace(weighed=weighed)
        else:
            passed = max(passed, period or 0.0)
            self._by_source[source] = _Source(now, 0.0, weighed / passed, now + SILENT_PERIODS * passed)

    def look(self) -> None:
        """Reckon how far apart the samples are to be: `stretch`. To be called now and then, however often."""
        now = self._clock()
        with self._lock:
            passed = now - self._looked
            if passed < LOOK_SECONDS:
                return
            self._unnamed += (1.0 - math.exp(-passed / SETTLE_SECONDS)) * (self._heard / passed - self._unnamed)
            self._heard, self._looked = 0.0, now
            demand = self._unnamed + self._from_sources(now)
            wanted = min(max(demand / (self.rate * HEADROOM), 1.0), MAX_STRETCH)
            bound = 1.0 if wanted == 1.0 < self.stretch else LEAST_FALL
            if not self.stretch / bound < wanted < self.stretch * LEAST_RISE:
                self.stretch = wanted

    def _from_sources(self, now: float) -> float:
        """What the nodes send, bytes per second; those that have been silent for long have gone."""
        for source in [name for name, each in self._by_source.items() if now > each.until]:
            del self._by_source[source]
            self._weighed.pop(source, None)
        return sum(each.rate for each in self._by_source.values())


class _Source(NamedTuple):
    """A node, and the way by which its samples go.

    Attributes:
        heard: When its rate was last reckoned.
        weighed: What it has sent since, bytes.
        rate: Bytes per second before that.
        until: How long that holds.
    """

    heard: float
    weighed: float
    rate: float
    until: float
