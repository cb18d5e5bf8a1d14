"""Parsl's interchange with less to say and a better memory.

Run in place of Parsl's ``interchange.py`` through the executor's ``interchange_launch_cmd``. The differences:

- Parsl's reports a manager's whole record, its list of packages included, on every dispatch and every result.
  This one reports when a manager comes, changes or goes, and once per heartbeat period.
- A retry that must not go back to a node, or to a block, is kept for another one, while there is another one. One
  that should go to certain nodes is kept for them, for a second or two.
- A node that is denied, or on probation, gets fewer tasks than it has room for while other nodes have room, and never
  stands idle for long beside tasks that wait; see `octopus_plugins.htex.interchange.rationing`.
- A slot whose worker died gets no task before its successor is there, as long as that takes seconds.
- A manager whose connection is closed (its process died, and its node's kernel said so) is lost after seconds,
  not only when its heartbeats are overdue.
- When the process that started it is gone, and all tasks have run, it ends. Parsl's stays for ever, keeps its blocks,
  and where connections are not encrypted takes half of the tasks of the next run that listens on the same port.
"""

from __future__ import annotations

import argparse
import logging
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import zmq

if __name__ == "__main__":
    # Run by its path, so that it starts wherever the submit side could import it.
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from parsl.executors.high_throughput.interchange import PKL_HEARTBEAT_CODE, Interchange

from octopus_plugins import __version__
from octopus_plugins.htex.broadcasts import NoticeMessage
from octopus_plugins.htex.fast_log import quicken
from octopus_plugins.htex.interchange.pending import Pending
from octopus_plugins.htex.interchange.rationing import Rationing
from octopus_plugins.htex.interchange.selector import OctopusManagerSelector
from octopus_plugins.htex.interchange.shunned import NOBODY
from octopus_plugins.htex.interchange.starting import STARTS, Overhearing, starting
from octopus_plugins.htex.log_levels import skip_unheard
from octopus_plugins.htex.reports import ONLY_PLACEMENTS, WITHHELD, canonical

logger = logging.getLogger("parsl.executors.high_throughput.interchange")

PROBE_PERIOD = 1.0
"""Seconds between looks at whether the managers' connections stand, and at who has not got a notice yet; each costs one
small message per manager."""

PROBE_GRACE = 2.0
"""Seconds that a connection may be closed: ZeroMQ re-opens one that merely broke within a fraction of a second."""

WITHHELD_GROWTH = 1.1
"""By how much what a node was kept idle for grows from one report of it to the next, beside a whole second."""

_PACKAGES = ("parsl", "octopus-plugins")


class _Dispatch(list):  # type: ignore[type-arg]
    """The managers in the order in which they get tasks; remembers which one is being served."""

    def __init__(self, managers: list[bytes], interchange: OctopusInterchange) -> None:
        super().__init__(managers)
        self._interchange = interchange

    def pop(self, index: Any = -1) -> bytes:
        manager: bytes = super().pop(index)
        self._interchange.serve(manager)
        return manager


class _Recall:
    """A selector that lets the interchange know which manager it serves; ours leaves it to us what a node gets."""

    def __init__(self, inner: Any, interchange: OctopusInterchange) -> None:
        self._inner = inner
        self._interchange = interchange

    def sort_managers(self, ready_managers: Any, manager_list: Any) -> list[bytes]:
        inner = self._inner
        if isinstance(inner, OctopusManagerSelector):
            self._interchange.rationing.begin(inner.shunned())
            return _Dispatch(inner.order(ready_managers, manager_list), self._interchange)
        self._interchange.rationing.begin(NOBODY)
        return _Dispatch(inner.sort_managers(ready_managers, manager_list), self._interchange)


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
        self.pending_task_queue = Pending(self._take_notice)
        self.rationing = Rationing(self._ready_managers, self.pending_task_queue)
        self._notices: dict[str, tuple[bytes, set[bytes]]] = {}
        self._reported: dict[str, tuple[Any, ...]] = {}
        self._placed: dict[str, tuple[int, ...]] = {}
        self._next_round = 0.0
        self._next_probe = 0.0
        self._closed_since: dict[bytes, float] = {}
        self._parent = os.getppid()
        self._orphaned = False
        self._overhearing = Overhearing(None, self._ready_managers)
        self.manager_selector = _Recall(config["manager_selector"], self)

    def _send_monitoring_info(self, monitoring_radio: Any, manager: Any) -> None:
        standing = (manager["active"], manager["draining"], manager["block_id"])
        known = self._reported.get(manager["uid"])
        now, withheld = time.monotonic(), self.rationing.withheld(manager["hostname"])
        due = known is None or known[0] != standing or now >= known[1] or withheld > known[2] * WITHHELD_GROWTH + 1.0
        tasks = tuple(manager["tasks"]) if self.placements else ()
        if not due and (not self.placements or tasks == self._placed.get(manager["uid"])):
            return  # Parsl asks again in each turn of its loop while tasks wait that this manager does not get
        self._placed[manager["uid"]] = tasks
        if due:
            self._reported[manager["uid"]] = (standing, now + self.period, withheld)
        report = dict(manager)
        report.pop(STARTS, None)
        if withheld:
            report[WITHHELD] = withheld
        report[ONLY_PLACEMENTS] = not due
        report["executor_label"] = self.label
        packages = {canonical(name): version for name, version in manager.get("packages", {}).items()}
        report["packages"] = {name: version for name, version in packages.items() if name in _PACKAGES}
        report["overdue"] = time.time() - manager["last_heartbeat"] > self.heartbeat_threshold
        super()._send_monitoring_info(monitoring_radio, report)
        if not manager["active"]:
            self._reported.pop(manager["uid"], None)
            self._placed.pop(manager["uid"], None)

    def process_manager_socket_message(self, interesting_managers: Any, monitoring_radio: Any, *more: Any) -> None:
        """As Parsl's; what managers say of workers that start is heard on the way."""
        if monitoring_radio is not None:
            self._overhearing.radio = monitoring_radio
            monitoring_radio = self._overhearing
        super().process_manager_socket_message(interesting_managers, monitoring_radio, *more)

    def expire_bad_managers(self, interesting_managers: Any, monitoring_radio: Any) -> None:
        """As Parsl's, which runs it once per turn of its loop; also reports managers that are merely alive."""
        now = time.monotonic()
        if now >= self._next_probe:
            self._next_probe = now + PROBE_PERIOD
            self._end_if_orphaned()
            self._give_up_unreachable(now)
            self._hand_notices()
            self.rationing.keep()
        super().expire_bad_managers(interesting_managers, monitoring_radio)
        if self.period > 0 and now >= self._next_round:
            self._next_round = now + min(self.period, 1.0)
            for manager in self._ready_managers.values():
                self._send_monitoring_info(monitoring_radio, manager)

    def serve(self, manager: bytes) -> None:
        """The manager that is served from now on: the next call of `get_tasks` is for it."""
        if self.serving is not None and self.serving in self._ready_managers:
            self.rationing.gave(self.serving)
        self.serving = manager

    def get_tasks(self, count: int) -> Any:
        """The next tasks for the manager being served; see `octopus_plugins.htex.interchange.rationing`."""
        if self.serving is None:
            return super().get_tasks(count)
        record = self._ready_managers[self.serving]
        count -= starting(record)
        if count <= 0:
            return []
        if not self.rationing.applies_to(record["hostname"]):
            return super().get_tasks(count)
        return self.rationing.tasks_for(self.serving, count)

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

    def _end_if_orphaned(self) -> None:
        """End where nobody can ask for results any more, once what was queued has run: files may come of it."""
        if os.getppid() == self._parent:
            return
        if not self._orphaned:
            self._orphaned = True
            logger.warning("The process that started this interchange is gone; it ends when its tasks have run")
            # Whoever listens on that port next is another run.
            self.task_incoming.disconnect(self.task_incoming.getsockopt_string(zmq.LAST_ENDPOINT))
        if self.pending_task_queue or any(manager["tasks"] for manager in self._ready_managers.values()):
            return
        logger.warning("No tasks are left; ending")
        logging.shutdown()
        os._exit(0)  # the orderly end would wait for somebody to take the last reports

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
