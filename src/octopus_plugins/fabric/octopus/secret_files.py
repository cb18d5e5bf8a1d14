"""Files that only their owner may read: written whole, with modes that are checked, one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from octopus_plugins.errors import CredentialsError

_TRY_LOCK_EVERY = 0.05  # seconds


def read_secret(path: Path) -> bytes:
    """Read a file after its owner and modes, and those of its directory, have been found to be tight.

    Raises:
        FileNotFoundError: It is not there.
        CredentialsError: Somebody else could read or replace it, or it cannot be read; says what to do.
    """
    try:
        with path.open("rb") as stream:
            _check(path.parent, path.parent.stat(), "700")
            _check(path, os.fstat(stream.fileno()), "600")
            return stream.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CredentialsError(f"{path} cannot be read: {error}", remedy="check its owner and mode") from error


def write_secret(path: Path, data: bytes) -> None:
    """Write a file of mode 0600, whole or not at all, in a directory of mode 0700, which is made where it is missing.

    Raises:
        CredentialsError: It cannot be written, or somebody else could read it; says what to do.
    """
    make_secret_directory(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            # Never an existing file, whose mode and whose readers would not be ours.
            number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            draft.unlink()  # of a process with the same number that was killed
            number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(number, "wb") as stream:
                os.fchmod(stream.fileno(), 0o600)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CredentialsError(
            f"{path} cannot be written: {error}",
            remedy="make room, or set OCTOPUS_CREDENTIALS_DIR to a directory of your own",
        ) from error


def make_secret_directory(directory: Path) -> None:
    """Make a directory of mode 0700, with its parents, or find that it is one.

    Raises:
        CredentialsError: It cannot be made, or others may enter it; says what to do.
    """
    try:
        for each in (directory.parent, directory):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(directory, directory.stat(), "700")
    except OSError as error:
        raise CredentialsError(
            f"{directory} cannot be made: {error}", remedy="set OCTOPUS_CREDENTIALS_DIR to a directory of your own"
        ) from error


@contextlib.contextmanager
def locked(path: Path, timeout: float) -> Iterator[None]:
    """Hold a lock file, so that one process at a time does what follows.

    Args:
        path: The lock file; it stays.
        timeout: Seconds to wait for whoever holds it.

    Raises:
        CredentialsError: It is still held after that time, or cannot be locked.
    """
    make_secret_directory(path.parent)
    deadline = time.monotonic() + timeout
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CredentialsError(f"{path} cannot be opened: {error}", remedy="check its owner and mode") from error
    try:
        while True:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise CredentialsError(
                        f"another process has held {path} for more than {timeout:g} s", remedy="wait for it, or end it"
                    ) from None
                time.sleep(_TRY_LOCK_EVERY)
            except OSError as error:
                raise CredentialsError(
                    f"{path} cannot be locked: {error}",
                    remedy="set OCTOPUS_CREDENTIALS_DIR to a directory on a disk that can",
                ) from error
        yield
    finally:
        os.close(number)  # which gives the lock back


def _check(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.geteuid():
        raise CredentialsError(
            f"{path} belongs to another user",
            remedy="set OCTOPUS_CREDENTIALS_DIR to a directory of your own",
            code="secret_exposed",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise CredentialsError(
            f"{path} can be read or changed by others (mode {stat.S_IMODE(found.st_mode):03o})",
            remedy=f"if you trust what is in it, `chmod {mode} {path}`, else `octopus login --rotate` after that",
            code="secret_exposed",
            command=f"chmod {mode} {path}",
        )
