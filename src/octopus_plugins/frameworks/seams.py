"""Whether a host framework has what we build on. The seams are checked and not the number: hosts release weekly."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from octopus_plugins.errors import UnsupportedHostError

Seam = tuple[Any, str, tuple[str, ...]]
"""A class or module, the name of a function of it, and its first arguments without ``self``."""


def check_seams(host: str, seams: Iterable[Seam]) -> None:
    """Compare the functions that we call or replace with what they were when this was written.

    Args:
        host: The framework and its version, for people.
        seams: What is looked at.

    Raises:
        UnsupportedHostError: Something is missing or another; names it and what to do.
    """
    for owner, name, expected in seams:
        function = inspect.unwrap(getattr(owner, name, None) or (lambda: None))
        first = 0 if inspect.ismodule(owner) else 1  # self
        present = tuple(inspect.signature(function).parameters)[first:]
        if present[: len(expected)] != expected:
            raise UnsupportedHostError(
                f"{host} has another {owner.__name__}.{name} than octopus-plugins knows"
                f" (expected arguments {expected}, found {present});"
                " install the version in octopus-plugins' constraints.txt, or run without octopus-plugins"
            )
