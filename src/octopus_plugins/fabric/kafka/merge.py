"""Several partitions as one stream, in the order of time, without holding much of any."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

_Place = TypeVar("_Place", bound=Hashable)
_Item = TypeVar("_Item")

FULL = 4_000
"""Items of one place that wait for those of others; more should not be put."""

LOW = 1_000
"""Items left of a full one when more may be put again."""


class Merge(Generic[_Place, _Item]):
    """Merges what comes from several places, each in its own order, by the time of each item.

    Nothing is given out while a place that has not ended has nothing to compare with.

    Args:
        places: Where items come from.
    """

    def __init__(self, places: Iterable[_Place]) -> None:
        self._waiting: dict[_Place, deque[tuple[float, _Item]]] = {place: deque() for place in places}
        self._open = set(self._waiting)

    @property
    def ended(self) -> bool:
        """Whether every place has ended."""
        return not self._open

    def put(self, place: _Place, time: float, item: _Item) -> None:
        """Add the next item of a place; more may come after its end."""
        self._waiting.setdefault(place, deque()).append((time, item))

    def end(self, place: _Place) -> None:
        """Wait for nothing more from a place."""
        self._open.discard(place)

    def take(self) -> Iterator[_Item]:
        """Take out what can be given in order now."""
        while all(self._waiting[place] for place in self._open):
            place = min((place for place in self._waiting if self._waiting[place]), key=self._head, default=None)
            if place is None:
                return
            yield self._waiting[place].popleft()[1]

    def full(self) -> set[_Place]:
        """The places of which too much is waiting."""
        return {place for place, items in self._waiting.items() if len(items) >= FULL}

    def low(self) -> set[_Place]:
        """The places of which little is waiting."""
        return {place for place, items in self._waiting.items() if len(items) <= LOW}

    def _head(self, place: _Place) -> float:
        return self._waiting[place][0][0]
