"""Several nodes on one machine, for Parsl's LocalProvider: the good ones, and the one that has something wrong."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.resilience import node

SITE = Path(__file__).parent / "site"
"""Directory of the module that a node may lack."""

SMALL_NODES = 3
"""Nodes of the executor ``small``; each has one worker."""

SMALL_MEMORY = 1_600
"""Address space of each process on a small node, MiB; the node of ``large`` has no limit."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a node.

    Attributes:
        no_module: It lacks the module in SITE.
        files: Open files that each process may have.
        scratch_size: KiB of its scratch file system.
        mounted_late: Its shared file system is not mounted when the run begins.
    """

    no_module: bool = False
    files: int | None = None
    scratch_size: int | None = None
    mounted_late: bool = False


def entry(label: str, memory: int | None, faults: Mapping[str, Fault], directory: Path) -> str:
    """The ``worker_init`` of a provider's blocks: each becomes a node of its own, named ``{label}-{block}``.

    Parsl runs it first in each block's script. It starts that script again on the node. A launcher would do as well,
    but systems may look at it; all of Parsl's own stay in use this way. A block that is started later in place of a
    lost one is a good node.

    Args:
        label: Label of the executor.
        memory: Address space of each process, MiB; None is unlimited.
        faults: What is wrong, by block id.
        directory: Of the run; has ``scratch``, ``shared`` and, for what is mounted late, ``late``.

    Returns:
        Lines of bash.
    """
    lines = ['if [ -z "${RESILIENCE_NODE:-}" ]; then', "export RESILIENCE_NODE=1", "block=${0##*.block-}"]
    lines += ["block=${block%%.*}", 'case "$block" in']
    lines += [f"{block}) set -- {_options(memory, fault, directory)} ;;" for block, fault in faults.items()]
    lines += [f"*) set -- {_options(memory, Fault(), directory)} ;;", "esac"]
    start = shlex.join([sys.executable, node.__file__])
    lines += [f'exec {start} --name "{label}-$block" "$@" -- bash "$0"', "fi"]
    return "\n".join(lines)


def _options(memory: int | None, fault: Fault, directory: Path) -> str:
    words = ["--scratch", str(directory / "scratch")]
    words += ["--shared", str(directory / ("late" if fault.mounted_late else "shared"))]
    if memory:
        words += ["--memory", str(memory)]
    if not fault.no_module:
        words += ["--path", str(SITE)]
    if fault.files:
        words += ["--files", str(fault.files)]
    if fault.scratch_size:
        words += ["--scratch-size", str(fault.scratch_size)]
    return shlex.join(words)


@cache
def missing_means() -> str:
    """Why this machine cannot play several nodes; empty where it can."""
    trial = "import socket; print(socket.gethostname())"
    with tempfile.TemporaryDirectory(prefix="octopus-resilience-") as scratch:
        command = [sys.executable, node.__file__, "--name", "octopus-test"]
        command += ["--scratch", scratch, "--scratch-size", "64"]
        asked = subprocess.run(
            [*command, "--", sys.executable, "-c", trial], capture_output=True, text=True, check=False, timeout=30
        )
    if asked.stdout.strip() == "octopus-test":
        return ""
    return (
        "this machine gives a process no UTS and mount namespace of its own (Linux, as root or with"
        f" kernel.unprivileged_userns_clone=1): {asked.stderr.strip()[-300:]}"
    )
