"""Which nodes are denied in which run, since when, and how often in a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from octopus_plugins.events import ANY, Decision
from octopus_plugins.wrath.recent import Recent

MAX_DENIALS = 20_000
MAX_RUNS = 1_000


@dataclass(slots=True)
class Denial:
    """The denial of a node, also after its end.

    Attributes:
        since: When it began, Unix seconds.
        until: When it ends, Unix seconds.
        times: Denials of the node in a row, this one included.
        cause: App and category of the failure that led to it.
        by: Who decided it: ``workflow``, ``service`` or ``person``.
        cleared: When a task first ended well on the node after its end, Unix seconds; 0 for not yet.
    """

    since: float
    until: float
    times: int = 1
    cause: tuple[str, str] = ("", "")
    by: str = "workflow"
    cleared: float = 0.0

    def is_forgiven(self, time: float) -> bool:
        """Whether the node has since been well for as long as it was denied."""
        return bool(self.cleared) and time - self.cleared >= self.until - self.since


class _Book:
    """The denied nodes of one run, or of all runs."""

    __slots__ = ("_allowed", "by_host", "last_end")

    def __init__(self) -> None:
        self.last_end = 0.0
        """The latest end of any denial so far, Unix seconds."""
        self.by_host: Recent[str, Denial] = Recent(MAX_DENIALS, lambda: Denial(0.0, 0.0))
        """What is known of each node's denials, also past ones."""
        self._allowed: Recent[str, float] = Recent(MAX_DENIALS, float)

    def deny(self, host: str, until: float, time: float, *, cause: tuple[str, str], by: str) -> None:
        """Deny a node; of two denials at a time the longer holds."""
        self.last_end = max(self.last_end, until)
        known = self.by_host.get(host)
        if known is None or known.is_forgiven(time):
            self.by_host.put(host, Denial(time, until, cause=cause, by=by))
        elif known.until > time:
            if until > known.until:
                known.since, known.until, known.cause, known.by = time, until, cause, by
        else:
            self.by_host.put(host, Denial(time, until, known.times + 1, cause, by))

    def lift(self, host: str, time: float) -> None:
        """Let a node have tasks again, with no mark against it."""
        self.by_host.pop(host, None)
        self._allowed.put(host, time)

    def succeed(self, host: str, time: float) -> None:
        """A task ended well on a node: what was on probation is so no longer."""
        known = self.by_host.get(host)
        if known is not None and not known.cleared and known.until <= time:
            known.cleared = time

    def get(self, host: str) -> Denial | None:
        """What is known of a node's denials, also past ones."""
        return self.by_host.get(host)

    def allowed(self, host: str) -> float:
        """When a node was last let off by name, Unix seconds; 0 for never."""
        return self._allowed.get(host) or 0.0

    def current(self, time: float) -> dict[str, float]:
        """The nodes that are denied at that Unix time, with the time until when."""
        return {host: known.until for host, known in self.by_host.items() if known.until > time}

    def probation(self, time: float) -> list[str]:
        """The nodes whose denial is over and that had no success since."""
        return [host for host, known in self.by_host.items() if known.until <= time and not known.cleared]

    def __bool__(self) -> bool:
        return len(self.by_host) > 0


class Denials:
    """The denied nodes of every run: those of its own, and those denied to all runs."""

    __slots__ = ("_common", "_runs")

    def __init__(self) -> None:
        self._runs: Recent[str, _Book] = Recent(MAX_RUNS, _Book)
        self._common = _Book()

    def observe(self, event: Decision) -> None:
        """Take in the nodes that a decision denies, or lets off: those of ``allow``, and those denied until now."""
        common = event.run_id == ANY
        book = self._common if common else self._runs.ensure(event.run_id)
        cause = (event.app or "", event.category)
        for host, until in event.deny_hosts.items():
            if event.action != "allow" and until > event.time:
                book.deny(host, until, event.time, cause=cause, by=event.decider)
                continue
            book.lift(host, event.time)
            if common:
                for _, own in self._runs.items():
                    own.lift(host, event.time)

    def succeed(self, run_id: str, host: str, time: float) -> None:
        """Take in that a task of a run ended well on a node."""
        for book in (self._runs.get(run_id), self._common):
            if book:
                book.succeed(host, time)

    def forget(self, run_id: str) -> None:
        """A run has ended."""
        self._runs.pop(run_id, None)

    def get(self, host: str, run_id: str) -> Denial | None:
        """The denial of a node that counts for a run, also a past one; of two the one that ends last."""
        own = self._runs.get(run_id)
        found = own.get(host) if own is not None else None
        common = self._common.get(host) if self._common else None
        if common is None or (own is not None and own.allowed(host) > common.since):
            return found
        return common if found is None or common.until > found.until else found

    def among(self, hosts: Iterable[str], run_id: str) -> Iterator[tuple[str, Denial]]:
        """Those of some nodes of which a denial counts for a run, also a past one; costs little where there are few."""
        own = self._runs.get(run_id)
        denied, by_common = own.by_host if own is not None else {}, self._common.by_host
        for host in hosts:
            if host in denied or host in by_common:
                denial = self.get(host, run_id)
                if denial is not None:
                    yield host, denial

    def any(self, time: float, run_id: str) -> bool:
        """Whether a node may be denied in a run at that Unix time; costs little, and is sometimes wrong with yes."""
        own = self._runs.get(run_id)
        return max(own.last_end if own is not None else 0.0, self._common.last_end) > time

    def current(self, time: float, run_id: str) -> dict[str, float]:
        """The nodes that get no new tasks of a run at that Unix time, with the time until when."""
        own = self._runs.get(run_id)
        denied = own.current(time) if own is not None else {}
        for host in self._common.current(time):
            known = self.get(host, run_id)
            if known is not None and known.until > time:
                denied[host] = known.until
        return denied

    def probation(self, time: float, run_id: str) -> tuple[str, ...]:
        """The nodes whose denial in a run is over and on which no task has ended well since, sorted."""
        own = self._runs.get(run_id)
        past = {*(own.probation(time) if own is not None else ()), *self._common.probation(time)}
        known = ((host, self.get(host, run_id)) for host in past)
        return tuple(sorted(host for host, one in known if one is not None and one.until <= time and not one.cleared))
