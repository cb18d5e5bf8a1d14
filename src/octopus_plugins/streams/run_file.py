"""A run's whole stream: read from the topics, kept in a file, read from there.

The file has one CloudEvent per line, as it stood in the topic; ``octopus wrath record`` writes it, and
``octopus wrath replay --file`` reads it.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from octopus_plugins.errors import ConfigError, SchemaError
from octopus_plugins.events import ANY, Decision, Event, Topic, decode, encode
from octopus_plugins.streams.latest_run import find_run
from octopus_plugins.streams.query import LAST

if TYPE_CHECKING:
    from octopus_plugins.config import OctopusConfig

TOPICS = (Topic.task_metrics, Topic.heartbeats, Topic.failures, Topic.decisions)


def read_run(config: OctopusConfig, run_id: str) -> list[Event]:
    """All that the topics have of a run, with what was decided of all runs while it went on.

    Args:
        config: Which brokers and topics.
        run_id: The run, or the beginning of its id; ``last`` is the newest.

    Returns:
        Its events, topic after topic; none where no such run is known.

    Raises:
        FabricError: The topics cannot be read; the message says what to do.
    """
    from octopus_plugins.fabric.kafka.reader import Reader

    found = find_run(config, run_id)
    if found is None:
        return []
    run_id = found
    prefixes = (f"{run_id}/".encode(), f"{ANY}/".encode())
    events: list[Event] = []
    for topic in TOPICS:
        wanted = prefixes if topic is Topic.decisions else prefixes[:1]
        # Keys are hints, made by whoever produced: the event itself says which run it is of.
        reader = Reader(config, topic, keep=partial(_starts_with, wanted))
        events += [event for event in reader if event.run_id == run_id or _is_of_all_runs(event)]
    return _without_others(events, run_id)


def read_file(path: str | os.PathLike[str], run_id: str | None = None) -> list[Event]:
    """A run's events from a file with one CloudEvent per line; also one that gzip has made smaller.

    Args:
        path: The file; one that ends in ``.gz`` is unpacked.
        run_id: The run; needed only where the file has several.

    Returns:
        Its events. Those of types that this version does not know are left out.

    Raises:
        ConfigError: The file cannot be read, or it has several runs and none, or an unknown one, was named.
        SchemaError: A line is no event; names file and line.
    """
    events: list[Event] = []
    try:
        with _open(path, "rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    events += _decoded(line, f"{os.fspath(path)}, line {number}")
    except (OSError, EOFError) as error:
        raise ConfigError(f"{os.fspath(path)}: the recording cannot be read: {error}") from error
    known = list(dict.fromkeys(event.run_id for event in events if event.run_id != ANY))
    if run_id is None or run_id == LAST:
        if len(known) > 1:
            raise ConfigError(
                f"{os.fspath(path)} has {len(known)} runs", remedy=f"choose one with --run: {_several(known)}"
            )
        return events
    if run_id not in known:
        raise ConfigError(f"{os.fspath(path)} has no run {run_id!r}", remedy=f"it has {_several(known)}")
    return _without_others([event for event in events if event.run_id == run_id or _is_of_all_runs(event)], run_id)


def write_file(path: str | os.PathLike[str], events: Iterable[Event]) -> int:
    """Keep events in a file, one CloudEvent per line; packed with gzip where its name ends in ``.gz``.

    Returns:
        How many there were.

    Raises:
        ConfigError: The file cannot be written.
    """
    number = 0
    try:
        with _open(path, "wb") as stream:
            for event in events:
                stream.write(encode(event) + b"\n")
                number += 1
    except OSError as error:
        raise ConfigError(f"{os.fspath(path)}: the recording cannot be written: {error}") from error
    return number


def _open(path: str | os.PathLike[str], mode: str) -> IO[bytes]:
    if os.fspath(path).endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path, mode))
    return cast("IO[bytes]", Path(path).open(mode))


def _decoded(line: bytes, where: str) -> list[Event]:
    try:
        event = decode(line)
    except SchemaError as error:
        raise SchemaError(
            f"{where}: {error}", remedy="one CloudEvent per line is expected, as `octopus wrath record` writes it"
        ) from error
    return [] if event is None else list(event.unfolded())


def _starts_with(prefixes: tuple[bytes, ...], key: bytes) -> bool:
    return key.startswith(prefixes)


def _is_of_all_runs(event: Event) -> bool:
    return isinstance(event, Decision) and event.run_id == ANY


def _without_others(events: list[Event], run_id: str) -> list[Event]:
    """Leaves out the decisions on all runs that were over before this one began, or came after its end."""
    times = [event.time for event in events if event.run_id == run_id]
    if not times:
        return []
    begin, end = min(times), max(times)
    return [event for event in events if event.run_id == run_id or _concerns(event, begin, end)]


def _concerns(event: Event, begin: float, end: float) -> bool:
    if not isinstance(event, Decision) or event.time > end:
        return False
    return event.time >= begin or any(until > begin for until in event.deny_hosts.values())


def _several(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
