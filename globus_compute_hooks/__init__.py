"""Globus Compute and Octopus: what endpoints do, streamed; what fails, decided. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.lazy import lazily

if TYPE_CHECKING:
    from globus_compute_hooks.engine import OctopusEngine

__all__ = ["OctopusEngine"]

__getattr__, __dir__ = lazily(__name__, {"OctopusEngine": "engine"})
