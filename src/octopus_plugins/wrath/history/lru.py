"""A mapping that forgets what was not used for longest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Recent(OrderedDict[_Key, _Value]):
    """At most ``size`` entries; to make or change one counts as use, to look at one does not.

    A dictionary by birth, since each failure looks into a dozen of these: those looks are calls of C. Entries are added
    by `ensure` and `put` alone.

    Args:
        size: Entries kept.
        make: Makes the value of a key that is not there.
    """

    __slots__ = ("_make", "_size")

    def __init__(self, size: int, make: Callable[[], _Value]) -> None:
        super().__init__()
        self._make = make
        self._size = size

    def latest(self) -> Iterator[_Key]:
        """All keys, the one used last first."""
        return reversed(self)

    def ensure(self, key: _Key) -> _Value:
        """The value of a key, made where it is not there."""
        value = self.get(key)
        if value is None:
            value = self[key] = self._make()
            if len(self) > self._size:
                self.popitem(last=False)
        else:
            self.move_to_end(key)
        return value

    def put(self, key: _Key, value: _Value) -> None:
        """Set the value of a key."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._size:
            self.popitem(last=False)
