"""Where the user's settings and state live, also where there is no home directory to keep them in."""

from __future__ import annotations

import functools
import logging
import os
import stat
import tempfile
from pathlib import Path

logger = logging.getLogger("octopus_plugins")

NOWHERE = Path(os.devnull)
"""Stands for a home directory where there is none: nothing can be read or made below it."""


def config_home() -> Path:
    """Where settings live: ``$XDG_CONFIG_HOME/octopus``, else ``~/.config/octopus``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config") / "octopus"


def state_home() -> Path:
    """Where spool, counts and the broker's state live: ``$XDG_STATE_HOME/octopus``, else ``~/.local/state/octopus``.

    Where that cannot be made or written (no home directory, ``/dev/null``, somebody else's), it is a directory of the
    user's own below ``$TMPDIR``; a warning says so, once. Nothing secret is looked for there.
    """
    chosen = os.environ.get("XDG_STATE_HOME")
    if chosen:
        return Path(chosen) / "octopus"
    usual = _home() / ".local" / "state" / "octopus"
    return usual if can_be_written(usual) else _fallback(usual, os.geteuid())


def can_be_written(directory: Path) -> bool:
    """Whether a directory is there and takes files, or can be made."""
    for each in (directory, *directory.parents):
        try:
            found = each.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
        effective = os.access in os.supports_effective_ids
        return stat.S_ISDIR(found.st_mode) and os.access(each, os.W_OK | os.X_OK, effective_ids=effective)
    return False


def is_out_of_reach(file: Path) -> bool:
    """Whether a file cannot be looked for, as a directory on the way to it may not be entered."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return False


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # HOME is not set, and the user has no passwd entry
        return NOWHERE


@functools.lru_cache(maxsize=16)
def _fallback(usual: Path, user: int) -> Path:
    """A directory that nobody else can enter; the same one in each process of the user's, if nobody took its name."""
    place = _private_directory(user)
    logger.warning(
        "%s cannot be written: records wait in %s, and no settings are read from a home directory that cannot be"
        " entered. Set HOME, or XDG_STATE_HOME and XDG_CONFIG_HOME, to directories of your own.",
        usual,
        place,
    )
    return place


def _private_directory(user: int) -> Path:
    try:
        place = Path(tempfile.gettempdir()) / f"octopus-{user}"
        try:
            place.mkdir(mode=0o700)
        except FileExistsError:
            found = place.lstat()
            private = stat.S_ISDIR(found.st_mode) and found.st_uid == user and not stat.S_IMODE(found.st_mode) & 0o077
            if not private:
                return Path(tempfile.mkdtemp(prefix=f"octopus-{user}-"))
    except OSError:
        return NOWHERE / "octopus"  # records then wait in memory, and their sender says so
    return place
