"""Makes ``type: OctopusEngine`` resolvable: the endpoint looks its engines up by name, in a module of its own.

Nothing of Globus Compute is imported for it: when the endpoint imports its engines, ours is offered beside them, and
is loaded when a configuration names it. Where it cannot be loaded, the name stands for the host's own engine.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import logging
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

ENGINES = "globus_compute_endpoint.engines"
ENGINE = "OctopusEngine"


def install() -> None:
    """Offer the engine from now on; a second call changes nothing."""
    if ENGINES in sys.modules:
        _offer(sys.modules[ENGINES])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def uninstall() -> None:
    """Offer the engine no more."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    engines = sys.modules.get(ENGINES)
    offered = getattr(engines, "__getattr__", None)
    if isinstance(offered, _Offer):
        vars(engines).pop(ENGINE, None)
        if offered.behind is None:
            del engines.__getattr__  # type: ignore[union-attr]
        else:
            engines.__getattr__ = offered.behind  # type: ignore[union-attr, method-assign]


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the endpoint's engines as the finders behind it would, with a loader that offers ours as well."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != ENGINES:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec  # type: ignore[no-any-return]
        return None


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader would, then offers our engine in it."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._host.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        self._host.exec_module(module)
        _offer(module)


class _Offer:
    """``__getattr__`` of the module of engines: loads ours when it is asked for.

    Args:
        engines: The module.
        behind: Its own ``__getattr__``, if any.
    """

    def __init__(self, engines: ModuleType, behind: Any) -> None:
        self._engines, self.behind = engines, behind

    def __call__(self, name: str) -> Any:
        if name == ENGINE:
            value = _engine(self._engines)
            setattr(self._engines, name, value)
            return value
        if self.behind is not None:
            return self.behind(name)
        raise AttributeError(f"module {self._engines.__name__!r} has no attribute {name!r}")


def _offer(engines: ModuleType) -> None:
    behind = getattr(engines, "__getattr__", None)
    if not isinstance(behind, _Offer):
        engines.__getattr__ = _Offer(engines, behind)  # type: ignore[method-assign]


def _engine(engines: Any) -> Any:
    try:
        from globus_compute_hooks.endpoint.engine import OctopusEngine
    except Exception as error:  # noqa: BLE001 - the border: whatever is missing or broken here, the endpoint starts
        return _plain(engines.GlobusComputeEngine, error)
    return OctopusEngine


def _plain(host: Any, error: Exception) -> Any:
    """The host's own engine, under our name."""
    logging.getLogger("globus_compute_endpoint").error(
        "Octopus: OctopusEngine cannot be loaded (%s: %s); the endpoint runs a %s in its place."
        " `octopus endpoint status` says more",
        type(error).__name__,
        error,
        host.__name__,
    )

    def __init__(self: Any, *args: Any, octopus: Any = None, **kwargs: Any) -> None:
        self.octopus = octopus
        host.__init__(self, *args, **kwargs)

    return type(ENGINE, (host,), {"__init__": __init__})
