"""Which nodes are denied to which app in which run, since when, and how often in a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from octopus_plugins.events import ANY, Decision
from octopus_plugins.wrath.history.lru import Recent

MAX_DENIALS = 20_000
MAX_RUNS = 1_000

EVERY_APP = ""
"""In the place of an app: all of them."""

PERSON = "person"
"""Who decides what only a person takes back."""

WELL = 2
"""Tries in a row that must end well on a denied node to lift what was not denied by a person."""


@dataclass(slots=True)
class Denial:
    """The denial of a node, also after its end.

    Attributes:
        since: When it began, Unix seconds.
        until: When it ends, Unix seconds.
        times: Denials of the node in a row, this one included.
        cause: App and category of the failure that led to it.
        by: Who decided it: ``workflow``, ``service`` or ``person``.
        cleared: When tasks of that app were first well on the node again, Unix seconds; 0 for not yet.
        well: Tries of that app in a row that have ended well on the node since.
    """

    since: float
    until: float
    times: int = 1
    cause: tuple[str, str] = ("", "")
    by: str = "workflow"
    cleared: float = 0.0
    well: int = 0

    def is_forgiven(self, time: float) -> bool:
        """Whether the node has since been well for as long as it was denied."""
        return bool(self.cleared) and time - self.cleared >= self.until - self.since

    def succeed(self, time: float, started: float | None = None) -> bool:
        """A task of the app that it is about ended well on the node.

        Args:
            time: When, Unix seconds.
            started: When the try began, where that is known: one that ran before the node was denied says nothing.

        Returns:
            Whether the node is well again by that, and was not before.
        """
        if started is not None and started < self.since:
            return False
        self.well += 1
        if self.until > time:
            if self.by == PERSON or self.well < WELL:
                return False
            self.until = time
        elif self.cleared:
            return False
        self.cleared = self.cleared or time
        return True


class _Book:
    """The denied nodes of one run, or of all runs, each for one app or for every app."""

    __slots__ = ("_allowed", "entries", "last_end")

    def __init__(self) -> None:
        self.last_end = 0.0
        """The latest end of any denial so far, Unix seconds."""
        self.entries: Recent[tuple[str, str], Denial] = Recent(MAX_DENIALS, lambda: Denial(0.0, 0.0))
        """What is known of the denials by (app, host), also of past ones."""
        self._allowed: Recent[str, float] = Recent(MAX_DENIALS, float)

    def deny(self, app: str, host: str, until: float, time: float, *, cause: tuple[str, str], by: str) -> None:
        """Deny a node; of two denials at a time the longer holds, but a person's before any other."""
        self.last_end = max(self.last_end, until)
        known = self.entries.get((app, host))
        if known is None or known.is_forgiven(time):
            self.entries.put((app, host), Denial(time, until, cause=cause, by=by))
        elif known.until > time:
            if by == PERSON != known.by or (until > known.until and (by == PERSON or known.by != PERSON)):
                known.since, known.until, known.cause, known.by, known.well = time, until, cause, by, 0
        else:
            self.entries.put((app, host), Denial(time, until, known.times + 1, cause, by))

    def allow(self, app: str, host: str, time: float) -> None:
        """Let a node have tasks again, whoever denied it, with no mark; with `EVERY_APP` tasks of any app."""
        for key in [key for key in self.entries if key[1] == host and app in (EVERY_APP, key[0])]:
            self.entries.pop(key, None)
        if app == EVERY_APP:
            self._allowed.put(host, time)

    def withdraw(self, app: str, host: str) -> None:
        """Take a denial back that was not borne out; one by a person stays."""
        known = self.entries.get((app, host))
        if known is not None and known.by != PERSON:
            self.entries.pop((app, host), None)

    def succeed(self, app: str, host: str, time: float, started: float | None) -> bool:
        """A task of an app ended well on a node; returns whether the node is well again by that for such tasks."""
        well = False
        for known in self.about(app, host):
            well = known.succeed(time, started) or well
        to_all = self.entries.get((EVERY_APP, host))
        if to_all is not None and to_all.until <= time and not to_all.cleared:
            to_all.cleared = time  # of whatever app it is: else a node stays on probation when the app has ended
        return well

    def about(self, app: str, host: str) -> Iterator[Denial]:
        """The denials of a node that a try of an app says something of."""
        if app != EVERY_APP and (known := self.entries.get((app, host))) is not None:
            yield known
        known = self.entries.get((EVERY_APP, host))
        if known is not None and known.cause[0] in (app, EVERY_APP):
            yield known

    def get(self, app: str, host: str) -> Denial | None:
        """What is known of the denials of a node for an app, also of past ones; of two the one that ends last."""
        to_app, to_all = self.entries.get((app, host)), self.entries.get((EVERY_APP, host))
        if to_app is None or (to_all is not None and to_all.until > to_app.until):
            return to_all
        return to_app

    def allowed(self, host: str) -> float:
        """When a node was last let off by name, Unix seconds; 0 for never."""
        return self._allowed.get(host) or 0.0

    def __bool__(self) -> bool:
        return len(self.entries) > 0


class Denials:
    """The denied nodes of every run: those of its own, and those denied to all runs."""

    __slots__ = ("_common", "_runs")

    def __init__(self) -> None:
        self._runs: Recent[str, _Book] = Recent(MAX_RUNS, _Book)
        self._common = _Book()

    def observe(self, event: Decision) -> None:
        """Take in the nodes that a decision denies, or lets off: those of ``allow``, and those denied until now."""
        if not event.deny_hosts:
            return
        common = event.run_id == ANY
        book = self._common if common else self._runs.ensure(event.run_id)
        cause = (event.app or "", event.category)
        for host, until in event.deny_hosts.items():
            if event.action != "allow" and until > event.time:
                book.deny(event.deny_app, host, until, event.time, cause=cause, by=event.decider)
                continue
            books = [book, *self._runs.values()] if common else [book]
            for one in books:
                if event.action == "allow":
                    one.allow(event.deny_app, host, event.time)
                else:
                    one.withdraw(event.deny_app, host)

    def succeed(self, run_id: str, host: str, time: float, app: str, started: float | None = None) -> bool:
        """Take in that a task of a run ended well on a node.

        Returns:
            Whether the node is well again by that, for tasks of the app.
        """
        well = False
        for book in (self._runs.get(run_id), self._common):
            if book:
                well = book.succeed(app, host, time, started) or well
        return well

    def fail(self, run_id: str, host: str, app: str) -> None:
        """Take in that a task of a run failed on a node."""
        for book in (self._runs.get(run_id), self._common):
            for known in book.about(app, host) if book else ():
                known.well = 0

    def forget(self, run_id: str) -> None:
        """A run has ended."""
        self._runs.pop(run_id, None)

    def get(self, host: str, run_id: str, app: str = EVERY_APP) -> Denial | None:
        """The denial of a node that counts for an app of a run, also a past one; of two the one that ends last."""
        own = self._runs.get(run_id)
        found = own.get(app, host) if own is not None else None
        common = self._common.get(app, host) if self._common.entries else None
        if common is None or (own is not None and own.allowed(host) > common.since):
            return found
        return common if found is None or common.until > found.until else found

    def is_denied(self, host: str, time: float, run_id: str, app: str = EVERY_APP) -> bool:
        """Whether a node gets no new tasks of an app of a run at that Unix time."""
        found = self.get(host, run_id, app)
        return found is not None and found.until > time

    def any(self, time: float, run_id: str) -> bool:
        """Whether a node may be denied in a run at that Unix time; costs little, and is sometimes wrong with yes."""
        own = self._runs.get(run_id)
        return max(own.last_end if own is not None else 0.0, self._common.last_end) > time

    def of_app(self, app: str, run_id: str, time: float) -> Iterator[tuple[tuple[str, str], Denial]]:
        """What is denied to one app of a run at that Unix time, or to all for its sake; each with (app, host)."""
        own = self._runs.get(run_id)
        for key, known in own.entries.items() if own is not None else ():
            if known.until > time and app in (key[0], known.cause[0]):
                yield key, known

    def closed(self, app: str, run_id: str, time: float) -> set[str]:
        """The nodes that are denied to an app of a run at that Unix time; with `EVERY_APP`, to any app."""
        found = self._current(time, run_id)
        named = found.values() if app == EVERY_APP else (found.get(EVERY_APP, {}), found.get(app, {}))
        return {host for hosts in named for host in hosts}

    def current(self, time: float, run_id: str) -> dict[str, float]:
        """The nodes that get no new tasks of a run at that Unix time, with the time until when."""
        return self._current(time, run_id).get(EVERY_APP, {})

    def current_by_app(self, time: float, run_id: str) -> dict[str, dict[str, float]]:
        """The nodes that get no new tasks of single apps of a run at that Unix time, with the time until when."""
        found = self._current(time, run_id)
        found.pop(EVERY_APP, None)
        return found

    def _current(self, time: float, run_id: str) -> dict[str, dict[str, float]]:
        own = self._runs.get(run_id)
        found: dict[str, dict[str, float]] = {}
        for book in (own, self._common):
            for app, host in book.entries if book is not None else ():
                known = self.get(host, run_id, app)
                if known is not None and known.until > time:
                    found.setdefault(app, {})[host] = known.until
        return found

    def barred(self, time: float, run_id: str) -> tuple[str, ...]:
        """The nodes that a person keeps out of a run at that Unix time, sorted."""
        known = ((host, self.get(host, run_id)) for host in self.current(time, run_id))
        return tuple(sorted(host for host, one in known if one is not None and one.by == "person"))

    def probation(self, time: float, run_id: str) -> tuple[str, ...]:
        """The nodes whose denial in a run is over and on which no task has ended well since, sorted."""
        own = self._runs.get(run_id)
        books = [book for book in (own, self._common) if book]
        past = {host for book in books for app, host in book.entries if app == EVERY_APP}
        known = ((host, self.get(host, run_id)) for host in past)
        return tuple(sorted(host for host, one in known if one is not None and one.until <= time and not one.cleared))
