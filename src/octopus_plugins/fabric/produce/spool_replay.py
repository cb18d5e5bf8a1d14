"""The spool: the sessions on disk, and how those of dead processes are delivered after all."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octopus_plugins.config import NOT_LOGGED_IN, OctopusConfig
from octopus_plugins.errors import BrokerUnreachableError, CredentialsError, SpoolError
from octopus_plugins.fabric.kafka.topics import namespace
from octopus_plugins.fabric.produce.counts import Tally
from octopus_plugins.fabric.produce.lanes import Lane
from octopus_plugins.fabric.produce.sender import Sender
from octopus_plugins.fabric.spool.journal import Journal

log = logging.getLogger("octopus_plugins")

_LOOK_EVERY = 30.0  # seconds between two looks for sessions of dead processes
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Orphan:
    """A session whose process has ended and left records behind.

    Attributes:
        directory: Where it lies.
        host: Host name of the process.
        pid: Its process id.
        created: When it began, Unix seconds.
        bytes: Size of what has not been delivered.
    """

    directory: Path
    host: str
    pid: int
    created: float
    bytes: int

    def count(self) -> int:
        """How many records have not been delivered. Reads them; 0 where somebody else delivers them meanwhile.

        Raises:
            SpoolError: The session cannot be read.
        """
        try:
            journal = Journal.claim(self.directory)
            if journal is None:
                return 0
            try:
                number = 0
                while records := journal.take(_READ_BYTES)[0]:
                    number += len(records)
                return number
            finally:
                journal.abandon()
        except OSError as error:
            raise SpoolError(f"the spooled session {self.directory} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay did.

    Attributes:
        sessions: Sessions that were delivered in full and removed.
        delivered: Records that the broker acknowledged.
        rejected: Records that it refused for good; they stand in ``rejected.jsonl``.
        remaining: Sessions that still lie there.
        damaged: Damaged places that were skipped.
    """

    sessions: int = 0
    delivered: int = 0
    rejected: int = 0
    remaining: int = 0
    damaged: int = 0


def begin_session(config: OctopusConfig) -> Journal:
    """Begin this process's session.

    Raises:
        OSError: The spool directory cannot be written.
    """
    description: dict[str, str | int | float] = {
        **_identity(config),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "created": time.time(),
    }
    return Journal.create(config.spool_dir, description, max_bytes=config.spool_max_bytes)


def orphans(config: OctopusConfig) -> list[Orphan]:
    """The sessions of this profile and namespace that no living process owns, oldest first.

    Raises:
        SpoolError: The spool directory cannot be read.
    """
    found = []
    for directory in _sessions(config):
        description = _description(directory)
        try:
            journal = Journal.claim(directory)
        except OSError as error:
            log.debug("the spooled session %s cannot be read: %s", directory, error)
            continue
        if journal is None:
            continue
        size = journal.unread_bytes
        journal.abandon()
        found.append(
            Orphan(
                directory,
                str(description.get("host", "?")),
                int(description.get("pid", 0)),
                float(description.get("created", 0.0)),
                size,
            )
        )
    return found


def replay(config: OctopusConfig, *, timeout: float | None = None) -> ReplayReport:
    """Deliver what dead processes left, in order, and remove it.

    Args:
        config: Which spool, and where to.
        timeout: Seconds to try for; default: as long as the broker answers.

    Raises:
        BrokerUnreachableError: No broker answered; everything is still there.
        CredentialsError: The brokers refuse the credentials; everything is still there.
        FabricError: The broker answers, but does not take the records; says why. They are still there.
        SpoolError: The spool directory cannot be read.
    """
    if not orphans(config):
        return ReplayReport()
    tally = Tally()
    sender = Sender(config, tally, [])
    replays = Replays(config, once=True)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        sender.run(lambda each: replays(each) and (deadline is None or time.monotonic() < deadline), once=True)
    finally:
        replays.close(sender)
    counts = tally.counts(0)
    if sender.trouble is not None:
        kind = CredentialsError if sender.refused else BrokerUnreachableError
        raise kind(f"{sender.trouble}; {counts.replayed} records were delivered before")
    return ReplayReport(
        sessions=replays.sessions,
        delivered=counts.replayed,
        rejected=counts.rejected,
        remaining=len(orphans(config)),
        damaged=replays.damaged,
    )


class Replays:
    """Feeds a sender with the sessions of dead processes, one after the other.

    Attributes:
        sessions: How many were delivered in full.
        damaged: Damaged places that were skipped.
    """

    def __init__(self, config: OctopusConfig, *, once: bool = False) -> None:
        """Prepare.

        Args:
            config: Which spool.
            once: Whether to end when none is left, instead of looking again now and then.
        """
        self.sessions = 0
        self.damaged = 0
        self._config = config
        self._once = once
        self._journal: Journal | None = None
        self._lane: Lane | None = None
        self._next_look = 0.0

    def __call__(self, sender: Sender) -> bool:
        """Go on; called by the sender now and then. Returns False when all is done."""
        if self._lane is not None:
            if not self._lane.exhausted or self._lane.batches:
                return True
            self._finish(sender)
        elif not self._once and time.monotonic() < self._next_look:
            return True
        self._next(sender)
        return self._lane is not None or not self._once

    def close(self, sender: Sender) -> None:
        """Let go of the session at hand; what of it was not delivered stays."""
        if self._lane is not None:
            self._finish(sender)

    def _next(self, sender: Sender) -> None:
        self._next_look = time.monotonic() + _LOOK_EVERY
        for directory in _sessions(self._config):
            try:
                self._journal = Journal.claim(directory)
            except OSError as error:
                log.debug("the spooled session %s cannot be read: %s", directory, error)
                continue
            if self._journal is not None:
                log.info("delivering what an earlier process left in %s", directory)
                # Half of the room at most: what happens now goes first.
                self._lane = Lane(self._journal, counted_as="replayed", share=0.5)
                sender.lanes.append(self._lane)
                return

    def _finish(self, sender: Sender) -> None:
        assert self._journal is not None and self._lane is not None
        sender.lanes.remove(self._lane)
        self.damaged += self._journal.damaged
        if self._journal.close():
            self.sessions += 1
        self._journal = self._lane = None


def _identity(config: OctopusConfig) -> dict[str, str | int | float]:
    return {"profile": config.profile, "namespace": namespace(config)}


def _sessions(config: OctopusConfig) -> list[Path]:
    try:
        directories = sorted(each for each in config.spool_dir.iterdir() if not each.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SpoolError(
            f"the spool {config.spool_dir} cannot be read: {error}", remedy="check its owner and mode"
        ) from error
    return [each for each in directories if _is_ours(config, _description(each))]


def _is_ours(config: OctopusConfig, description: dict[str, Any]) -> bool:
    """Whether a session is of this profile and namespace; also one of a process that nobody had logged in for yet."""
    namespaces = {namespace(config)} | ({NOT_LOGGED_IN} if config.profile == "octopus" else set())
    return description.get("profile") == config.profile and description.get("namespace") in namespaces


def _description(directory: Path) -> dict[str, Any]:
    try:
        found = json.loads((directory / "session.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
