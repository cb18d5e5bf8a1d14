"""The counts of the last processes that emitted events, on disk, so that `octopus doctor` can show them.

One small file for each process in ``{state}/counts``: written when its producer begins, soon after, every ten seconds
while it sends, and at its end. Of the files only the newest are kept. They are not in the spool's directory, which may
be on a disk that ends with the job, and where an empty spool is to look empty.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from octopus_plugins.config import OctopusConfig
from octopus_plugins.fabric.produce.counts import Counts
from octopus_plugins.homes import state_home

KEPT = 50
"""How many files are kept."""

_EVERY_SECONDS = (1.0, 10.0)  # soon at first, since many runs are short
_NUMBERS = tuple(each.name for each in fields(Counts) if each.name != "topics")


@dataclass(frozen=True, slots=True)
class ProcessCounts:
    """What became of the events of one process.

    Attributes:
        run_id: The run whose event it emitted first.
        profile: The profile of its configuration.
        namespace: The namespace.
        host: Its host.
        pid: Its process id.
        began: When it emitted its first event, Unix seconds.
        told: When these counts were taken.
        ended: Whether it ended in order; else it goes on, or was killed.
        counts: The counts, without those by topic.
    """

    run_id: str
    profile: str
    namespace: str
    host: str
    pid: int
    began: float
    told: float
    ended: bool
    counts: Counts


def counts_directory() -> Path:
    """Where the files are."""
    return state_home() / "counts"


class CountsFile:
    """The file of this process. Never raises: it is only there to be looked at."""

    def __init__(self, config: OctopusConfig, run_id: str) -> None:
        """Prepare; writes nothing yet.

        Args:
            config: Profile and namespace are noted.
            run_id: The run whose events they are.
        """
        self._about = {
            "run_id": run_id,
            "profile": config.profile,
            "namespace": config.namespace,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "began": time.time(),
        }
        self._name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
        self._next = 0.0
        self._pause = _EVERY_SECONDS[0]
        self._pruned = False

    def write_now_and_then(self, counts: Counts) -> None:
        """Write the counts, if the last time was long enough ago."""
        if time.monotonic() >= self._next:
            self.write(counts)

    def write(self, counts: Counts, *, ended: bool = False) -> None:
        """Write the counts, whole or not at all.

        Args:
            counts: The counts.
            ended: Whether they are the last ones.
        """
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _EVERY_SECONDS[1])
        numbers = {name: getattr(counts, name) for name in _NUMBERS}
        text = json.dumps({**self._about, "told": time.time(), "ended": ended, "counts": numbers})
        with contextlib.suppress(OSError):
            directory = counts_directory()
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._pruned:
                self._pruned = True
                _prune(directory)
            draft = directory / f".{self._name}"
            draft.write_text(text, encoding="utf-8")
            draft.replace(directory / self._name)


def last_counts(config: OctopusConfig, namespace: str) -> list[ProcessCounts]:
    """The counts of the last processes on this machine with a profile and namespace, newest first."""
    try:
        files = sorted(counts_directory().glob("*.json"), reverse=True)
    except (OSError, RuntimeError):
        return []
    found = [each for each in map(_read, files) if each is not None]
    here = socket.gethostname()
    return [each for each in found if (each.profile, each.namespace, each.host) == (config.profile, namespace, here)]


def _prune(directory: Path) -> None:
    for old in sorted(directory.glob("*.json"), reverse=True)[KEPT - 1 :]:
        with contextlib.suppress(OSError):
            old.unlink()


def _read(file: Path) -> ProcessCounts | None:
    try:
        values: dict[str, Any] = json.loads(file.read_bytes())
        numbers: dict[str, Any] = {name: int(values["counts"].get(name, 0)) for name in _NUMBERS}
        return ProcessCounts(
            str(values["run_id"]),
            str(values["profile"]),
            str(values["namespace"]),
            str(values["host"]),
            int(values["pid"]),
            float(values["began"]),
            float(values["told"]),
            bool(values["ended"]),
            Counts(**numbers),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
