"""The scenes of the corpus, by name."""

from __future__ import annotations

import importlib

from benchmarks.corpus.cases import Scene

_MODULES: tuple[str, ...] = (
    "code",
    "arithmetic",
    "inputs",
    "programs",
    "pickles",
    "installation",
    "network",
    "files",
    "memory",
    "walltimes",
    "crashes",
    "losses",
    "framework",
    "versions",
    "compute",
    "gpu",
    "services",
    "credentials",
    "busy",
    "peers",
    "setups",
    "hardware",
    "containers",
)

SCENES: dict[str, Scene] = {
    scene.name: scene
    for module in _MODULES
    for scene in importlib.import_module(f"benchmarks.corpus.scenes.{module}").SCENES
}
