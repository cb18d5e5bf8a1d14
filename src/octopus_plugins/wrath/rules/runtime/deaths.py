"""Rules for deaths that others report: a rank, a child or a worker of the task's own died, and its parent says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.redaction import without_secrets
from octopus_plugins.wrath.rules import signals
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import EXIT_TYPES, Match, Rule, Scalar, Trust, exit_status, is_a, place, quote
from octopus_plugins.wrath.rules.statements import spoken, stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

_NUMBERS = {name: number for number, name in signals.NAMES.items()}

_DEATH_WORDS = (
    "signal",
    "sigkill",
    "sigsegv",
    "sigabrt",
    "sigbus",
    "sigill",
    "sigfpe",
    "sigterm",
    ": killed",
    "killed by",
    "was killed",
    "exitcode",
    "exit code",
    "exit status",
    "exited with",
)
_BY_NAME = re.compile(r"\b(SIG(?:KILL|SEGV|ABRT|BUS|ILL|FPE|TERM|XCPU))\b")
_BY_NUMBER = re.compile(
    r"\b(?:exited (?:on|due to|with|by)|exit string: \w[\w ]{0,40} \(|terminated (?:by|with)|ended by|killed by"
    r"|killed \(|died"
    r" (?:of|from|with|due to)|caught|due to)\W{0,3}(?:a )?(?:uncaught )?signal:?\W{0,3}(\d{1,2})\b"
    r"|\bsignal:?\s{0,3}(\d{1,2})\s?\((?:SIG|killed|segm|abort|bus|illegal|floating|terminated)",
    re.IGNORECASE,
)
_BY_EXIT_CODE = re.compile(
    r"\b(?:exitcode|returncode|exit code)\W{0,4}(-\d{1,2})\b"
    r"|\b(?:exited|failed|died|terminated|ended|returned|returns|finished)\b[^\n0-9-]{0,40}\b(?:exit ?code"
    r"|exit ?status|code|status)"
    r"[^\n0-9-]{0,12}(-\d{1,2}|1(?:2[89]|3\d|4\d|5\d))\b",
    re.IGNORECASE,
)
_BY_HYDRA = re.compile(r"^=\s+(?:EXIT CODE|KILLED BY SIGNAL): (\d{1,3})\b", re.IGNORECASE)
_BY_WORD = re.compile(
    r"\b(?:task|tasks|rank|process|worker|workers|child|job|step|subprocess)\b[^\n]{0,80}(?:: |was |were |been |got )"
    r"(killed|segmentation fault|bus error|illegal instruction|floating point exception)\b"
    r"|signal: (killed|segmentation fault|bus error|aborted|illegal instruction|floating point exception|terminated)\b",
    re.IGNORECASE,
)
_WORDS = {
    "killed": signals.KILL,
    "segmentation fault": 11,
    "bus error": 7,
    "aborted": 6,
    "illegal instruction": signals.ILL,
    "floating point exception": 8,
    "terminated": signals.TERM,
}
_NO_DEATH = Phrases(
    r"^\s*(?:#|\[?(?:debug|info)\b)",
    r"could be caused by",
    r"this could",
    r"may be caused",
    r"\bif \b",
    r"\bhandlers?\b",
    r"\b(?:ignor|mask|trap)",
)

# What says that one of several processes of a parallel program is gone, in the words of those who wait for it.
_PEER = Phrases(
    r"\bwatchdog caught collective operation timeout\b",
    r"\bncclRemoteError\b",
    r"\bnccl\b[^\n]{0,160}\b(?:time(?:d)? ?out|timeout|remote (?:process|peer)|aborted|peer)\b",
    r"\b(?:gloo|c10d|tcpstore|processgroup\w*|rendezvous|store)\b[^\n]{0,160}\b(?:time(?:d)? ?out|timeout"
    r"|closed by peer|reset by peer|broken pipe|connection (?:closed|reset|was closed)|wait timeout)",
    r"\b(?:ORTE|PRTE|PMIX|PMI)\b[^\n]{0,160}\b(?:lost (?:communication|connection)|unexpectedly (?:failed|died)"
    r"|unreachable)",
    r"\bremote daemon\b",
    r"\blost communication with\b",
    r"\bassert \(!closed\) failed\b",
    r"\bHYD[TU]\w{2,40}\b[^\n]{0,120}(?:error|fail)",
    r"\bmca_btl_tcp\w*\b[^\n]{0,160}\b(?:failed|reset by peer|closed)",
    r"\b(?:rank \d{1,7}|peer|remote process|remote peer)\b[^\n]{0,60}\b(?:has (?:died|exited|failed|disconnected)"
    r"|is (?:dead|gone)"
    r"|died|exited|disconnected|no longer (?:exists|responds)|closed the connection|not responding)\b",
    r"\bactor\b[^\n]{0,120}\b(?:died|is dead|unavailable|has died|was killed|task failed)\b",
    r"\braylet (?:has )?died\b",
    r"\blost (?:connection to )?(?:the )?(?:worker|scheduler|nanny)\b",
    r"\bworkers? (?:heartbeat|lost)\b[^\n]{0,60}(?:timeout|expired|lost)",
)

_PEER_TYPES = (
    "threading.BrokenBarrierError",
    "ray.exceptions.RayActorError",
    "ray.exceptions.ActorDiedError",
    "ray.exceptions.ActorUnavailableError",
    "ray.exceptions.NodeDiedError",
    "ray.exceptions.OwnerDiedError",
    "ray.exceptions.ObjectLostError",
    "distributed.comm.core.CommClosedError",
    "distributed.client.FutureCancelledError",
    "torch.distributed.DistBackendError",
    "torch.distributed.DistNetworkError",
    "torch.distributed.DistStoreError",
)


_OF_MANY = Phrases(r"\brank\b", r"\bmpi\w*\b", r"\bsrun\b")


def reported_signal(lines: list[str]) -> tuple[int, str] | None:
    """The signal that a parent says its child was ended by, and the line that says it; the last one that is told."""
    for line in reversed(lines):
        number = _signal_in(line)
        if number is not None:
            return number, without_secrets(line.strip())[:200]
    return None


def _signal_in(line: str) -> int | None:
    if _NO_DEATH.has(line):
        return None
    if found := _BY_NAME.search(line):
        return _NUMBERS[found.group(1)]
    if found := _BY_NUMBER.search(line):
        return _known(int(found.group(1) or found.group(2)))
    if found := _BY_EXIT_CODE.search(line):
        number = int(found.group(1) or found.group(2))
        return _known(-number if number < 0 else number - 128)
    if found := _BY_HYDRA.search(line):
        number = int(found.group(1))
        return _known(number - 128 if number > 128 else number)
    if found := _BY_WORD.search(line):
        return _WORDS[(found.group(1) or found.group(2)).lower()]
    return None


def _known(number: int) -> int | None:
    return number if number in signals.NAMES else None


def _death(failure: Failure, history: History | None) -> Match | None:
    # How a program ended itself is no report of another's end.
    said = spoken(failure, itself=not is_a(failure.exception, EXIT_TYPES))
    found = reported_signal(said.text.split("\n"))
    if found is None:
        return None
    number, line = found
    name = signals.signal_name(number)
    evidence: dict[str, Scalar] = {"signal": name, "text": line, "reported": True}
    if number == signals.KILL:
        reason = f"a process of it was ended by SIGKILL{place(failure)}, most often for want of memory: {line}"
        return Match(reason, evidence, 0.55, category=Category.memory_exhausted)
    if number == signals.ILL:
        reason = f"a process of it was built for another processor{place(failure)}: {line}"
        return Match(reason, evidence, 0.7, category=Category.hardware_mismatch)
    if number in signals.CRASHES:
        return Match(f"a process of it crashed with {name}{place(failure)}: {line}", evidence, 0.75)
    if number == signals.XCPU:
        reason = f"a process of it used up its CPU time{place(failure)}: {line}"
        return Match(reason, evidence, 0.75, category=Category.walltime_exceeded)
    if number == signals.TERM:
        reason = f"a process of it was ended by SIGTERM{place(failure)}: {line}"
        gone = Category.peer_lost if _OF_MANY.has(line) else Category.worker_lost
        return Match(reason, evidence, 0.5, category=gone)
    return None


def _unexplained_kill(failure: Failure, history: History | None) -> Match | None:
    """A program that somebody killed, and nobody says why."""
    code, signal = exit_status(failure)
    if signal != signals.KILL:
        return None
    evidence: dict[str, Scalar] = {"signal": "SIGKILL", "exit_code": code}
    reason = (
        f"the program was ended by SIGKILL{place(failure)}, which most often is for want of memory; nothing says why"
    )
    return Match(reason, evidence, 0.5)


def _pipe(failure: Failure, history: History | None) -> Match | None:
    """The other end of a pipe between processes of the task's own is gone."""
    where = failure.exception.location or ""
    if not _MULTIPROCESSING.search(where):
        return None
    reason = f"a process of the task's own is gone{place(failure)}: {quote(failure.exception)}"
    return Match(reason, {"raised_in": where}, 0.75)


_MULTIPROCESSING = re.compile(r"[/\\]multiprocessing[/\\]")


def _peer(failure: Failure, history: History | None) -> Match:
    return Match(f"a process that it works with is gone{place(failure)}: {quote(failure.exception)}", confidence=0.75)


RULES = (
    Rule(
        "native_crash.reported",
        Category.native_crash,
        Trust.statement,
        _death,
        words=_DEATH_WORDS,
        doc="a parent that names the signal its child was ended by (mpiexec, srun, hydra, joblib, billiard, torch): "
        "SIGSEGV, SIGABRT, …; SIGKILL: `memory_exhausted`, SIGILL: `hardware_mismatch`, SIGTERM: `worker_lost`",
    ),
    Rule(
        "peer_lost.pipe",
        Category.peer_lost,
        Trust.exact_type,
        _pipe,
        types=("EOFError", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError"),
        doc="a pipe or socket of `multiprocessing` whose other end is gone",
    ),
    Rule(
        "peer_lost.type",
        Category.peer_lost,
        Trust.statement,
        _peer,
        types=_PEER_TYPES,
        doc="what Ray, Dask and PyTorch raise where an actor, a node or a rank is gone",
    ),
    stated(
        "peer_lost.text",
        Category.peer_lost,
        "a process that it works with is gone",
        _PEER,
        confidence=0.7,
        doc="NCCL and Gloo time-outs, `ORTE has lost communication`, a rank or actor that died",
    ),
    Rule(
        "memory_exhausted.unexplained",
        Category.memory_exhausted,
        Trust.symptom,
        _unexplained_kill,
        types=EXIT_TYPES,
        doc="a program ended by SIGKILL, for want of a better explanation",
    ),
)
