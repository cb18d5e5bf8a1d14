"""Starts a command as if on a node of its own: with a host name, a memory limit and an environment.

Run by its path, by the launcher in ``parsl_monitor.demo.nodes``. The host name needs a UTS namespace of Linux
(inside a user namespace when not root). Where there is none the command runs under the machine's own name.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import resource
import socket
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000


def unshare(flags: int) -> None:
    """Enter new namespaces, inside a user namespace of our own where that is what it takes.

    Args:
        flags: ``CLONE_NEW…``, as unshare(2) takes them.

    Raises:
        OSError: The kernel does not allow it, or is none of Linux.
    """
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENOSYS, "namespaces need Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(flags if uid == 0 else flags | CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")


def take_name(name: str) -> bool:
    """Give this process, and what it starts, a host name of its own.

    Returns:
        Whether that worked.
    """
    try:
        unshare(CLONE_NEWUTS)
        socket.sethostname(name)
    except OSError:
        return False
    return True


def main() -> None:
    """Read the arguments and become the command."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--name", required=True, help="host name")
    parser.add_argument("--memory", type=int, help="address space of each process, in MiB")
    parser.add_argument("--path", help="put in front of PYTHONPATH")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    take_name(options.name)
    if options.memory:
        resource.setrlimit(resource.RLIMIT_AS, (options.memory << 20,) * 2)
    if options.path:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (options.path, os.environ.get("PYTHONPATH"))))
    # Parsl's worker pool stands beside the interpreter, which need not be on the PATH of whoever calls it.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    # One core per worker: with more, a linear algebra library's idle threads take most of the address space.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
