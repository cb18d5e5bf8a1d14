"""A mapping that forgets what was not used for longest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """At most ``size`` entries; to make or change one counts as use, to look at one does not.

    Args:
        size: Entries kept.
        make: Makes the value of a key that is not there.
    """

    __slots__ = ("_entries", "_make", "_size")

    def __init__(self, size: int, make: Callable[[], _Value]) -> None:
        self._entries: OrderedDict[_Key, _Value] = OrderedDict()
        self._make = make
        self._size = size

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: _Key) -> bool:
        return key in self._entries

    def get(self, key: _Key) -> _Value | None:
        """The value of a key, or None."""
        return self._entries.get(key)

    def items(self) -> Iterator[tuple[_Key, _Value]]:
        """All entries, the one not used for longest first."""
        return iter(self._entries.items())

    def latest(self) -> Iterator[_Key]:
        """All keys, the one used last first."""
        return reversed(self._entries)

    def ensure(self, key: _Key) -> _Value:
        """The value of a key, made where it is not there."""
        value = self._entries.get(key)
        if value is None:
            value = self._make()
            self.put(key, value)
        else:
            self._entries.move_to_end(key)
        return value

    def put(self, key: _Key, value: _Value) -> None:
        """Set the value of a key."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def pop(self, key: _Key) -> _Value | None:
        """Take a key out; its value, or None."""
        return self._entries.pop(key, None)
