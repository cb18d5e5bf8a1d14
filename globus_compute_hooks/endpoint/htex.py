"""What Octopus changes in an endpoint's executor: a node agent in its pools, an interchange that steers its tasks."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from octopus_plugins.htex import encrypted_reports
from octopus_plugins.htex.broadcasts import PACE, task_like
from octopus_plugins.htex.interchange.selector import HostStanding, OctopusManagerSelector, publish
from octopus_plugins.htex.observation import WATCHED, Settings
from octopus_plugins.htex.pool.launch import launch_command, passes_through
from octopus_plugins.htex.steering import FRONT_OF_THE_QUEUE, Steering
from octopus_plugins.wrath import Standing

POOL = "globus-compute-endpoint python-exec parsl.executors.high_throughput.process_worker_pool"
"""How the host starts Parsl's worker pool."""


class SteeredExecutor:
    """An executor of the host's with our interchange and our worker pools, where it has the host's own.

    Args:
        engine: The engine that has it, before it starts.
        settings: What its pools and workers are told.
        standing_file: Where the interchange reads how the nodes stand.
        placements: Whether the host wants to know at once where each task is, as for the audit log of an endpoint.
    """

    def __init__(self, engine: Any, settings: Settings, standing_file: Path, *, placements: bool = False) -> None:
        executor = engine.executor
        self._file = standing_file
        self._standing = HostStanding()
        self._lock = threading.Lock()
        self._told = threading.local()
        self._sending = threading.Lock()  # the queue belongs to one thread at a time
        self._executor = executor
        self._submit: Callable[[dict[str, Any], bytes], Any] = executor.submit_payload
        self.steerable = executor.interchange_launch_cmd == engine._get_compute_ix_launch_cmd()
        if self.steerable:
            executor.interchange_launch_cmd = [
                sys.executable,
                encrypted_reports.program(encrypted=executor.encrypted),
                f"--label={settings.executor}",
                f"--period={settings.heartbeat_period}",
                *(["--placements"] if placements else []),
            ]
            executor.manager_selector = OctopusManagerSelector(standing_file, executor.manager_selector)
        # In a container there may be neither a shell nor a Python of that name.
        if engine.container_type is None and passes_through(executor.provider):
            ours = launch_command(executor.launch_cmd, settings, POOL)
            executor.launch_cmd = ours or executor.launch_cmd
        executor.submit_payload = self._submit_payload

    @contextmanager
    def submitting(self, number: int | None, steering: Steering | None, now: float) -> Iterator[None]:
        """What this thread submits inside goes where a retry is to go, and is watched.

        Args:
            number: The number of the try on its pool's board; None where no worker of ours runs it.
            steering: Where it goes; None is anywhere.
            now: Unix seconds.
        """
        context: dict[str, Any] = {} if number is None else {WATCHED: (number, None)}
        if steering is not None and self.steerable:
            context |= steering.context(now)
            if steering.first:
                context["resource_spec"] = {"priority": FRONT_OF_THE_QUEUE}
        self._told.context = context
        try:
            yield
        finally:
            self._told.context = None

    def steer(self, standing: Standing) -> None:
        """Tell the interchange how the nodes stand.

        Raises:
            OSError: The file that carries it cannot be written.
        """
        fresh = HostStanding.of(standing)
        with self._lock:
            if self.steerable and fresh != self._standing:
                publish(self._file, fresh)
                self._standing = fresh

    def pace(self, stretch: float) -> bool:
        """Have the nodes sample so many times further apart than set, where they can be told.

        Args:
            stretch: See `octopus_plugins.fabric.produce.budget`.

        Returns:
            False where it is too early for it.
        """
        if not self.steerable:
            return True
        with self._sending:
            outgoing = getattr(self._executor, "outgoing_q", None)
            if outgoing is None:
                return False
            outgoing.put(task_like(PACE, pickle.dumps(stretch)))
            return True

    def _submit_payload(self, context: Mapping[str, Any], buffer: bytes) -> Any:
        told = getattr(self._told, "context", None) or {}
        # What the user asked for comes before what we add to it.
        resources = {**told.get("resource_spec", {}), **context.get("resource_spec", {})}
        merged = {**context, **told}
        with self._sending:
            return self._submit({**merged, "resource_spec": resources} if resources else merged, buffer)
