"""Rules for `resource_busy`: somebody else holds what the task needs, and time helps."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import Match, Rule, Trust, errno_of, place, quote
from octopus_plugins.wrath.rules.statements import stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

_BUSY = {
    errno.EBUSY,
    errno.ETXTBSY,
    errno.ENOLCK,
    errno.EAGAIN,
    errno.EDEADLK,
    errno.EADDRINUSE,
    errno.EALREADY,
    errno.ENOTEMPTY,  # of what is being removed while others still write, or an NFS client keeps what is open
    errno.EUSERS,
}

_LOCKED = Phrases(
    r"\b(?:database|table|schema|file|directory|environment|repository|store|archive|dataset|index|cache"
    r"|account)\b[^\n]{0,120}\bis (?:already )?locked\b",
    r"\b(?:unable|cannot|can't|could not|couldn't|failed|failing|timed? ?out|timeout)\b[^\n]{0,80}\block(?:s|ed"
    r"|ing)?\b",
    r"\block(?:ing)?\b[^\n]{0,160}\b(?:could not|cannot|can't|couldn't|unable to|failed to) be ?(?:acquired"
    r"|obtained|taken)",
    r"\b(?:could not|cannot|can't|couldn't|unable to|failed to) (?:acquire|obtain|get|take|grab)\b[^\n]{0,80}\block",
    r"\b(?:is |was |already )?locked by (?:another|a different|process|pid)\b",
    r"\bfile (?:is )?(?:already )?(?:locked|held) by\b",
    r"\block(?: is)? (?:already )?held by\b",
    r"\block (?:error|failed|wait timeout|timeout)\b",
    r"\blocking failed\b",
    r"\bno locks available\b",
    r"\bresource deadlock avoided\b",
    r"\bdeadlock (?:found|detected|victim)\b",
    r"\bcould not serialize access\b",
    r"\banother (?:process|instance)\b[^\n]{0,80}\b(?:lock|using|holds|running|access|open)",
    r"\b(?:unable|failed) to (?:synchronously )?(?:open|create) file\b[^\n]{0,80}\block",
    r"index\.lock'?: File exists",
    r"\balready open for writ",
    r"\bused by another process\b",
)
_THREADS = Phrases(
    r"fork",
    r"thread",
    r"clone",
    r"spawn",
    r"nproc",
    r"process",
)
_BUSY_SAID = Phrases(
    r"\bdevice or resource busy\b",
    r"\btext file busy\b",
    r"\bresource busy\b",
    r"\bfile busy\b",
    r"\baddress already in use\b",
    r"\b(?:port|address|socket|device|session|name)\b[^\n]{0,80}\balready (?:in use|allocated|bound)\b",
    r"\.nfs0[0-9a-f]{3,}",
    r"\bstep creation (?:temporarily|still) disabled\b",
    r"\brequested nodes are busy\b",
    r"\bunable to create step for job\b[^\n]{0,80}\b(?:not available|busy|unavailable)\b",
    r"\b(?:device|node|server|resource|target|disk|drive|mount point) is busy\b",
    r"\bresource temporarily unavailable\b",
    r"\bbeing used by another\b",
    unless=_THREADS,
)


def _busy(failure: Failure, history: History | None) -> Match | None:
    number = errno_of(failure)
    if number not in _BUSY:
        return None
    evidence = {"errno": errno.errorcode[number], "subject": failure.exception.attributes.get("filename")}
    reason = f"something that it needs is held by another process{place(failure)}: {quote(failure.exception)}"
    return Match(reason, evidence, 0.85 if number in (errno.EBUSY, errno.ETXTBSY, errno.ENOLCK) else 0.75)


def _refused_file(failure: Failure, history: History | None) -> Match | None:
    """SQLite's and others' codes for what is locked, where the driver keeps them."""
    code = str(failure.exception.attributes.get("sqlite_errorname") or "")
    if not code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return None
    return Match(f"the database is locked{place(failure)}: {quote(failure.exception)}", {"error_code": code}, 0.9)


RULES = (
    Rule(
        "resource_busy.errno",
        Category.resource_busy,
        Trust.exact_type,
        _busy,
        types=("OSError",),
        doc="`OSError` with `EBUSY`, `ETXTBSY`, `ENOLCK`, `EDEADLK`, `EADDRINUSE`, `ENOTEMPTY`; `EAGAIN` outside fork",
    ),
    Rule(
        "resource_busy.database",
        Category.resource_busy,
        Trust.exact_type,
        _refused_file,
        types=("sqlite3.OperationalError",),
        doc="SQLite's `SQLITE_BUSY` and `SQLITE_LOCKED`",
    ),
    stated(
        "resource_busy.lock",
        Category.resource_busy,
        "a lock that it needs is held by another process",
        _LOCKED,
        doc="`database is locked`, `unable to lock file`, `lock … could not be acquired`, `no locks available`, …",
    ),
    stated(
        "resource_busy.text",
        Category.resource_busy,
        "something that it needs is in use",
        _BUSY_SAID,
        doc="`device or resource busy`, `text file busy`, `address already in use`, `step creation … disabled`",
    ),
)
