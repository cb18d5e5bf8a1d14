"""Whether a host framework has what we build on. The seams are checked and not the number: hosts release weekly."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from octopus_plugins.errors import UnsupportedHostError

Seam = tuple[Any, str, tuple[str, ...]]
"""A class or module, the name of a function of it, and its first arguments without ``self``."""

_REMEDY = "install the version in octopus-plugins' constraints.txt, or run without octopus-plugins"


def check_seams(host: str, seams: Iterable[Seam]) -> None:
    """Compare the functions that we call or replace with what they were when this was written.

    Args:
        host: The framework and its version, for people.
        seams: What is looked at.

    Raises:
        UnsupportedHostError: Something is missing or another; names it and what to do.
    """
    for owner, name, expected in seams:
        if not hasattr(owner, name):
            raise UnsupportedHostError(f"{host} has no {owner.__name__}.{name}", remedy=_REMEDY)
        function = inspect.unwrap(getattr(owner, name))
        first = 0 if inspect.ismodule(owner) else 1  # self
        present = tuple(inspect.signature(function).parameters)[first:]
        if present[: len(expected)] != expected:
            raise UnsupportedHostError(
                f"{host} has another {owner.__name__}.{name} than octopus-plugins knows (expected arguments"
                f" {expected}, found {present})",
                remedy=_REMEDY,
            )


def check_names(host: str, owner: Any, name: str, expected: Iterable[str]) -> None:
    """See that a method uses the attributes that we read: instances get them in ``__init__`` only.

    Args:
        host: The framework and its version, for people.
        owner: A class.
        name: A method of it.
        expected: Names of attributes.

    Raises:
        UnsupportedHostError: One is not used; names it and what to do.
    """
    used = inspect.unwrap(getattr(owner, name)).__code__.co_names
    for attribute in expected:
        if attribute not in used:
            raise UnsupportedHostError(
                f"{host} has a {owner.__name__}.{name} without {attribute!r}, which octopus-plugins reads",
                remedy=_REMEDY,
            )
