"""Starts a command as if on a node of its own: name, limits, cgroup, file systems, environment. Needs root.

Run by its path, by ``benchmarks.corpus.places.CorpusLauncher``, with a JSON object:

    name          host name
    rlimits       {"AS": bytes, "NOFILE": n, "FSIZE": bytes, …}
    memory        bytes of a memory cgroup, for the whole node
    processes     limit of a pids cgroup, for the whole node
    tmpfs         {directory: options of mount(8)}, private to the node
    environment   variables, set
    path          put in front of PYTHONPATH
    later         shell command run beside the node
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

from parsl_monitor.demo.node import CLONE_NEWNS, CLONE_NEWUTS, unshare

CGROUP = Path("/sys/fs/cgroup")


def main() -> None:
    """Become the command."""
    own = json.loads(sys.argv[1])
    command = sys.argv[2:]
    if os.getuid() != 0:
        raise SystemExit("a node of its own needs root: its cgroups and file systems do")
    unshare(CLONE_NEWUTS | CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    socket.sethostname(own["name"])
    for directory, options in own.get("tmpfs", {}).items():
        Path(directory).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)
    for controller, file, key in (
        ("memory", "memory.limit_in_bytes", "memory"),
        ("pids", "pids.max", "processes"),
    ):
        if key in own:
            group = CGROUP / controller / f"octopus-corpus-{own['name']}-{os.getpid()}"
            group.mkdir()
            (group / file).write_text(str(own[key]), encoding="ascii")
            (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    for name, bound in own.get("rlimits", {}).items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (bound, bound))
    os.environ.update(own.get("environment", {}))
    if "path" in own:
        os.environ["PYTHONPATH"] = os.pathsep.join((own["path"], os.environ.get("PYTHONPATH", "")))
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", ARROW_NUM_THREADS="1")
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
