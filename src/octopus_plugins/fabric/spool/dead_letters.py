"""Records that the broker refuses for good, kept for people to look at."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

from octopus_plugins.fabric.record import Record

log = logging.getLogger("octopus_plugins")

MAX_FILE_BYTES = 16 * 1024 * 1024


class RejectedFile:
    """``{spool_dir}/rejected.jsonl``: one JSON object per refused record, until the file is full."""

    def __init__(self, spool_dir: Path) -> None:
        self._path = spool_dir / "rejected.jsonl"
        self._reported = False

    def add(self, record: Record, reason: str) -> None:
        """Keep a record and the reason why it was refused; logs the first one."""
        line = json.dumps(
            {
                "time": time.time(),
                "topic": record.topic,
                "key": record.key.decode("utf-8", "replace"),
                "reason": reason,
                "value": record.value.decode("utf-8", "replace"),
            }
        )
        try:
            kept = f"kept in {self._path}" if self._append(line.encode() + b"\n") else f"lost: {self._path} is full"
        except OSError as error:
            kept = f"lost: {self._path} cannot be written: {error}"
        if not self._reported:
            self._reported = True
            log.warning(
                "the broker refuses a record of %d bytes for topic %s: %s. It is %s; further ones are only counted."
                " If it is too large, raise the topic's max.message.bytes or lower max_event_bytes",
                len(record.value),
                record.topic,
                reason,
                kept,
            )

    def _append(self, line: bytes) -> bool:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size + len(line) > MAX_FILE_BYTES:
                return False
            os.write(descriptor, line)
            return True
        finally:
            os.close(descriptor)
