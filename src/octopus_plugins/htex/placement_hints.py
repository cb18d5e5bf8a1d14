"""What a task says of itself and of its place: keys of its context, from the submit side to the interchange."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

APP = "octopus_app"
"""Key of a task's context: the name of its app, by which a node may be denied for it alone."""

MAX_APP = 100
"""Characters of an app's name that count: it travels with every task."""

AVOID = "octopus_avoid"
"""Key of a task's context: the hosts that must not get it, and until when, ``(hosts, Unix seconds)``."""

AVOID_BLOCKS = "octopus_avoid_blocks"
"""Key of a task's context: the blocks that must not get it, and until when, ``(blocks, Unix seconds)``."""

AVOID_SECONDS = 60.0
"""How long a task is kept for another node or block. If none has room by then, what it avoids is better than none."""

PATIENCE = "octopus_patience"
"""Key of a task's context: until when it is kept where only what it avoids has room, Unix seconds."""

AVOID_IDLE_SECONDS = 8.0
"""How long that is where its decision does not say: no node stands idle for long while tasks wait."""

PREFER = "octopus_prefer"
"""Key of a task's context: the hosts that should get it, best first, and until when, ``(hosts, Unix seconds)``."""

PREFER_SECONDS = 1.5
"""How long a task waits for a node that it prefers while that node has room."""

PREFER_FULL_SECONDS = 0.1
"""How long it waits while that node is full."""

_NONE: tuple[tuple[str, ...], float] = ((), 0.0)


def app_key(name: str) -> str:
    """The name of an app as tasks carry it and denials name it."""
    return name[:MAX_APP]


def is_choosy(context: Mapping[str, Any]) -> bool:
    """Whether a task has any wish."""
    return AVOID in context or PREFER in context or AVOID_BLOCKS in context


def shuns(context: Mapping[str, Any], host: str, block: str | None, now: float) -> bool:
    """Whether a task avoids a place.

    Args:
        context: The task's.
        host: The node.
        block: The block.
        now: Unix seconds.
    """
    hosts, until = context.get(AVOID, _NONE)
    if host in hosts and now < until:
        return True
    blocks, until = context.get(AVOID_BLOCKS, _NONE)
    return block in blocks and now < until


def is_patient(context: Mapping[str, Any], now: float) -> bool:
    """Whether a task may still wait where only a place that it avoids has room.

    Args:
        context: The task's.
        now: Unix seconds.
    """
    return bool(now < context.get(PATIENCE, 0.0))


def prefers_another(context: Mapping[str, Any], host: str, eligible: Set[str], roomy: Set[str], now: float) -> bool:
    """Whether a task had better wait for a node that it prefers.

    Args:
        context: The task's.
        host: The node that could have it now.
        eligible: The nodes that may get it.
        roomy: Those of them with room.
        now: Unix seconds.
    """
    prefer, until = context.get(PREFER, _NONE)
    if now >= until:
        return False
    better = prefer[: prefer.index(host)] if host in prefer else prefer
    if not roomy.isdisjoint(better):
        return True
    while_full = PREFER_SECONDS - PREFER_FULL_SECONDS
    return host not in prefer and now < until - while_full and not eligible.isdisjoint(better)
