"""Starts a command as on a node of its own: host name, limits, environment, a file system that may be full.

Run by its path, by ``benchmarks.resilience.nodes``. Needs Linux: a UTS namespace for the name, a mount namespace for
the full file system (inside a user namespace when not root). Without them the command does not start: a figure
measured on nodes that all bear one name would say nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import socket
import sys

from parsl_monitor.demo.node import CLONE_NEWNS, CLONE_NEWUTS, unshare

MS_REC_PRIVATE = 0x4000 | 0x40000


def main() -> None:
    """Read the arguments and become the command."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--name", required=True, help="host name")
    parser.add_argument("--memory", type=int, help="address space of each process, MiB")
    parser.add_argument("--files", type=int, help="open files of each process")
    parser.add_argument("--path", help="put in front of PYTHONPATH")
    parser.add_argument("--scratch", help="the node's scratch directory, in RESILIENCE_SCRATCH")
    parser.add_argument("--scratch-size", type=int, help="mount a file system of so many KiB there")
    parser.add_argument("--shared", help="where the node finds its shared file system, in RESILIENCE_SHARED")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    unshare(CLONE_NEWUTS | (CLONE_NEWNS if options.scratch_size else 0))
    socket.sethostname(options.name)
    if options.scratch_size:
        mount_small(options.scratch, options.scratch_size)
    for limit, value in ((resource.RLIMIT_AS, (options.memory or 0) << 20), (resource.RLIMIT_NOFILE, options.files)):
        if value:
            resource.setrlimit(limit, (value, value))
    if options.path:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (options.path, os.environ.get("PYTHONPATH"))))
    for name, value in (("RESILIENCE_SCRATCH", options.scratch), ("RESILIENCE_SHARED", options.shared)):
        if value:
            os.environ[name] = value
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    os.execvp(command[0], command)


def mount_small(directory: str, kibibytes: int) -> None:
    """Mount a file system in memory that only this node sees; it is gone with the node's last process.

    Raises:
        OSError: The kernel does not allow it.
    """
    _check(_libc.mount(None, b"/", None, MS_REC_PRIVATE, None), "making mounts private")
    options = f"size={kibibytes}k".encode("ascii")
    _check(_libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, options), f"mounting on {directory}")


def _check(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


_libc = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    if not sys.platform.startswith("linux"):
        raise SystemExit("benchmarks.resilience needs the namespaces of Linux")
    main()
