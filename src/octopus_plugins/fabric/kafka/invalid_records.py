"""Records that are no events: counted, and said without a flood."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("octopus_plugins")


class Skips:
    """Counts the records that are no events. However many there are, the log has two lines of them at most.

    Attributes:
        count: How many there were.
    """

    def __init__(self, *, lasting: bool, level: int = logging.WARNING) -> None:
        """Begin with none.

        Args:
            lasting: Whether reading goes on until it is closed: then the first one is said at once.
            level: Of the log lines.
        """
        self.count = 0
        self._lasting = lasting
        self._level = level
        self._first = ""

    def add(self, message: Any, error: Exception) -> None:
        """Count a record, with why it is no event."""
        self.count += 1
        if self.count == 1:
            self._first = f"{message.topic()}, partition {message.partition()}, offset {message.offset()}: {error}"
            if self._lasting:
                log.log(self._level, "a record is no event and is skipped (%s); further ones are counted", self._first)

    def report(self) -> None:
        """Say how many there were, at the end of reading."""
        if self._lasting and self.count > 1:
            log.log(self._level, "%s records were skipped in all, which are no events", f"{self.count:,}")
        elif self.count and not self._lasting:
            log.log(
                self._level,
                "%s records were skipped, which are no events; the first is %s",
                f"{self.count:,}",
                self._first,
            )
