"""Rules for the runtime layer: what a task used up: open files, disk, processes, time (memory has its own)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules import signals
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import (
    EXIT_TYPES,
    Match,
    Rule,
    Scalar,
    Trust,
    ending,
    errno_of,
    exit_status,
    place,
    quote,
)
from octopus_plugins.wrath.rules.statements import said, stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

_TIMEOUTS = ("TimeoutError", "concurrent.futures._base.TimeoutError", "asyncio.exceptions.TimeoutError")
_FILES_WORDS = ("too many open files",)
_LOADER_WORDS = ("cannot open shared object file: error 24",)
_DISK_WORDS = ("no space left on device", "disk quota exceeded", "disk is full", "file too large")
_TIME_WORDS = (
    "due to time limit",
    "exceeded walltime",
    "walltime exceeded",
    "exceeded its walltime",
    "exceeded limit walltime",
    "exceeded the walltime",
    "exceeded time limit",
    "exceeded the time limit",
    "time limit exceeded",
    "time limit reached",
    "job killed: walltime",
    "term_runlimit",
    "exceeded run limit",
    "exceeded hard wallclock",
)
_FORK = Phrases(
    r"\bcan't start new thread\b",
    r"\bfork: retry\b",
    r"\b(?:cannot|can't|could not|couldn't|failed to|unable to) (?:fork|clone|spawn)\b",
    r"\bv?fork\(?\)?:? (?:failed|error|resource temporarily unavailable|retry)",
    r"\b(?:unable|failed|failure|cannot|can't|could not|couldn't) ?(?:to )?(?:create|start|launch"
    r"|spawn)[^\n]{0,40}\bthreads?\b",
    r"\bthread (?:creation|constructor|create)\b[^\n]{0,40}\b(?:fail|error)",
    r"\bpthread_create\b[^\n]{0,80}\b(?:fail|error|EAGAIN|resource temporarily)",
    r"\bsystem unable to allocate necessary resources for (?:omp )?thread\b",
    r"\bOMP: Error #34\b",
    r"\bRLIMIT_NPROC\b",
    r"\bfork rejected by pids\b",
    r"\bmax user processes\b",
    r"\btoo many processes\b",
    r"\bprocess limit\b",
    r"\bstd::system_error\b[^\n]{0,80}\bresource temporarily unavailable\b",
    r"^\s*what\(\): +resource temporarily unavailable",
    r"\b(?:fork|clone|spawn|exec\w*|create process|new process)\b[^\n]{0,60}\bresource temporarily unavailable\b",
)


def _files(failure: Failure, history: History | None) -> Match | None:
    number = errno_of(failure)
    named = any(word in failure.exception.message.lower() for word in _FILES_WORDS)
    if number not in (errno.EMFILE, errno.ENFILE) and not named:
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
    number = errno_of(failure)
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
    if errno_of(failure) != errno.EAGAIN or not (forked or "fork" in failure.exception.message):
        return None
    evidence = {"errno": "EAGAIN", "limit": failure.limits.processes if failure.limits else None}
    return Match(f"no further process could be started{place(failure)}", evidence, 0.9)


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


def _time_limit(failure: Failure, history: History | None) -> Match | None:
    """Python's own timeouts: those of sockets speak of a peer, the others of work that took too long."""
    message, number = failure.exception.message, errno_of(failure)
    if number is not None:
        return None
    if "timed out" in message and not failure.exception.attributes:
        reason = f"a network peer did not answer in time{place(failure)}: {quote(failure.exception)}"
        return Match(reason, confidence=0.7, category=Category.network_unreachable)
    return Match(f"the task's own time limit ran out{place(failure)}: {quote(failure.exception)}", {"of": "task"}, 0.75)


def _mute_time_limit(failure: Failure, history: History | None) -> Match | None:
    """A time-out without a word, such as asyncio's, is of the task's own making."""
    return None if failure.exception.message else _time_limit(failure, history)


def _program_time_limit(failure: Failure, history: History | None) -> Match:
    allowed = failure.exception.attributes.get("timeout")
    reason = f"a program ran longer than the task allows{place(failure)}: {quote(failure.exception)}"
    return Match(reason, {"walltime": allowed, "of": "task"}, 0.85)


def _timeout_command(failure: Failure, history: History | None) -> Match | None:
    if exit_status(failure)[0] != 124:
        return None
    evidence: dict[str, Scalar] = {"exit_code": 124, "of": "task"}
    return Match(f"the program ended with exit code 124, which timeout(1) gives{place(failure)}", evidence, 0.6)


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
        "walltime_exceeded.program",
        Category.walltime_exceeded,
        Trust.exact_type,
        _program_time_limit,
        types=("subprocess.TimeoutExpired",),
        doc="`subprocess.TimeoutExpired`",
    ),
    Rule(
        "walltime_exceeded.mute",
        Category.walltime_exceeded,
        Trust.exact_type,
        _mute_time_limit,
        types=_TIMEOUTS,
        doc="`TimeoutError` without a word",
    ),
    Rule(
        "walltime_exceeded.limit",
        Category.walltime_exceeded,
        Trust.symptom,
        _time_limit,
        types=_TIMEOUTS,
        doc="`TimeoutError` without errno; one of a socket (`timed out`): `network_unreachable`",
    ),
    Rule(
        "file_descriptors_exhausted.loader",
        Category.file_descriptors_exhausted,
        Trust.exit_status,
        said("a program ran out of open files", _LOADER_WORDS),
        types=EXIT_TYPES,
        words=_LOADER_WORDS,
        doc="a program whose libraries could not be opened for want of descriptors (glibc: `Error 24`)",
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
        "walltime_exceeded.text",
        Category.walltime_exceeded,
        Trust.statement,
        said("the time allowed ran out", _TIME_WORDS),
        words=_TIME_WORDS,
        doc="`DUE TO TIME LIMIT`, …",
    ),
    Rule(
        "file_descriptors_exhausted.text",
        Category.file_descriptors_exhausted,
        Trust.statement,
        said("ran out of open files", _FILES_WORDS),
        words=_FILES_WORDS,
        doc="`too many open files`",
    ),
    Rule(
        "disk_full.text",
        Category.disk_full,
        Trust.statement,
        said("a file system is full", _DISK_WORDS),
        words=_DISK_WORDS,
        doc="`no space left on device`, `disk quota exceeded`",
    ),
    stated(
        "process_limit.text",
        Category.process_limit,
        "no further process or thread could be started",
        _FORK,
        doc="`can't start new thread`, `pthread_create failed`, `fork: retry`, `std::system_error`, …",
    ),
)
