"""Resource samples that a node produces by itself, with a short-lived token that the submit side renews.

A user asks for it by ``OctopusHighThroughputExecutor(direct=True)``. Tokens come as notices (`octopus_plugins.htex.
notices`), over Parsl's channel, which must be encrypted.

One sample in ten seconds of each try goes to the submit side all the same, for decisions: where a whole node is lost,
the last sample is what tells why. So does all that cannot be produced from the node.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from octopus_plugins.htex import broadcasts

if TYPE_CHECKING:
    from octopus_plugins.fabric.kafka.delegation import Deputy, Grant
    from octopus_plugins.htex.observation import Settings

logger = logging.getLogger("parsl.executors.high_throughput.process_worker_pool")

SHARE_PERIOD = 10.0
"""Seconds between the samples of a try that go to the submit side."""

CLOSE_SECONDS = 2.0


class NodeProducer:
    """Produces the samples of a pool's tries, once there is a grant.

    Args:
        settings: What the submit side says.
        put: Sends the submit side a message with samples.
    """

    def __init__(self, settings: Settings, put: Callable[[dict[str, Any]], None]) -> None:
        self._settings = settings
        self._put = put
        self._deputy: Deputy | None = None
        self._shared: dict[int, float] = {}
        self._complained = False
        broadcasts.received.listen(broadcasts.GRANT, self._renew)

    def send(self, message: dict[str, Any]) -> None:
        """Produce the samples of a message, and send the submit side what is not produced.

        Args:
            message: As `octopus_plugins.htex.pool.sampling` makes it.
        """
        if self._deputy is None:
            self._put(message)
            return
        now = time.monotonic()
        own: list[dict[str, Any]] = []
        shared: list[dict[str, Any]] = []
        for each in message["tries"]:
            (shared if each["subject"] is None or self._is_shared(each, now) else own).append(each)
        if shared:
            self._put({**message, "tries": shared})
        if own and not self._produced({**message, "tries": own}):
            self._put({**message, "tries": own})

    def report(self) -> dict[str, Any]:
        """What became of the samples, for the node's heartbeat; empty before the first grant."""
        deputy = self._deputy
        if deputy is None:
            return {}
        return {
            "delivered": deputy.delivered,
            "returned": deputy.returned,
            "weighed": deputy.weighed,
            "error": deputy.error,
        }

    def close(self) -> None:
        """Deliver what was taken."""
        if self._deputy is not None:
            self._deputy.close(CLOSE_SECONDS)

    def _renew(self, fresh: Grant) -> None:
        if self._deputy is None:
            from octopus_plugins.fabric.kafka.delegation import Deputy

            self._deputy = Deputy()
        self._deputy.renew(fresh)

    def _produced(self, message: dict[str, Any]) -> bool:
        try:
            assert self._deputy is not None
            return self._deputy.send(_event(self._settings, message), lambda: self._put(message))
        except Exception:
            if not self._complained:
                self._complained = True
                logger.exception("Samples could not be produced from here; they go to the submit side (said once)")
            return False

    def _is_shared(self, sample: Mapping[str, Any], now: float) -> bool:
        """Whether a sample is among those that the submit side gets."""
        worker = sample["worker_id"]
        if sample["sequence"] > 0 and now < self._shared.get(worker, 0.0) + SHARE_PERIOD:
            return False
        self._shared[worker] = now
        return True


def _event(settings: Settings, message: Mapping[str, Any]) -> Any:
    from octopus_plugins.htex.reports import samples_event

    about = {"run_id": settings.run_id, "executor": settings.executor}
    tries = []
    for sample in message["tries"]:
        task, try_id = sample["subject"]
        tries.append(({"task_id": str(task), "try_id": try_id}, sample))
    return samples_event(about, message, tries)
