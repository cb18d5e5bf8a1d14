"""What a task wishes of its place: keys of its context, written on the submit side and honoured by the interchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AVOID = "octopus_avoid"
"""Key of a task's context: the hosts that must not get it, and until when, ``(hosts, Unix seconds)``."""

AVOID_BLOCKS = "octopus_avoid_blocks"
"""Key of a task's context: the blocks that must not get it, and until when, ``(blocks, Unix seconds)``."""

PREFER = "octopus_prefer"
"""Key of a task's context: the hosts that should get it, best first, and until when, ``(hosts, Unix seconds)``."""

PREFER_SECONDS = 1.5
"""How long a task waits for a node that it prefers while that node has room."""

PREFER_FULL_SECONDS = 0.5
"""How long it waits while that node is full."""


def is_choosy(context: Mapping[str, Any]) -> bool:
    """Whether a task has any wish."""
    return AVOID in context or PREFER in context or AVOID_BLOCKS in context


def waits(context: Mapping[str, Any], host: str, eligible: set[str], roomy: set[str], now: float) -> bool:
    """Whether a task had better not go to this node now.

    Args:
        context: The task's.
        host: The node.
        eligible: The nodes that may get tasks.
        roomy: Those of them with room.
        now: Unix seconds.
    """
    avoid, until = context.get(AVOID, ((), 0.0))
    if host in avoid and now < until and eligible.difference(avoid):
        return True
    prefer, until = context.get(PREFER, ((), 0.0))
    if now >= until:
        return False
    better = prefer[: prefer.index(host)] if host in prefer else prefer
    if not roomy.isdisjoint(better):
        return True
    while_full = PREFER_SECONDS - PREFER_FULL_SECONDS
    return host not in prefer and now < until - while_full and not eligible.isdisjoint(better)


def waits_for_block(context: Mapping[str, Any], block: str | None, blocks: set[str], now: float) -> bool:
    """Whether a task had better not go to this block now.

    Args:
        context: The task's.
        block: The block.
        blocks: The blocks that may get tasks.
        now: Unix seconds.
    """
    avoid, until = context.get(AVOID_BLOCKS, ((), 0.0))
    return block in avoid and now < until and bool(blocks.difference(avoid))
