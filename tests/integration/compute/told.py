"""What the topics have of an OctopusExecutor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from benchmarks.compute.endpoint import PATIENCE
from globus_compute_hooks import OctopusExecutor
from octopus_plugins.config import OctopusConfig


def own(executor: OctopusExecutor, ask: Callable[..., Any], octopus: OctopusConfig, **which: Any) -> list[Any]:
    """What the executor's own run says, once all is told and has arrived."""
    dispatcher = executor._octopus
    if dispatcher._thread is not None and dispatcher._thread.is_alive():
        told = threading.Event()
        dispatcher._work.put(told.set)
        assert told.wait(PATIENCE)
    # Those who share a configuration share what sends their events, which goes on when one of them ends.
    assert executor._octopus_diary._emitter.flush(60)
    return list(ask(run_id=executor.octopus_run_id, config=octopus, **which))


def of(executor: OctopusExecutor, future: Any, ask: Callable[..., Any], octopus: OctopusConfig) -> list[Any]:
    """What the executor's own run says of a future, once all is told."""
    return own(executor, ask, octopus, task_id=future._metadata["octopus"]["task_id"])
