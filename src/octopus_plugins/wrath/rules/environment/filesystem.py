"""Rules for `filesystem_error`: a file system that fails under the task."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.environment.network import NETWORK_ERRNO
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import Match, Rule, Trust, errno_of, place, quote
from octopus_plugins.wrath.rules.statements import stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

_ALWAYS = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.EROFS,
        errno.ENODEV,
        errno.ENXIO,
        errno.EMLINK,
        errno.EBADF,
        errno.EPROTO,
        getattr(errno, "EREMOTEIO", errno.EIO),
        getattr(errno, "EUCLEAN", errno.EIO),
        getattr(errno, "ENOMEDIUM", errno.ENODEV),
        getattr(errno, "EMEDIUMTYPE", errno.ENODEV),
        getattr(errno, "ENOLINK", errno.EIO),
    }
)
_WITH_FILE = NETWORK_ERRNO | {errno.EPIPE, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.EFAULT}
"""Numbers that speak of a file system where a file is named with them."""

_SAID = Phrases(
    r"\bfile locking disabled on this file system\b",
    r"\binput/output error\b",
    r"\bdisk i/o error\b",
    r"\b(?:read|write|file|device|hard|fatal) i/o error\b",
    r"\bstale (?:nfs )?file handle\b",
    r"\bread-only file ?system\b",
    r"\b(?:cannot send after )?transport endpoint (?:is not connected|shutdown)",
    r"\bremote i/o error\b",
    r"\bstructure needs cleaning\b",
    r"\b(?:lustre|beegfs|gpfs|cvmfs|ceph\w*|nfs|fuse)\b[^\n]{0,100}\b(?:evict\w*|not (?:mounted|responding"
    r"|available|connected"
    r"|accessible)|hung|unmounted|stale|timed out|failed|failure)\b",
    r"\bfailed\b[^\n]{0,60}\b(?:lustre|beegfs|gpfs|cvmfs|ceph\w*)\b",
    r"\bno such device\b",
    r"\bbad file descriptor\b",
)


def _errno(failure: Failure, history: History | None) -> Match | None:
    number, name = errno_of(failure), failure.exception.attributes.get("filename")
    of_file = bool(name) or "open file" in failure.exception.message.lower()
    if number is None or (number not in _ALWAYS and not (of_file and number in _WITH_FILE)):
        return None
    evidence = {"errno": errno.errorcode.get(number), "subject": name}
    return Match(f"the file system failed{place(failure)}: {quote(failure.exception)}", evidence, 0.9)


def _no_directory(failure: Failure, history: History | None) -> Match | None:
    # Every call that takes a path names it, but not getcwd: the working directory is gone.
    known = failure.exception.attributes
    if known.get("errno") != errno.ENOENT or known.get("filename") is not None:
        return None
    return Match(f"the working directory is gone{place(failure)}", {"errno": "ENOENT"}, 0.6)


RULES = (
    Rule(
        "filesystem_error.errno",
        Category.filesystem_error,
        Trust.exact_type,
        _errno,
        types=("OSError",),
        doc="`OSError` with `EIO`, `ESTALE`, `EROFS`, …; with `ENOTCONN`, `ESHUTDOWN`, `ETIMEDOUT`, … of a file",
    ),
    Rule(
        "filesystem_error.directory",
        Category.filesystem_error,
        Trust.exact_type,
        _no_directory,
        types=("FileNotFoundError",),
        doc="`ENOENT` of a call that names no file: the working directory was removed",
    ),
    stated(
        "filesystem_error.text",
        Category.filesystem_error,
        "the file system failed",
        _SAID,
        confidence=0.7,
        doc="`stale file handle`, `input/output error`, `Cannot send after transport endpoint shutdown`, …",
    ),
)
