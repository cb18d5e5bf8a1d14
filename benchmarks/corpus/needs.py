"""Programs that a scene needs on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

SYSTEM = "/usr/sbin:/sbin"
"""Where programs of the administrator are, beside the search path."""


def needs(**packages: str) -> Callable[[Path], None]:
    """Make the ``prepare`` of a scene that runs other people's programs.

    Args:
        packages: The Debian package of each program or file. In a program's name, ``_`` stands for ``-``.

    Returns:
        A function that raises `RuntimeError` with the command that installs what is missing.
    """

    def check(_: Path) -> None:
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), SYSTEM])
        missing = [package for name, package in packages.items() if not shutil.which(name.replace("_", "-"), path=path)]
        if missing:
            raise RuntimeError(f"This scene runs programs that are missing. Run: apt-get install {' '.join(missing)}")

    return check
