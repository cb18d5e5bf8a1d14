"""Hands grants to the executors whose nodes produce by themselves, and renews them before they end."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import OctopusError, PluginError

if TYPE_CHECKING:
    from octopus_plugins.fabric.kafka.delegation import Grant
    from octopus_plugins.fabric.produce.budget import SampleBudget

logger = logging.getLogger("octopus_plugins")

RENEWED = 0.5
"""Share of a grant's life after which the next is handed out; a node asks for it at four fifths."""

RETRY_SECONDS = 10.0
"""Until the next try where no token could be made."""

UNCHANGED_SECONDS = 300.0
"""How often a grant without an end is made anew: the address may change."""


class Granting:
    """Makes grants in a thread of its own.

    Args:
        config: What is granted.
        transforms: Whether plugins here change events before they leave; nodes have none of them.
        budget: Hears of what the nodes have produced.
    """

    def __init__(self, config: OctopusConfig, *, transforms: bool = False, budget: SampleBudget | None = None) -> None:
        self._config = config
        self._budget = budget
        self._transforms = transforms
        self._delivered: dict[str, int] = {}
        self._troubled: set[str] = set()
        self._executors: list[Any] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: str | None = None

    def add(self, executor: Any) -> None:
        """An executor has started whose nodes are to produce."""
        if self._transforms:
            self._complain(PluginError("a plugin enriches or redacts events on their way, and nodes do not have it"))
            return
        with self._lock:
            self._executors.append(executor)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="octopus-granting", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Make no more grants."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def hear(self, place: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        """A node's heartbeat says what became of its samples.

        Args:
            place: The node's pool.
            report: What `octopus_plugins.htex.pool.node_producer.NodeProducer.report` gives.
        """
        manager = str(place["manager"])
        self._delivered[manager] = int(report["delivered"])
        if self._budget is not None:
            self._budget.hear(manager, float(report["weighed"]))
        host = str(place["host"])
        if report["returned"] and report["error"] and host not in self._troubled:
            self._troubled.add(host)
            logger.warning(
                "Node %s cannot produce directly (%s); its samples go over Parsl's channel", host, report["error"]
            )

    @property
    def delivered(self) -> int:
        """Samples that the nodes have produced, as far as they have told."""
        return sum(tuple(self._delivered.values()))  # another thread may add to it

    def _run(self) -> None:
        known = 0
        due = 0.0
        while not self._closed.wait(0.1):
            with self._lock:
                executors = tuple(self._executors)
            if len(executors) == known and time.monotonic() < due:
                continue
            try:
                due = time.monotonic() + self._hand_out(executors)
                known = len(executors)
            except Exception as error:  # noqa: BLE001 - the run goes on without; its samples go over the channel
                due, known = time.monotonic() + RETRY_SECONDS, len(executors)
                self._complain(error)

    def _hand_out(self, executors: tuple[Any, ...]) -> float:
        """Give all of them a fresh grant; returns the seconds until they need the next."""
        from octopus_plugins.fabric.kafka.delegation import grant

        fresh: Grant = grant(self._config)
        packed = pickle.dumps(fresh)
        refused: OctopusError | None = None
        for executor in executors:
            try:
                executor.hand_grant(packed, secret=fresh.token is not None)
            except OctopusError as error:
                refused = error
        if refused is not None:
            self._complain(refused)
        if fresh.expires is None:
            return UNCHANGED_SECONDS
        return max((fresh.expires - time.time()) * RENEWED, 1.0)

    def _complain(self, error: Exception) -> None:
        # What is no error of ours may have anything in its text.
        why = str(error) if isinstance(error, OctopusError) else type(error).__name__
        if why != self._told:
            self._told = why
            logger.warning("Nodes cannot produce directly: %s; their samples go over Parsl's channel", why)
