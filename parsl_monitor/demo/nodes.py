"""Several nodes on one machine, for Parsl's LocalProvider."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from parsl.launchers.base import Launcher

from parsl_monitor.demo import node

_BLOCK = re.compile(r"--block_id=(\S+)")


@dataclass(frozen=True, slots=True)
class Node:
    """What a node of the demo has.

    Attributes:
        memory: Address space of each process, in MiB; None is unlimited.
        path: Directory in front of PYTHONPATH.
    """

    memory: int | None = None
    path: str | None = None


class NodeLauncher(Launcher):
    """Starts each block as a node of its own, named ``{label}-{block}``.

    Args:
        label: Label of the executor.
        nodes: What each block has, by block id; ``"*"`` stands for the others.
    """

    def __init__(self, label: str, nodes: Mapping[str, Node]) -> None:
        super().__init__()
        self.label = label
        self.nodes = nodes

    def __call__(self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "") -> str:
        """The command as it runs on its node."""
        found = _BLOCK.search(command)
        block = found.group(1) if found else "0"
        own = self.nodes.get(block, self.nodes.get("*", Node()))
        words = [sys.executable, node.__file__, "--name", f"{self.label}-{block}"]
        if own.memory:
            words += ["--memory", str(own.memory)]
        if own.path:
            words += ["--path", own.path]
        return f"{shlex.join(words)} -- {command}"


@cache
def nodes_have_names() -> bool:
    """Whether this machine lets a process have a host name of its own."""
    asked = subprocess.run(
        [sys.executable, node.__file__, "--name", "octopus-test", "--", sys.executable, "-c",
         "import socket; print(socket.gethostname())"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip() == "octopus-test"
