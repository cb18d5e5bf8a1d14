"""Who calls, where a host calls something of ours and does not say for whom."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from types import FrameType

T = TypeVar("T")


def find_caller(kind: type[T], condition: Callable[[T], bool]) -> T | None:
    """The object whose method called, directly or by others, whoever calls this.

    Args:
        kind: Its class.
        condition: What else must hold of it.

    Returns:
        The nearest such object; None where there is none.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, kind) and condition(caller):
            return caller
        frame = frame.f_back
    return None
