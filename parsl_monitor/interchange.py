"""Parsl's interchange with less to say and a better memory.

Run in place of Parsl's ``interchange.py`` through the executor's ``interchange_launch_cmd``. Two differences:

- Parsl's reports a manager's whole record, its list of packages included, on every dispatch and every result.
  This one reports when a manager comes, changes or goes, and once per heartbeat period.
- A retry that must not go back to a node is kept for another one, while there is another one.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Run by its path, so that it starts wherever the submit side could import it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from parsl.executors.high_throughput.interchange import Interchange
from sortedcontainers import SortedKeyList

AVOID = "octopus_avoid"
"""Key of a task's context: the hosts that must not get it, and until when, ``(hosts, Unix seconds)``."""

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

    def add(self, value: Any) -> None:
        self.choosy += AVOID in value[2]["context"]
        super().add(value)

    def pop(self, index: int = -1) -> Any:
        value = super().pop(index)
        self.choosy -= AVOID in value[2]["context"]
        return value


class OctopusInterchange(Interchange):
    """See the module's docstring.

    Args:
        label: Label of the executor, added to what is reported.
        period: Seconds between reports of a manager that does not change.
        **config: As Parsl's Interchange takes it.
    """

    def __init__(self, *, label: str, period: float, **config: Any) -> None:
        super().__init__(**config)
        self.label = label
        self.period = period
        self.serving: bytes | None = None
        self.pending_task_queue = _Pending(key=lambda entry: (entry[0], entry[1]))
        self._reported: dict[str, tuple[Any, ...]] = {}
        self._next_round = 0.0
        self._selector: Any = config["manager_selector"]
        self.manager_selector = _Recall(self._selector, self)

    def _send_monitoring_info(self, monitoring_radio: Any, manager: Any) -> None:
        standing = (manager["active"], manager["draining"], manager["block_id"])
        known = self._reported.get(manager["uid"])
        now = time.monotonic()
        if known is not None and known[0] == standing and now < known[1]:
            return
        self._reported[manager["uid"]] = (standing, now + self.period)
        report = dict(manager)
        report["executor_label"] = self.label
        report["packages"] = {name: v for name, v in manager.get("packages", {}).items() if name.lower() in _PACKAGES}
        report["overdue"] = time.time() - manager["last_heartbeat"] > self.heartbeat_threshold
        super()._send_monitoring_info(monitoring_radio, report)
        if not manager["active"]:
            self._reported.pop(manager["uid"], None)

    def expire_bad_managers(self, interesting_managers: Any, monitoring_radio: Any) -> None:
        """As Parsl's, which runs it once per turn of its loop; also reports managers that are merely alive."""
        super().expire_bad_managers(interesting_managers, monitoring_radio)
        now = time.monotonic()
        if self.period > 0 and now >= self._next_round:
            self._next_round = now + min(self.period, 1.0)
            for manager in self._ready_managers.values():
                self._send_monitoring_info(monitoring_radio, manager)

    def get_tasks(self, count: int) -> Any:
        """The next tasks for the manager being served; a choosy one waits for a node that it accepts."""
        if not self.pending_task_queue.choosy or self.serving is None:
            return super().get_tasks(count)
        host = self._ready_managers[self.serving]["hostname"]
        eligible = self._eligible_hosts()
        tasks: list[Any] = []
        kept: list[Any] = []
        while self.pending_task_queue and len(tasks) < count and len(kept) < MAX_PASSED_OVER:
            entry = self.pending_task_queue.pop()
            avoid, until = entry[2]["context"].get(AVOID, ((), 0.0))
            if host in avoid and eligible.difference(avoid) and time.time() < until:
                kept.append(entry)
                continue
            tasks.append(entry[2])
        for entry in kept:
            self.pending_task_queue.add(entry)
        return tasks

    def _eligible_hosts(self) -> set[str]:
        denied = self._selector.denied_hosts() if hasattr(self._selector, "denied_hosts") else set()
        return {
            manager["hostname"]
            for manager in self._ready_managers.values()
            if manager["active"] and not manager["draining"] and manager["hostname"] not in denied
        }


def main() -> None:
    """Start the interchange with the configuration that the executor writes to standard input."""
    from parsl.utils import setproctitle

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--label", required=True)
    parser.add_argument("--period", type=float, default=10.0)
    options = parser.parse_args()
    setproctitle("parsl: HTEX interchange")
    config = pickle.load(sys.stdin.buffer)
    OctopusInterchange(label=options.label, period=options.period, **config).start()


if __name__ == "__main__":
    main()
