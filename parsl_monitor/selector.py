"""Nodes that get no new tasks: a denylist that Parsl's interchange honours."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parsl.executors.high_throughput.manager_selector import ManagerSelector, RandomManagerSelector

CHECK_PERIOD = 0.05
"""Seconds between looks at the file; the interchange asks thousands of times a second."""


class OctopusManagerSelector(ManagerSelector):
    """Leaves out the managers of denied nodes; the order of the others is another selector's.

    It runs in the interchange process. Its channel is a small file, replaced atomically by ``deny``.

    Args:
        path: The file with the denylist; the executor sets it when it starts.
        inner: Orders the managers that are left.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, inner: ManagerSelector | None = None) -> None:
        self.path = None if path is None else os.fspath(path)
        self.inner = inner or RandomManagerSelector()
        self._denied: dict[str, float] = {}
        self._stamp: tuple[int, int] | None = None
        self._next_check = 0.0

    def sort_managers(self, ready_managers: Mapping[bytes, Any], manager_list: set[bytes]) -> list[bytes]:
        """Order the managers that may get tasks; see ManagerSelector."""
        denied = self.denied_hosts()
        if denied:
            allowed = {m for m in manager_list if ready_managers[m]["hostname"] not in denied}
            # Never keep everything waiting: with no other node left, a denied one is better than none.
            if allowed or any(_may_serve(record, denied) for record in ready_managers.values()):
                manager_list = allowed
        ordered: list[bytes] = self.inner.sort_managers(ready_managers, manager_list)
        return ordered

    def denied_hosts(self) -> set[str]:
        """The nodes that are denied now."""
        if self.path is None:
            return set()
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_PERIOD
            self._reload(self.path)
        if not self._denied:
            return set()
        clock = time.time()
        return {host for host, until in self._denied.items() if until > clock}

    def _reload(self, path: str) -> None:
        try:
            status = os.stat(path)  # noqa: PTH116 - on the interchange's hot path
        except OSError:
            return
        stamp = (status.st_ino, status.st_mtime_ns)
        if stamp == self._stamp:
            return
        try:
            denied = json.loads(Path(path).read_text(encoding="utf-8"))
            self._denied = {str(host): float(until) for host, until in denied.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return  # a torn or foreign file: keep what was known; the next replacement is read again
        self._stamp = stamp


def _may_serve(record: Mapping[str, Any], denied: set[str]) -> bool:
    """Whether a manager will get tasks again: it is busy now, but neither denied nor held nor draining."""
    return bool(record["active"] and not record["draining"] and record["hostname"] not in denied)


def deny(path: str | os.PathLike[str], hosts: Mapping[str, float]) -> None:
    """Replace the denylist.

    Args:
        path: The selector's file.
        hosts: Until when each node gets no new tasks, Unix seconds.

    Raises:
        OSError: The file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
    fresh.write_text(json.dumps(dict(hosts)), encoding="utf-8")
    fresh.replace(target)
