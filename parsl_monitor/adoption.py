"""Makes executors observed: those of a configuration, and those that are added to a run later."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import GlobusComputeExecutor, HighThroughputExecutor
from parsl.monitoring.radios.filesystem import FilesystemRadio
from parsl.monitoring.radios.htex import HTEXRadio
from parsl.monitoring.radios.udp import UDPRadio

from parsl_monitor.executor import ObservedExecutor
from parsl_monitor.radio import OctopusRadio
from parsl_monitor.run.globus_compute import ComputeExecutor

if TYPE_CHECKING:
    from parsl_monitor.hub import OctopusMonitoringHub

logger = logging.getLogger("octopus_plugins")

_SPAWNING = (FilesystemRadio, UDPRadio)
"""Radios of Parsl's whose receiver is a process: a script without a ``__main__`` guard cannot start one. Without
Parsl's own resource monitoring nothing is ever sent to it."""


class Adoption:
    """How `enable` has executors observed.

    Args:
        hub: The run's.
        radio: For executors that have Parsl's default.
        **attributes: Class attributes of the executors that become observed; see ObservedExecutor.
    """

    def __init__(self, hub: OctopusMonitoringHub, radio: OctopusRadio, **attributes: Any) -> None:
        self._hub = hub
        self._radio = radio
        self._attributes = attributes
        self._before: list[tuple[Any, type, dict[str, Any]]] = []

    def adopt(self, executors: Sequence[Any]) -> None:
        """Have executors observed that are not started yet; does nothing to those that are.

        An instance stays the user's own, with all it was given: only its class learns to observe.
        """
        for executor in executors:
            try:
                self._adopt(executor)
            except Exception:
                # The border to what users derive from Parsl's executors: such a one runs as in Parsl alone.
                name = type(executor).__name__
                with contextlib.suppress(Exception):
                    name = executor.label
                with contextlib.suppress(Exception):
                    executor.remote_monitoring_radio = None  # Parsl asks for it where there is a hub
                logger.warning("Executor %s cannot be observed; its tasks run as in Parsl alone", name, exc_info=True)

    def _adopt(self, executor: Any) -> None:
        changed = ("remote_monitoring_radio", "block_error_handler")
        before = {name: vars(executor)[name] for name in changed if name in vars(executor)}
        cls = type(executor)
        try:
            if isinstance(executor, HighThroughputExecutor) and not isinstance(executor, ObservedExecutor):
                executor.__class__ = _mixed(ObservedExecutor, cls, **self._attributes)
            elif isinstance(executor, GlobusComputeExecutor) and not isinstance(executor, ComputeExecutor):
                executor.__class__ = _mixed(ComputeExecutor, cls, octopus_hub=self._hub)
            self._choose_radio(executor)
        except Exception:
            if type(executor) is not cls:
                executor.__class__ = cls
            raise
        if type(executor) is not cls or executor.remote_monitoring_radio is not before.get(changed[0]):
            self._before.append((executor, cls, before))

    def undo(self) -> None:
        """Make the executors what they were, as long as they are not started."""
        for executor, cls, before in reversed(self._before):
            executor.__class__ = cls
            vars(executor).update(before)
        self._before.clear()

    def _choose_radio(self, executor: Any) -> None:
        kind = type(executor.remote_monitoring_radio)
        observed = isinstance(executor, ObservedExecutor) and kind is HTEXRadio
        if observed or (kind in _SPAWNING and self._hub.logging_endpoint is None):
            executor.remote_monitoring_radio = self._radio


class Additions:
    """Adopts the executors that are added to runs by ``DataFlowKernel.add_executors``, while there is such a run.

    Replaces that method, and puts it back when the last run is over. Parsl tells a hub nothing of an executor before it
    starts one; and one that finds a hub starts a process for its reports.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._parsls: Callable[..., None] | None = None

    def begin(self) -> None:
        """A run with an adoption begins."""
        with self._lock:
            self._runs += 1
            if self._parsls is None:
                self._parsls = DataFlowKernel.add_executors
                DataFlowKernel.add_executors = _adopting(self._parsls)

    def end(self) -> None:
        """Such a run is over."""
        with self._lock:
            self._runs -= 1
            if self._runs == 0 and self._parsls is not None:
                DataFlowKernel.add_executors = self._parsls
                self._parsls = None


ADDITIONS = Additions()
"""This process's: it has one class DataFlowKernel."""


def _adopting(parsls: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(parsls)
    def add_executors(dfk: Any, executors: Sequence[Any]) -> None:
        adoption = getattr(dfk.monitoring, "adoption", None)
        if adoption is not None:
            adoption.adopt(executors)
        parsls(dfk, executors)

    return add_executors


def _mixed(ours: type, cls: type, **attributes: Any) -> type:
    """A child of both that passes for the user's own class, by which Parsl's logs and his own code name it."""
    named = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (ours, cls), {**named, **attributes})
