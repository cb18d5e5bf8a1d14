"""Octopus for an executor of the SDK that is there already, in one line; and its undo."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from globus_compute_sdk import Executor

from globus_compute_hooks.sdk.executor import OctopusExecutor, Recovering
from globus_compute_hooks.sdk.ladder import Ladder
from octopus_plugins.config import OctopusConfig
from octopus_plugins.plugins import Plugins
from octopus_plugins.wrath import Policy

_Executor = TypeVar("_Executor", bound=Executor)

_BEFORE = "_octopus_before"


def enable(
    executor: _Executor,
    *,
    ladder: Ladder | None = None,
    policy: str | os.PathLike[str] | Mapping[str, Any] | Policy | None = None,
    mode: str | None = None,
    retries: int | None = None,
    octopus: OctopusConfig | Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
    listen: bool = True,
    speculate: bool = False,
) -> _Executor:
    """Turn Octopus on for an executor: what is submitted from now on is told, and tried again where that can help.

    What was submitted before goes on as it was. Doing it twice changes nothing.

    Args:
        executor: The executor; it is changed in place.
        ladder: See OctopusExecutor.
        policy: See OctopusExecutor.
        mode: See OctopusExecutor.
        retries: See OctopusExecutor.
        octopus: See OctopusExecutor.
        plugins: See OctopusExecutor.
        listen: See OctopusExecutor.
        speculate: See OctopusExecutor.

    Returns:
        The same executor.

    Raises:
        ConfigError: A setting is wrong.
        PolicyError: The policy is wrong; names file and key.
        UnsupportedHostError: This version of the SDK lacks something that we build on.
    """
    if isinstance(executor, Recovering):
        return executor
    cls = type(executor)
    # The instance stays the user's own, with all it was given: only its class learns to recover.
    executor.__class__ = type(f"Octopus{cls.__name__}", (Recovering, cls), {"__module__": __name__})
    try:
        executor._octopus_open(  # type: ignore[attr-defined]
            octopus, policy, ladder, mode, retries, plugins, listen, speculate
        )
    except BaseException:
        executor.__class__ = cls
        raise
    setattr(executor, _BEFORE, cls)
    return executor


def disable(executor: _Executor) -> _Executor:
    """Undo ``enable``: what is submitted from now on goes the SDK's own way.

    What was submitted meanwhile is still answered, and tried again where that can help; returns at once.

    Args:
        executor: The executor; it is changed in place.

    Returns:
        The same executor.
    """
    before = executor.__dict__.pop(_BEFORE, None)
    if before is None or isinstance(executor, OctopusExecutor):
        return executor
    dispatcher = executor.__dict__.pop("_octopus")
    executor.__class__ = before
    executor.task_count_submitted += dispatcher.sent()
    for name in ("_octopus_diary", "_octopus_names"):
        executor.__dict__.pop(name, None)
    dispatcher.shutdown(wait=False, cancel_futures=False)
    return executor
