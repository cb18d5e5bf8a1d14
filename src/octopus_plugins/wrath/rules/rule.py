"""What a categorisation rule is, and what rules are made with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from octopus_plugins.events import ExceptionInfo, Failure
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

Scalar: TypeAlias = "str | int | float | bool | None"


class Trust(IntEnum):
    """How much the ground that a rule stands on can be trusted; more is tried first."""

    symptom = 0
    """The type says that something happened and not why; tried when nothing else matched."""
    text = 1
    """Words in a message or on standard error."""
    structured = 2
    """Samples, limits, counters, heartbeats, block states, history."""
    exit_status = 3
    """Exit codes and signals."""
    statement = 4
    """What a program or library is known to say of one thing only; how it then ends says less."""
    exact_type = 5
    """Exception types, by the MRO and the chain of causes, and the attributes of exceptions."""


class Match(msgspec.Struct, frozen=True):
    """A rule's finding.

    Attributes:
        reason: What happened, as a clause in lower case without a full stop: ``ran out of memory on small-0``.
        evidence: The facts that it rests on, by name.
        confidence: 0–1.
        category: In place of the rule's category.
        scope: In place of the category's scope.
        resolvable: In place of the category's ``resolvable``.
    """

    reason: str
    evidence: Mapping[str, Scalar] = {}
    confidence: float = 0.9
    category: Category | None = None
    scope: str | None = None
    resolvable: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to recognise a category.

    Attributes:
        name: Unique, ``category.what``.
        category: What it recognises.
        trust: On what ground; rules are tried in order of trust, then of the exception in the chain of
            causes (nearest first) and of the type in its MRO (most derived first), then as listed.
        match: Gives the finding, or None. Where the rule names ``types``, ``failure.exception`` is the exception
            of the chain that has one of them, and ``failure.causes`` what lies below it.
        types: Full type names; the rule is tried only where one is in the MRO of an exception of the chain.
        words: Lower-case text; the rule is tried only where a piece is in what the failure says.
        doc: What it looks for, in a few words, for ``docs/categories.md``.
    """

    name: str
    category: Category
    trust: Trust
    match: Callable[[Failure, History | None], Match | None]
    types: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    doc: str = ""


LOST_TYPES = (
    "parsl.executors.high_throughput.errors.WorkerLost",
    "parsl.executors.high_throughput.errors.ManagerLost",
    "concurrent.futures.process.BrokenProcessPool",
)
"""Types that say that a process has gone, and not why."""

EXIT_TYPES = ("parsl.app.errors.BashExitFailure", "subprocess.CalledProcessError", "SystemExit")
"""Types that say that a program ended badly, and not why."""

OPAQUE_TYPES = ("globus_compute_sdk.errors.error_types.TaskExecutionFailed",)
"""Types that carry the real exception as text only."""

_MUTE_TYPES = frozenset(LOST_TYPES + EXIT_TYPES)


_SERIALIZERS = ("/parsl/serialize/", "/globus_compute_sdk/serialize/")
_UNREADABLE = "parsl.serialize.errors.DeserializationError"
TRACEBACK = "Traceback (most recent call last):"
"""Begins a Python traceback in a text."""
_BEGIN_OF_COMMAND = "--> executable follows <--"
_END_OF_COMMAND = "--> end executable <--"


def chain(failure: Failure) -> Iterator[ExceptionInfo]:
    """The exception and its causes, nearest first.

    Where the submit side cannot read an exception, the worker's description of it comes first and why it cannot be read
    second: that is not why the task failed, and is left out.
    """
    yield failure.exception
    if failure.causes and not (failure.causes[0].type == _UNREADABLE and failure.exception.type != _UNREADABLE):
        yield from failure.causes


def stderr(failure: Failure) -> str:
    """The end of standard error without the command, which Parsl writes in front of it."""
    tail = failure.stderr_tail or ""
    _, end, rest = tail.partition(_END_OF_COMMAND)
    return rest if end else tail


def command(failure: Failure) -> str:
    """The command of a bash app, which Parsl writes to its standard error before it runs."""
    head, end, _ = (failure.stderr_tail or "").partition(_END_OF_COMMAND)
    return head.partition(_BEGIN_OF_COMMAND)[2].strip() if end else ""


def names(info: ExceptionInfo) -> tuple[str, ...]:
    """The type's name and those of its bases, most derived first."""
    return info.mro or (info.type,)


def is_a(info: ExceptionInfo, types: tuple[str, ...]) -> bool:
    """Whether the exception is of one of the types, or of one derived from them."""
    return any(name in types for name in names(info))


def in_serializer(failure: Failure) -> bool:
    """Whether it failed while a framework wrote or read what is sent: no code of the task's ran yet, or any more."""
    return any(path in (failure.traceback or "") for path in _SERIALIZERS)


def is_mute(failure: Failure) -> bool:
    """Whether the exception says only that a process ended, so that its standard error may know more."""
    return any(name in _MUTE_TYPES for name in names(failure.exception))


def exit_status(failure: Failure) -> tuple[int | None, int | None]:
    """Exit code and signal; a shell's ``128 + n`` and Python's ``-n`` are read as signal ``n``."""
    code, signal = failure.exit_code, failure.signal
    if code is not None and signal is None and _aborted_with(failure, code):
        return code, None
    if code is None and (failure.causes or failure.exception.attributes):  # most say nothing of it
        for info in chain(failure):
            value = info.attributes.get("exitcode", info.attributes.get("returncode"))
            if type(value) is int:
                code = value
                break
    if signal is None and code is not None:
        if code < 0:
            signal = -code
        elif 128 < code <= 128 + 64:
            signal = code - 128
    return code, signal


# MPICH ends with the low byte of what it aborts with, which may look like a shell's ``128 + n``.
_ABORT = re.compile(r"\bAbort\((\d{1,12})\)")


def _aborted_with(failure: Failure, code: int) -> bool:
    tail = failure.stderr_tail or ""
    return "Abort(" in tail and any(int(number) % 256 == code for number in _ABORT.findall(tail)[:8])


_ERRNO_SAID = re.compile(r"\berrno\s?[=:]?\s?(\d{1,3})\b", re.IGNORECASE)


def errno_of(failure: Failure) -> int | None:
    """The number of the system's error: the exception's own, else the one that its message names (HDF5's do)."""
    value = failure.exception.attributes.get("errno")
    if type(value) is int:
        return value
    found = _ERRNO_SAID.search(failure.exception.message)
    return int(found.group(1)) if found else None


def ending(failure: Failure, history: History | None) -> tuple[int | None, int | None]:
    """Exit code and signal, where need be as a heartbeat reported them of the dead worker."""
    code, signal = exit_status(failure)
    if code is None and signal is None and history is not None:
        worker = history.dead_worker(failure.host, failure.pid)
        if worker is not None:
            return worker.exit_code, worker.signal
    return code, signal


def place(failure: Failure) -> str:
    """`` on HOST``, or nothing where the host is not known."""
    return f" on {failure.host}" if failure.host else ""


def first_line(message: str, limit: int = 160) -> str:
    """The first line of a message, cut to ``limit`` characters."""
    line = message.strip().partition("\n")[0]
    return line if len(line) <= limit else line[: limit - 1] + "…"


def quote(info: ExceptionInfo) -> str:
    """``TypeName: message`` on one line, for people."""
    name = info.type.rpartition(".")[2]
    line = first_line(info.message)
    return f"{name}: {line}" if line else name


def size(octets: float) -> str:
    """A number of bytes for people, in decimal units."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if octets >= factor:
            return f"{octets / factor:.1f} {unit}"
    return f"{octets:.0f} bytes"
