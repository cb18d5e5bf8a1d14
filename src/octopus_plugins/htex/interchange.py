"""Parsl's interchange with less to say and a better memory.

Run in place of Parsl's ``interchange.py`` through the executor's ``interchange_launch_cmd``. The differences:

- Parsl's reports a manager's whole record, its list of packages included, on every dispatch and every result.
  This one reports when a manager comes, changes or goes, and once per heartbeat period.
- A retry that must not go back to a node, or to a block, is kept for another one, while there is another one. One
  that should go to certain nodes is kept for them, for a second or two.
- A node on probation gets one task at a time, one where hardly anything ends well one a second.
- A manager whose connection is closed (its process died, and its node's kernel said so) is lost after seconds,
  not only when its heartbeats are overdue.
"""

from __future__ import annotations

import argparse
import logging
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

if __name__ == "__main__":
    # Run by its path, so that it starts wherever the submit side could import it.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from parsl.executors.high_throughput.interchange import PKL_HEARTBEAT_CODE, Interchange
from sortedcontainers import SortedKeyList

from octopus_plugins import __version__
from octopus_plugins.htex.logs import skip_unheard
from octopus_plugins.htex.notices import NOTICE, NoticeMessage
from octopus_plugins.htex.quick_log import quicken
from octopus_plugins.htex.reports import ONLY_PLACEMENTS, canonical
from octopus_plugins.htex.selector import OctopusManagerSelector, may_serve
from octopus_plugins.htex.wishes import is_choosy, waits, waits_for_block

logger = logging.getLogger("parsl.executors.high_throughput.interchange")

PROBE_PERIOD = 1.0
"""Seconds between looks at whether the managers' connections stand, and at who has not got a notice yet; each costs one
small message per manager."""

PROBE_GRACE = 2.0
"""Seconds that a connection may be closed: ZeroMQ re-opens one that merely broke within a fraction of a second."""

TRIAL_PERIOD = 1.0
"""Seconds between the tasks of a node on probation, or of a poor one: what fails in a millisecond would take all."""

MAX_PASSED_OVER = 200
"""Tasks that wait for another node and are passed over in one look; the interchange must not stall on them."""

_PACKAGES = ("parsl", "octopus-plugins")


class _Dispatch(list):  # type: ignore[type-arg]
    """The managers in the order in which they get tasks; remembers which one is being served."""

    def __init__(self, managers: list[bytes], interchange: OctopusInterchange) -> None:
        super().__init__(managers)
        self._interchange = interchange

    def pop(self, index: Any = -1) -> bytes:
        manager: bytes = super().pop(index)
        self._interchange.serving = manager
        return manager


class _Recall:
    """A selector that lets the interchange know which manager it serves."""

    def __init__(self, inner: Any, interchange: OctopusInterchange) -> None:
        self._inner = inner
        self._interchange = interchange

    def sort_managers(self, ready_managers: Any, manager_list: Any) -> list[bytes]:
        return _Dispatch(self._inner.sort_managers(ready_managers, manager_list), self._interchange)


class _Pending(SortedKeyList):
    """The queue of tasks; counts those that are choosy about their node, to cost nothing when none is."""

    choosy = 0

    def __init__(self, noticed: Callable[[str, bytes], None]) -> None:
        super().__init__(key=lambda entry: (entry[0], entry[1]))
        self._noticed = noticed

    def add(self, value: Any) -> None:
        notice = value[2]["context"].get(NOTICE)
        if notice is not None:
            self._noticed(*notice)  # no task: it only came the same way
            return
        self.choosy += is_choosy(value[2]["context"])
        super().add(value)

    def pop(self, index: int = -1) -> Any:
        value = super().pop(index)
        self.choosy -= is_choosy(value[2]["context"])
        return value


class OctopusInterchange(Interchange):
    """See the module's docstring.

    Args:
        label: Label of the executor, added to what is reported.
        period: Seconds between reports of a manager that does not change.
        placements: Whether to report as often as Parsl's: somebody must know at once where each task is.
        **config: As Parsl's Interchange takes it.
    """

    def __init__(self, *, label: str, period: float, placements: bool = False, **config: Any) -> None:
        super().__init__(**config)
        skip_unheard()
        quicken()
        self.label = label
        self.period = period
        self.placements = placements
        self.serving: bytes | None = None
        self.pending_task_queue = _Pending(self._take_notice)
        self._notices: dict[str, tuple[bytes, set[bytes]]] = {}
        self._reported: dict[str, tuple[Any, ...]] = {}
        self._next_round = 0.0
        self._next_probe = 0.0
        self._closed_since: dict[bytes, float] = {}
        self._tried: dict[str, float] = {}
        self._selector: Any = config["manager_selector"]
        self._steered = isinstance(self._selector, OctopusManagerSelector)
        self.manager_selector = _Recall(self._selector, self)

    def _send_monitoring_info(self, monitoring_radio: Any, manager: Any) -> None:
        standing = (manager["active"], manager["draining"], manager["block_id"])
        known = self._reported.get(manager["uid"])
        now = time.monotonic()
        due = known is None or known[0] != standing or now >= known[1]
        if not due and not self.placements:
            return
        if due:
            self._reported[manager["uid"]] = (standing, now + self.period)
        report = dict(manager)
        report[ONLY_PLACEMENTS] = not due
        report["executor_label"] = self.label
        packages = {canonical(name): version for name, version in manager.get("packages", {}).items()}
        report["packages"] = {name: version for name, version in packages.items() if name in _PACKAGES}
        report["overdue"] = time.time() - manager["last_heartbeat"] > self.heartbeat_threshold
        super()._send_monitoring_info(monitoring_radio, report)
        if not manager["active"]:
            self._reported.pop(manager["uid"], None)

    def expire_bad_managers(self, interesting_managers: Any, monitoring_radio: Any) -> None:
        """As Parsl's, which runs it once per turn of its loop; also reports managers that are merely alive."""
        now = time.monotonic()
        if now >= self._next_probe:
            self._next_probe = now + PROBE_PERIOD
            self._give_up_unreachable(now)
            self._hand_notices()
        super().expire_bad_managers(interesting_managers, monitoring_radio)
        if self.period > 0 and now >= self._next_round:
            self._next_round = now + min(self.period, 1.0)
            for manager in self._ready_managers.values():
                self._send_monitoring_info(monitoring_radio, manager)

    def get_tasks(self, count: int) -> Any:
        """The next tasks for the manager being served; a choosy one waits for a node that it accepts."""
        if self.serving is None:
            return super().get_tasks(count)
        host = self._ready_managers[self.serving]["hostname"]
        if self._steered:
            probation, poor = self._selector.hosts_on_probation(), self._selector.poor_hosts()
            if host in probation or host in poor:
                count = self._on_trial(host, count, probation, poor)
        if count == 0 or not self.pending_task_queue.choosy:
            return super().get_tasks(count)
        block = self._ready_managers[self.serving]["block_id"]
        eligible, roomy, blocks = self._eligible()
        now = time.time()
        tasks: list[Any] = []
        kept: list[Any] = []
        while self.pending_task_queue and len(tasks) < count and len(kept) < MAX_PASSED_OVER:
            entry = self.pending_task_queue.pop()
            context = entry[2]["context"]
            if waits(context, host, eligible, roomy, now) or waits_for_block(context, block, blocks, now):
                kept.append(entry)
            else:
                tasks.append(entry[2])
        for entry in kept:
            self.pending_task_queue.add(entry)
        return tasks

    def _on_trial(self, host: str, count: int, probation: set[str], poor: set[str]) -> int:
        """How many tasks a node may get where tasks fail, while another node is in good standing.

        On probation it gets one at a time. One where hardly anything ends well gets one a second: that is little for a
        black hole, and fills the node all the same if it was wronged and its tasks are long.
        """
        shunned = probation | poor | self._selector.denied_hosts()
        managers = self._ready_managers.values()
        if not any(may_serve(manager, shunned) for manager in managers):
            return count
        now = time.monotonic()
        busy = host in probation and any(m["tasks"] for m in managers if m["hostname"] == host)
        if busy or now < self._tried.get(host, 0.0) + TRIAL_PERIOD:
            return 0
        if self.pending_task_queue:
            self._tried[host] = now
        return min(count, 1)

    def _eligible(self) -> tuple[set[str], set[str], set[str]]:
        """The nodes that may get tasks, those of them that have room for one now, and the blocks of the former."""
        denied = self._selector.denied_hosts() if self._steered else set()
        serving = [manager for manager in self._ready_managers.values() if may_serve(manager, denied)]
        roomy = {manager["hostname"] for manager in serving if len(manager["tasks"]) < manager["max_capacity"]}
        return {manager["hostname"] for manager in serving}, roomy, {manager["block_id"] for manager in serving}

    def _take_notice(self, kind: str, packed: bytes) -> None:
        """The submit side has something to tell: every manager is to get it."""
        self._notices[kind] = pickle.dumps(NoticeMessage(kind, packed)), set()

    def _hand_notices(self) -> None:
        """Send the last notice of each kind to the managers that have not got it yet."""
        for message, told in self._notices.values():
            told.intersection_update(self._ready_managers)
            for manager_id in self._ready_managers.keys() - told:
                told.add(manager_id)
                packages = self._ready_managers[manager_id].get("packages", {})
                versions = {canonical(name): version for name, version in packages.items()}
                if versions.get("octopus-plugins") == __version__:  # another one may not know what this is, and end
                    self.manager_sock.send_multipart([manager_id, message])

    def _give_up_unreachable(self, now: float) -> None:
        """Make managers whose connection stays closed overdue: Parsl then reports their tasks as lost."""
        closed = {manager_id for manager_id in self._ready_managers if not self._reaches(manager_id)}
        self._closed_since = {manager_id: self._closed_since.get(manager_id, now) for manager_id in closed}
        for manager_id, since in self._closed_since.items():
            if now - since >= PROBE_GRACE:
                logger.warning("The connection of manager %r is closed; it counts as lost", manager_id)
                self._ready_managers[manager_id]["last_heartbeat"] = time.time() - self.heartbeat_threshold - 1.0

    def _reaches(self, manager_id: bytes) -> bool:
        """Whether a manager's connection stands; to a manager the probe is one more heartbeat of ours."""
        self.manager_sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            self.manager_sock.send_multipart([manager_id, PKL_HEARTBEAT_CODE], zmq.DONTWAIT)
        except zmq.ZMQError as error:
            return error.errno != zmq.EHOSTUNREACH
        finally:
            # Parsl's own loop does not expect a message to a manager that is gone to raise.
            self.manager_sock.setsockopt(zmq.ROUTER_MANDATORY, 0)
        return True


def main() -> None:
    """Start the interchange with the configuration that the executor writes to standard input."""
    from parsl.utils import setproctitle

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--label", required=True)
    parser.add_argument("--period", type=float, default=10.0)
    parser.add_argument("--placements", action="store_true")
    options = parser.parse_args()
    setproctitle("parsl: HTEX interchange")
    config = pickle.load(sys.stdin.buffer)
    OctopusInterchange(**vars(options), **config).start()


if __name__ == "__main__":
    main()
