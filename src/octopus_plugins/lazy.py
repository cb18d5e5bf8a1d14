"""Names of a package whose modules are loaded when the names are first used, so that the package is cheap to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

_CORE = "octopus_plugins."


def lazily(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its name.
        homes: The module below it that has a name, by name; or one of the core, by its whole name.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        return getattr(import_module(home if home.startswith(_CORE) else f"{package}.{home}"), name)

    def names() -> list[str]:
        return sorted(homes)

    return get, names
