"""Rules for the runtime layer: workers, managers, blocks, and what they may use (memory has a module of its own)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath import signals
from octopus_plugins.wrath.rules import (
    EXIT_TYPES,
    LOST_TYPES,
    Match,
    Rule,
    Scalar,
    Trust,
    ending,
    exit_status,
    first_line,
    line_with,
    place,
    quote,
)
from octopus_plugins.wrath.taxonomy import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history import BlockState, History

GRACE = 60.0
"""Seconds before the end of a block's walltime in which a death counts as its end; schedulers kill in steps."""

_FILES_WORDS = ("too many open files",)
_DISK_WORDS = ("no space left on device", "disk quota exceeded", "disk is full", "file too large")
_TIME_WORDS = ("due to time limit", "exceeded walltime", "walltime exceeded", "job exceeded its walltime")
_PREEMPTED_WORDS = ("due to preemption", "preempted", "preemption", "spot instance", "node reclaim")
_FORK_WORDS = ("can't start new thread", "fork: retry", "cannot fork", "fork failed", "unable to create thread")
_BLOCK_WORDS = ("jobs have failed", "too many job failures", "block failed", "job missing")


def _errno(failure: Failure) -> int | None:
    value = failure.exception.attributes.get("errno")
    return value if type(value) is int else None


# -- limits -----------------------------------------------------------------------------------------------------------


def _files(failure: Failure, history: History | None) -> Match | None:
    number = _errno(failure)
    said = any(word in failure.exception.message.lower() for word in _FILES_WORDS)
    if number not in (errno.EMFILE, errno.ENFILE) and not said:
        return None
    evidence = {
        "errno": errno.errorcode.get(number) if number else None,
        "open_files": failure.usage.open_files if failure.usage else None,
        "limit": failure.limits.open_files if failure.limits else None,
    }
    bound = f" (limit {evidence['limit']})" if evidence["limit"] else ""
    scope = "node" if number == errno.ENFILE else None
    return Match(f"ran out of open files{place(failure)}{bound}", evidence, 0.95, scope=scope)


def _disk(failure: Failure, history: History | None) -> Match | None:
    number = _errno(failure)
    if number not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return None
    evidence = {
        "errno": errno.errorcode[number],
        "subject": failure.exception.attributes.get("filename"),
        "disk_free": failure.node.disk_free if failure.node else None,
        "tmp_free": failure.node.tmp_free if failure.node else None,
    }
    what = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up"}.get(number, "a file grew too large")
    return Match(f"{what}{place(failure)}: {quote(failure.exception)}", evidence, 0.95)


def _file_size(failure: Failure, history: History | None) -> Match | None:
    if exit_status(failure)[1] != signals.XFSZ:
        return None
    evidence = {"signal": "SIGXFSZ", "limit": failure.limits.file_size if failure.limits else None}
    return Match(f"a file grew beyond its limit{place(failure)}", evidence, 0.9)


def _processes(failure: Failure, history: History | None) -> Match | None:
    # EAGAIN means "would block" on a pipe or socket, and "no more processes" from fork and clone.
    trail = f"{failure.exception.location or ''}\n{(failure.traceback or '')[-2000:]}"
    forked = any(word in trail for word in ("subprocess.py", "popen_fork", "forkserver", "os.fork", "_fork_exec"))
    if _errno(failure) != errno.EAGAIN or not (forked or "fork" in failure.exception.message):
        return None
    evidence = {"errno": "EAGAIN", "limit": failure.limits.processes if failure.limits else None}
    return Match(f"no further process could be started{place(failure)}", evidence, 0.9)


# -- time -------------------------------------------------------------------------------------------------------------


def _timeout(failure: Failure, history: History | None) -> Match:
    ran = failure.ended - failure.started if failure.ended and failure.started else None
    allowed = failure.limits.walltime if failure.limits else None
    bound = f" of {allowed:g} s" if allowed else ""
    evidence: dict[str, Scalar] = {"walltime": allowed, "ran": ran, "of": "task"}
    return Match(f"ran longer than its walltime{bound}{place(failure)}", evidence, 0.95)


def _cpu_time(failure: Failure, history: History | None) -> Match | None:
    if ending(failure, history)[1] != signals.XCPU:
        return None
    return Match(f"used up its CPU time{place(failure)}", {"signal": "SIGXCPU", "of": "task"}, 0.9)


def _timeout_command(failure: Failure, history: History | None) -> Match | None:
    if exit_status(failure)[0] != 124:
        return None
    evidence: dict[str, Scalar] = {"exit_code": 124, "of": "task"}
    return Match(f"the program ended with exit code 124, which timeout(1) gives{place(failure)}", evidence, 0.6)


# -- what is gone, and why --------------------------------------------------------------------------------------------


def _block(failure: Failure, history: History | None) -> BlockState | None:
    return history.block(failure.run_id, failure.executor, failure.block) if history else None


def _block_walltime(failure: Failure, history: History | None) -> Match | None:
    block = _block(failure, history)
    if block is None or history is None:
        return None
    pool = history.pool(failure.run_id, failure.executor)
    allowed = pool.walltime if pool else None
    lived = failure.time - block.started if block.started is not None else None
    over = lived is not None and allowed is not None and allowed - GRACE <= lived and lived >= 0.9 * allowed
    if block.state != "TIMEOUT" and not over:
        return None
    evidence = {"walltime": allowed, "lived": lived, "block_state": block.state, "of": "block"}
    reason = f"the walltime of block {failure.block} ran out under the task{place(failure)}"
    return Match(reason, evidence, 0.85, scope="node", resolvable="yes")


def _block_state(failure: Failure, history: History | None) -> Match | None:
    block = _block(failure, history)
    if block is None or block.state not in ("FAILED", "MISSING", "COMPLETED", "CANCELLED", "HELD", "SCALED_IN"):
        return None
    evidence = {"block": failure.block, "block_state": block.state}
    if block.state in ("CANCELLED", "HELD", "SCALED_IN"):
        reason = f"block {failure.block} was taken away ({block.state.lower()}) under the task"
        return Match(reason, evidence, 0.8, category=Category.preempted)
    return Match(f"block {failure.block} ended ({block.state.lower()}) under the task", evidence, 0.8)


def _preempted(failure: Failure, history: History | None) -> Match | None:
    signal = ending(failure, history)[1]
    if signal not in (None, signals.TERM, signals.KILL):
        return None
    evidence = {
        "text": line_with(failure, _PREEMPTED_WORDS),
        "signal": signals.signal_name(signal) if signal else None,
    }
    return Match(f"the scheduler took the node away{place(failure)}", evidence, 0.9 if signal else 0.6)


def _worker(failure: Failure, history: History | None) -> Match:
    signal = ending(failure, history)[1]
    evidence = {
        "signal": signals.signal_name(signal) if signal else None,
        "worker_id": failure.exception.attributes.get("worker_id", failure.worker_id),
    }
    how = f" by {signals.signal_name(signal)}" if signal else ""
    host = place(failure) or _named_host(failure)
    return Match(f"the worker was ended{how}{host}, and nothing says why", evidence, 0.7)


def _manager(failure: Failure, history: History | None) -> Match:
    evidence = {"manager": failure.exception.attributes.get("manager_id", failure.manager)}
    host = place(failure) or _named_host(failure)
    return Match(f"the worker pool{host} stopped answering", evidence, 0.8)


def _named_host(failure: Failure) -> str:
    host = failure.exception.attributes.get("hostname")
    return f" on {host}" if host else ""


def _scaling(failure: Failure, history: History | None) -> Match:
    return Match(f"no scheduler job could be had: {first_line(failure.exception.message)}", confidence=0.85)


def _text(reason: str, words: tuple[str, ...], of: str | None = None):  # type: ignore[no-untyped-def]
    def match(failure: Failure, history: History | None) -> Match:
        evidence = {"text": line_with(failure, words)} | ({"of": of} if of else {})
        return Match(f"{reason}{place(failure)}: {evidence['text']}", evidence, 0.7)

    return match


_GONE = LOST_TYPES
_ENDED = LOST_TYPES + EXIT_TYPES

RULES = (
    Rule(
        "file_descriptors_exhausted.errno",
        Category.file_descriptors_exhausted,
        Trust.exact_type,
        _files,
        types=("OSError", "ImportError"),
        doc="`OSError` with `EMFILE` or `ENFILE`; an import that failed for it",
    ),
    Rule(
        "disk_full.errno",
        Category.disk_full,
        Trust.exact_type,
        _disk,
        types=("OSError",),
        doc="`OSError` with `ENOSPC`, `EDQUOT` or `EFBIG`",
    ),
    Rule(
        "process_limit.errno",
        Category.process_limit,
        Trust.exact_type,
        _processes,
        types=("OSError",),
        doc="`OSError` with `EAGAIN` from fork",
    ),
    Rule(
        "walltime_exceeded.type",
        Category.walltime_exceeded,
        Trust.exact_type,
        _timeout,
        types=("parsl.app.errors.AppTimeout",),
        doc="`AppTimeout`",
    ),
    Rule(
        "block_failed.type",
        Category.block_failed,
        Trust.exact_type,
        _scaling,
        types=(
            "parsl.executors.errors.ScalingFailed",
            "parsl.jobs.errors.TooManyJobFailuresError",
            "parsl.providers.errors.ScaleOutFailed",
            "parsl.providers.errors.SubmitException",
        ),
        doc="`ScalingFailed`, `TooManyJobFailuresError`, `SubmitException`",
    ),
    Rule(
        "walltime_exceeded.cpu_time",
        Category.walltime_exceeded,
        Trust.exit_status,
        _cpu_time,
        doc="a process ended by SIGXCPU",
    ),
    Rule(
        "walltime_exceeded.exit_code",
        Category.walltime_exceeded,
        Trust.exit_status,
        _timeout_command,
        types=EXIT_TYPES,
        doc="exit code 124, as of timeout(1)",
    ),
    Rule("disk_full.signal", Category.disk_full, Trust.exit_status, _file_size, doc="a process ended by SIGXFSZ"),
    Rule(
        "walltime_exceeded.block",
        Category.walltime_exceeded,
        Trust.structured,
        _block_walltime,
        types=_GONE,
        doc="a worker or manager gone at the end of its block's walltime",
    ),
    Rule(
        "block_failed.state",
        Category.block_failed,
        Trust.structured,
        _block_state,
        types=_GONE,
        doc="a worker or manager gone, and its block in a final state (cancelled, held, scaled in: `preempted`)",
    ),
    Rule(
        "preempted.text",
        Category.preempted,
        Trust.text,
        _preempted,
        types=_ENDED,
        words=_PREEMPTED_WORDS,
        doc="a process ended by SIGTERM or SIGKILL, and standard error speaks of preemption",
    ),
    Rule(
        "walltime_exceeded.text",
        Category.walltime_exceeded,
        Trust.text,
        _text("the time allowed ran out", _TIME_WORDS, of="block"),
        words=_TIME_WORDS,
        doc="`DUE TO TIME LIMIT`, …",
    ),
    Rule(
        "file_descriptors_exhausted.text",
        Category.file_descriptors_exhausted,
        Trust.text,
        _text("ran out of open files", _FILES_WORDS),
        words=_FILES_WORDS,
        doc="`too many open files`",
    ),
    Rule(
        "disk_full.text",
        Category.disk_full,
        Trust.text,
        _text("a file system is full", _DISK_WORDS),
        words=_DISK_WORDS,
        doc="`no space left on device`, `disk quota exceeded`",
    ),
    Rule(
        "process_limit.text",
        Category.process_limit,
        Trust.text,
        _text("no further process or thread could be started", _FORK_WORDS),
        words=_FORK_WORDS,
        doc="`can't start new thread`, `fork: retry`",
    ),
    Rule(
        "worker_lost.type",
        Category.worker_lost,
        Trust.symptom,
        _worker,
        types=(
            "parsl.executors.high_throughput.errors.WorkerLost",
            "concurrent.futures.process.BrokenProcessPool",
        ),
        doc="`WorkerLost`, `BrokenProcessPool`, for want of a better explanation",
    ),
    Rule(
        "manager_lost.type",
        Category.manager_lost,
        Trust.symptom,
        _manager,
        types=("parsl.executors.high_throughput.errors.ManagerLost",),
        doc="`ManagerLost`, for want of a better explanation",
    ),
)
