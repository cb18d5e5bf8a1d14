"""Log records that nobody would keep are not made.

Parsl opens its loggers for everything and has their handlers pass over what is below INFO. In the interchange making
those records took a third of the time; a logger that is closed to them says so at once.
"""

from __future__ import annotations

import logging


def skip_unheard(name: str = "parsl") -> None:
    """Close a logger to the levels below those of all its handlers, and of those of the loggers below it.

    To be called when they are there: a handler that is added later gets nothing below that level, unless whoever adds
    it opens the logger again, as Parsl's own functions do.

    Args:
        name: Of the logger.
    """
    logger: logging.Logger | None = logging.getLogger(name)
    handlers: list[logging.Handler] = []
    while logger is not None:
        handlers += logger.handlers
        logger = logger.parent if logger.propagate else None
    for known, below in list(logging.root.manager.loggerDict.items()):
        if known.startswith(f"{name}.") and isinstance(below, logging.Logger):
            handlers += below.handlers
    # Parsl gives its logger one of the class itself, which takes everything and keeps nothing.
    levels = [handler.level for handler in handlers if type(handler) is not logging.NullHandler]
    named = logging.getLogger(name)
    if levels and min(levels) > named.level:
        named.setLevel(min(levels))
