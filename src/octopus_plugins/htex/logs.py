"""Log records that nobody would keep are not made.

Parsl opens its loggers for everything and has their handlers pass over what is below INFO. In the interchange making
those records took a third of the time; a logger that is closed to them says so at once.
"""

from __future__ import annotations

import logging


def skip_unheard(name: str = "parsl") -> None:
    """Close a logger to the levels below those of all its handlers. To be called when they are there.

    Args:
        name: Of the logger.
    """
    logger: logging.Logger | None = logging.getLogger(name)
    level = logging.CRITICAL
    found = False
    while logger is not None:
        for handler in logger.handlers:
            if not isinstance(
                handler, logging.NullHandler
            ):  # Parsl gives its logger one, which takes all and keeps none
                found, level = True, min(level, handler.level)
        logger = logger.parent if logger.propagate else None
    named = logging.getLogger(name)
    if found and level > named.level:
        named.setLevel(level)
