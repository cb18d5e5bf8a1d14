"""The interchange's queue of tasks, sorted by where they may go: a node passes over any number of others' at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from heapq import heapify, heappop, heapreplace
from typing import Any, NamedTuple

from sortedcontainers import SortedKeyList

from octopus_plugins.htex.broadcasts import NOTICE
from octopus_plugins.htex.placement_hints import APP, AVOID, AVOID_BLOCKS, PREFER, is_choosy

MAX_LANES = 200
"""Kinds of tasks that are kept apart; of more kinds of wishes than that at a time, the last are not honoured."""

Entry = tuple[float, int, dict[str, Any]]
"""As Parsl makes them: minus the priority, minus the number, the task. The last in order goes out first."""


class Kind(NamedTuple):
    """What tasks have in common that may go to the same nodes.

    Attributes:
        app: Their app, where a node is denied for it.
        avoid: Hosts that they avoid.
        avoid_blocks: Blocks that they avoid.
        prefer: Hosts that they prefer.
    """

    app: str | None = None
    avoid: tuple[str, ...] = ()
    avoid_blocks: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()

    @property
    def has_wishes(self) -> bool:
        """Whether each of the tasks decides for itself, by how long it has waited."""
        return bool(self.avoid or self.avoid_blocks or self.prefer)


PLAIN = Kind()
"""The tasks that may go anywhere; in most runs, all of them."""


class Pending:
    """The tasks that wait, in Parsl's order. One lane for each kind of task; none but the plain one is ever empty.

    Args:
        noticed: Takes what is no task and only came the same way: its kind, and what it says.
    """

    def __init__(self, noticed: Callable[[str, bytes], None]) -> None:
        self._noticed = noticed
        self._apart: frozenset[str] = frozenset()
        self._plain = _lane()
        self._lanes: dict[Kind, Any] = {PLAIN: self._plain}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __bool__(self) -> bool:
        return len(self._lanes) > 1 or len(self._plain) > 0

    @property
    def is_plain(self) -> bool:
        """Whether every task may go anywhere."""
        return len(self._lanes) == 1

    def add(self, entry: Entry) -> None:
        """Queue a task."""
        context = entry[2]["context"]
        notice = context.get(NOTICE)
        if notice is not None:
            self._noticed(*notice)
        elif self._apart or is_choosy(context):
            self._lane_of(context).add(entry)
        else:
            self._plain.add(entry)

    def pop(self, index: int = -1) -> Entry:
        """Take the first task of all.

        Raises:
            IndexError: No task waits.
        """
        if len(self._lanes) == 1:
            return self._plain.pop(index)  # type: ignore[no-any-return]
        kind = min(self._kinds(), key=self._first)
        entry: Entry = self._lanes[kind].pop()
        self._drop_empty(kind)
        return entry

    def keep_apart(self, apps: frozenset[str]) -> None:
        """Give apps lanes of their own from now on, and no other app; goes through all tasks if that is a change."""
        if apps == self._apart:
            return
        entries = [entry for lane in self._lanes.values() for entry in lane]
        self._apart = apps
        sorted_out: dict[Kind, list[Entry]] = {PLAIN: []}
        for entry in entries:
            sorted_out.setdefault(self._kind(entry[2]["context"], sorted_out), []).append(entry)
        self._lanes = {kind: _lane(found) for kind, found in sorted_out.items()}
        self._plain = self._lanes[PLAIN]

    def heads(self) -> list[tuple[Kind, Mapping[str, Any]]]:
        """The kinds of tasks that wait, with the context of the first one of each."""
        return [(kind, self._lanes[kind][-1][2]["context"]) for kind in self._kinds()]

    def count(self, kinds: Iterable[Kind]) -> int:
        """How many tasks of these kinds wait."""
        return sum(len(self._lanes[kind]) for kind in kinds if kind in self._lanes)

    def take(
        self, kinds: Iterable[Kind], count: int, accepts: Callable[[Kind, Mapping[str, Any]], bool]
    ) -> list[dict[str, Any]]:
        """Take the first tasks of these kinds.

        Args:
            kinds: What to take from; the first task of each is taken as acceptable.
            count: At most so many tasks.
            accepts: Whether a task with wishes may go as well, by its kind and context.
        """
        heads = [(*self._first(kind), kind) for kind in kinds if self._lanes.get(kind)]
        heapify(heads)
        tasks: list[dict[str, Any]] = []
        while heads and len(tasks) < count:
            kind = heads[0][2]
            lane = self._lanes[kind]
            tasks.append(lane.pop()[2])
            if lane and (not kind.has_wishes or accepts(kind, lane[-1][2]["context"])):
                heapreplace(heads, (*self._first(kind), kind))
            else:
                heappop(heads)
                self._drop_empty(kind)
        return tasks

    def _kinds(self) -> Collection[Kind]:
        return self._lanes if self._plain else [kind for kind in self._lanes if kind is not PLAIN]

    def _first(self, kind: Kind) -> tuple[float, int]:
        """Priority and number of the first task of a kind; the lowest goes out first."""
        priority, number, _ = self._lanes[kind][-1]
        return -priority, -number

    def _drop_empty(self, kind: Kind) -> None:
        if kind != PLAIN and not self._lanes[kind]:
            del self._lanes[kind]

    def _lane_of(self, context: Mapping[str, Any]) -> Any:
        kind = self._kind(context, self._lanes)
        lane = self._lanes.get(kind)
        if lane is None:
            lane = self._lanes[kind] = _lane()
        return lane

    def _kind(self, context: Mapping[str, Any], known: Collection[Kind]) -> Kind:
        app = context.get(APP)
        app = app if app in self._apart else None
        if not is_choosy(context):
            return Kind(app) if app else PLAIN
        wishes = (tuple(context.get(key, ((), 0.0))[0]) for key in (AVOID, AVOID_BLOCKS, PREFER))
        kind = Kind(app, *wishes)
        return kind if kind in known or len(known) < MAX_LANES else Kind(app)


def _lane(entries: Iterable[Entry] = ()) -> Any:
    return SortedKeyList(entries, key=_order)


def _order(entry: Entry) -> tuple[float, int]:
    return entry[0], entry[1]
