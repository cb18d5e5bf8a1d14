"""Rules for `memory_exhausted`: what the task asked for, used and was allowed."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules import signals
from octopus_plugins.wrath.rules.rule import (
    EXIT_TYPES,
    LOST_TYPES,
    Match,
    Rule,
    Scalar,
    Trust,
    ending,
    errno_of,
    exit_status,
    place,
    quote,
    size,
)
from octopus_plugins.wrath.rules.statements import line_with
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

NEAR = 0.9
"""Share of a limit from which on a process counts as having reached it."""

LOW = 0.1
"""Share of a node's memory below which it counts as used up."""

LARGE = 256 << 20
"""Bytes from which on a process may have used up a node's memory."""

VICTIM = 0.5
"""Share of its largest neighbour's memory below which a process is not what used up the node's."""

_UNITS = {"bytes": 1.0, "b": 1.0}
_UNITS |= {f"{letter}b": 1e3**power for power, letter in enumerate("kmgtp", 1)}
_UNITS |= {f"{letter}ib": 1024.0**power for power, letter in enumerate("kmgtp", 1)}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{0,9})?)\s{0,3}(bytes|[kmgtp]i?b)\b", re.IGNORECASE)

# A loader that gets no memory for a library reports it as an ImportError without a number.
_LOADER_WORDS = ("cannot allocate memory", "failed to map segment")
_GPU_WORDS = ("cuda", "cudnn", "hip error", "hip out of memory", "gpu")
_NOT_MEMORY = (
    "unable to create native thread",
    "unable to create new native thread",
    "fork: ",
    "pthread_create",
    "ibv_",
    "libfabric",
    "queue pair",
)

_WORDS = (
    "out of memory",
    "out-of-memory",
    "outofmemory",
    "oom-kill",
    "oom killer",
    "oom_kill",
    "std::bad_alloc",
    "cannot allocate memory",
    "cannot allocate vector",
    "unable to allocate",
    "failed to allocate",
    "memoryerror",
    "memory exhausted",
    "exceeded memory limit",
    "exceeded job memory limit",
    "exceeded step memory limit",
    "java heap space",
    "gc overhead limit exceeded",
    "insufficient memory",
    "insufficient virtual memory",
    "not enough memory",
    "not enough space for object heap",
    "could not reserve enough space",
    "cannot reserve enough space",
    "running low on memory",
    "out of shared memory",
    "insufficient shared memory",
    "shared memory limit",
    "no space left on device: '/dev/shm",
    "/dev/shm: no space left",
    "unable to mmap",
    "mmap failed",
    "mmap error",
    "failed to mmap",
    "memory allocation failed",
    "memory allocation error",
    "memory allocation of",
    "could not allocate",
    "couldn't allocate",
    "can't allocate",
    "failed to malloc",
    "malloc failed",
    "memory limit exceeded",
    "memory limit reached",
    "exceeds memory",
    "exceeding memory",
    "exceeded memory",
    "exceeded its memory",
    "exceeded the memory",
    "exceeding its memory",
    "over memory limit",
    "above memory limit",
    "memory usage exceeded",
    "used too much memory",
    "vector memory limit",
    "term_memlimit",
    "killed process",
    "memory cgroup",
    "oom-killed",
    "oomkilled",
    "oom killed",
    "oom_killed",
    "ran out of memory",
    "run out of memory",
)
_SHARED = "/dev/shm"


def requested(failure: Failure) -> float | None:
    """Bytes that the failing allocation asked for, where the message says so (numpy, pandas, Arrow do)."""
    match = _SIZE.search(failure.exception.message)
    return float(match.group(1)) * _UNITS[match.group(2).lower()] if match else None


def limit(failure: Failure) -> int | None:
    """The tightest limit on the worker's memory, bytes; None where none is known."""
    limits = failure.limits
    if limits is None:
        return None
    known = [value for value in (limits.address_space, limits.data, limits.cgroup_memory) if value]
    return min(known, default=None)


def facts(failure: Failure) -> dict[str, Scalar]:
    """The figures that a judgement on memory rests on; those that are not known are left out."""
    usage, node = failure.usage, failure.node
    found: dict[str, Scalar] = {
        "requested": requested(failure),
        "limit": limit(failure),
        "rss": usage.rss if usage else None,
        "peak_rss": usage.peak_rss if usage else None,
        "node_memory": node.memory_total if node else None,
        "node_available": node.memory_available if node else None,
        "neighbours": True if neighbours_at_fault(failure) else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def neighbours_at_fault(failure: Failure) -> bool:
    """Whether the node's memory is used up while this try stayed far below what it may use."""
    usage, node = failure.usage, failure.node
    if usage is None or usage.rss is None or node is None or not node.memory_total or node.memory_available is None:
        return False
    own = max(usage.rss, usage.peak_rss or 0) + (requested(failure) or 0.0)
    allowed = min(limit(failure) or node.memory_total, node.memory_total)
    return node.memory_available < LOW * node.memory_total and own < 0.5 * allowed


def _sentence(failure: Failure, found: dict[str, Scalar]) -> str:
    clauses = []
    if isinstance(asked := found.get("requested"), float):
        clauses.append(f"asked for {size(asked)}")
    elif isinstance(rss := found.get("peak_rss", found.get("rss")), int):
        clauses.append(f"used {size(rss)}")
    if isinstance(bound := found.get("limit"), int):
        clauses.append(f"under a limit of {size(bound)}")
    elif isinstance(available := found.get("node_available"), int):
        clauses.append(f"with {size(available)} left on the node")
    detail = f" ({' '.join(clauses)})" if clauses else ""
    return f"ran out of memory{place(failure)}{detail}"


def _refused(failure: Failure, history: History | None) -> Match:
    found = facts(failure)
    return Match(_sentence(failure, found), found, 0.95)


def _enomem(failure: Failure, history: History | None) -> Match | None:
    message = failure.exception.message.lower()
    refused = any(word in message for word in _LOADER_WORDS)
    if failure.exception.attributes.get("errno") != errno.ENOMEM and not refused:
        return None
    found = facts(failure) | {"errno": "ENOMEM"}
    return Match(_sentence(failure, found), found, 0.9)


def _shared(failure: Failure, history: History | None) -> Match | None:
    """A full ``/dev/shm``: a file system by name, and memory in truth."""
    name = str(failure.exception.attributes.get("filename") or "")
    if errno_of(failure) != errno.ENOSPC or _SHARED not in f"{name} {failure.exception.message}":
        return None
    found = facts(failure) | {"errno": "ENOSPC", "subject": _SHARED}
    return Match(f"the shared memory is used up{place(failure)}: {quote(failure.exception)}", found, 0.9)


def _killed(failure: Failure, history: History | None) -> Match | None:
    """A process that is gone: by the kernel's count of out-of-memory kills, else by its last sample against limits."""
    code, signal = ending(failure, history)
    if signal is not None and signal != signals.KILL and signal not in signals.CRASHES:
        return None
    found = facts(failure)
    if signal is not None:
        found["signal"] = signals.signal_name(signal)
    # What ended by itself, with an exit code, was not killed: the kernel's count is of a neighbour then.
    killed = signal == signals.KILL or (signal is None and code is None)
    if killed and (kills := _new_oom_kills(failure, history)):
        found["oom_kills"] = kills
        if (largest := _larger_neighbour(failure, history)) is not None:
            return _victim(failure, found, largest)
        return Match(f"the kernel ended it for want of memory{place(failure)}", found, 0.9)
    if _near_limit(failure):
        return Match(f"died at its memory limit: {_sentence(failure, found)}", found, 0.8)
    return None


def _larger_neighbour(failure: Failure, history: History | None) -> int | None:
    """Bytes of the process beside which this try was small, where memory ran out on its node; None where it was not."""
    usage, node = failure.usage, failure.node
    own = max(usage.rss or 0, usage.peak_rss or 0) if usage is not None else 0
    if not own:
        return None
    known = history.host(failure.host) if history and failure.pid else None
    others = [rss for pid, rss in known.processes.items() if pid != failure.pid] if known is not None else []
    largest = max(others, default=0)
    if own < VICTIM * largest:
        return largest
    bound = limit(failure) or (node.memory_total if node else None)
    return bound if not others and bound and own < LOW * bound else None


def outgrew_neighbours(failure: Failure, history: History | None) -> bool:
    """Whether this try was by far the largest process on its node when the node's processes went down together.

    It may have taken them along: it is no victim, and not retried for free.
    """
    usage, known = failure.usage, history.host(failure.host) if history else None
    own = max(usage.rss or 0, usage.peak_rss or 0) if usage is not None else 0
    others = [rss for pid, rss in known.processes.items() if pid != failure.pid] if known is not None else []
    return own >= LARGE and bool(others) and VICTIM * own > max(others)


def _victim(failure: Failure, found: dict[str, Scalar], largest: int) -> Match:
    category = Category.manager_lost if "ManagerLost" in failure.exception.type else Category.worker_lost
    reason = f"went down with its neighbours when memory ran out{place(failure)}: it used {_own(found)} itself"
    return Match(reason, found | {"victim": True, "largest": largest}, 0.8, category=category)


def _own(found: dict[str, Scalar]) -> str:
    used = found.get("peak_rss", found.get("rss"))
    return size(used) if isinstance(used, int) else "little"


def _new_oom_kills(failure: Failure, history: History | None) -> int:
    """Out-of-memory kills on the node that fell into this try, as far as the counts tell."""
    known = history.host(failure.host) if history else None
    count = failure.node.oom_kills if failure.node else None
    if known is not None:
        began = failure.started or failure.launched or failure.time - 60.0
        if known.oom_time >= began:
            return 1
        if count is not None and known.oom_kills is not None:
            return max(0, count - known.oom_kills)
    return 0


def _near_limit(failure: Failure) -> bool:
    usage, limits, node = failure.usage, failure.limits, failure.node
    if usage is None:
        return False
    rss = max(usage.rss or 0, usage.peak_rss or 0)
    pairs = [
        (rss, limits.cgroup_memory if limits else None),
        (rss, limits.data if limits else None),
        (usage.vms or 0, limits.address_space if limits else None),
        (rss, node.memory_total if node else None),
    ]
    return any(bound and used >= NEAR * bound for used, bound in pairs)


def _said(failure: Failure, history: History | None) -> Match | None:
    line = line_with(failure, _WORDS)
    if any(word in line.lower() for word in (*_GPU_WORDS, *_NOT_MEMORY)):
        return None  # the GPU's memory, not the node's; or threads, whose want is told in the words of memory
    code, signal = exit_status(failure)
    found = facts(failure) | {"text": line}
    if signal is not None:
        found |= {"signal": signals.signal_name(signal), "exit_code": code}
    crashed = signal in signals.CRASHES  # C++ aborts on ``std::bad_alloc``, V8 at its heap's limit
    return Match(f"{_sentence(failure, found)}: {line}", found, 0.85 if crashed else 0.7)


RULES = (
    Rule(
        "memory_exhausted.type",
        Category.memory_exhausted,
        Trust.exact_type,
        _refused,
        types=("MemoryError",),
        doc="`MemoryError` and its children (NumPy's `_ArrayMemoryError`, Arrow's `ArrowMemoryError`)",
    ),
    Rule(
        "memory_exhausted.errno",
        Category.memory_exhausted,
        Trust.exact_type,
        _enomem,
        types=("OSError", "ImportError"),
        doc="`OSError` with `ENOMEM`; an import that failed for it",
    ),
    Rule(
        "memory_exhausted.shared",
        Category.memory_exhausted,
        Trust.exact_type,
        _shared,
        types=("OSError",),
        doc="`OSError` with `ENOSPC` in `/dev/shm`",
    ),
    Rule(
        "memory_exhausted.killed",
        Category.memory_exhausted,
        Trust.exit_status,
        _killed,
        types=LOST_TYPES + EXIT_TYPES,
        doc="a process gone, and the kernel counted an out-of-memory kill or the last sample is at the limit",
    ),
    Rule(
        "memory_exhausted.text",
        Category.memory_exhausted,
        Trust.statement,
        _said,
        words=_WORDS,
        doc="`out of memory`, `std::bad_alloc`, `oom-kill`, `Java heap space`, …",
    ),
)
