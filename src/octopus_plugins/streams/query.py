"""What is asked of a stream: times and filters, checked when the question is put."""

from __future__ import annotations

import difflib
import math
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from enum import Enum
from operator import attrgetter
from typing import Any, TypeAlias

from octopus_plugins.errors import ConfigError
from octopus_plugins.events import Decision, Event, Failure, ResourceSample
from octopus_plugins.events.resource import BY_NODE

Moment: TypeAlias = "str | float | date | timedelta | None"
"""A point in time, as people give it; see `moment`."""

OneOrMore: TypeAlias = "str | int | Iterable[str | int] | None"
"""What a filter accepts: one value or a collection of them; None takes all."""

LAST = "last"
"""As a ``run_id``: the newest run of the stream."""

TASK_STATES = (
    "pending",
    "launched",
    "running",
    "running_ended",
    "exec_done",
    "memo_done",
    "joining",
    "fail_retryable",
    "failed",
    "dep_fail",
)

_BEGIN_OF_ID = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,27}")
"""How an id of Parsl's or Globus Compute's begins, as it is shown where room is short: eight characters or more."""

_OF_A_NODE = f"/{BY_NODE}/".encode()

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])\s*")

_ALLOWED_TIMES = (
    "a time is a span back from now ('90s', '30m', '1h', '2d', '1w', '1h30m'), 'now', ISO text"
    " ('2026-03-01T12:00', local time where it names no zone), a datetime, a timedelta, or Unix seconds"
)


def moment(value: Moment, *, name: str, now: float) -> float | None:
    """Read a point in time.

    Args:
        value: A span back from now (``"90s"``, ``"30m"``, ``"1h"``, ``"2d"``, ``"1w"``, ``"1h30m"``, or a timedelta),
            ``"now"``, ISO text or a datetime (local time where it names no zone), or Unix seconds.
        name: What the time is for, for the error.
        now: Unix seconds.

    Returns:
        Unix seconds; None for None.

    Raises:
        ConfigError: It is none of these; says what is allowed.
    """
    try:
        seconds = _seconds(value, now)
    except (ValueError, OverflowError, OSError, TypeError):
        seconds = math.nan
    if seconds is not None and not math.isfinite(seconds):
        raise ConfigError(f"{name}={value!r} is no time", remedy=_ALLOWED_TIMES)
    return seconds


def _seconds(value: Moment, now: float) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _seconds_of_text(value.strip(), now)
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise ValueError("a span back from now is not negative")
        return now - value.total_seconds()
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, date):
        return datetime.combine(value, time_of_day.min).timestamp()
    if isinstance(value, bool):
        raise TypeError("a truth value is no time")
    return float(value)


def _seconds_of_text(text: str, now: float) -> float:
    if text.lower() == "now":
        return now
    spans = _SPAN.findall(text.lower())
    if spans and not _SPAN.sub("", text.lower()):
        return now - sum(float(number) * _SECONDS[unit] for number, unit in spans)
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return float(text)  # a shorter number would be a span that forgot its unit
    # Python 3.10 does not read the Z of UTC.
    return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text)).timestamp()


def _category(event: Any) -> str:
    return event.categorization.category if event.categorization else "unknown"


def _layer(event: Any) -> str:
    return event.categorization.layer if event.categorization else "unknown"


def _getter(event_class: type[Event], name: str) -> Callable[[Any], Any]:
    if event_class is Failure and name in {"category", "layer"}:
        return _category if name == "category" else _layer
    return attrgetter(name)


@dataclass(frozen=True, slots=True)
class Query:
    """A checked question about the events of one class.

    Attributes:
        event_class: The events asked for.
        since: Unix seconds; nothing older.
        until: Unix seconds; nothing newer.
        filters: By field, the values that are taken.
    """

    event_class: type[Event]
    since: float | None = None
    until: float | None = None
    filters: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def ask(cls, event_class: type[Event], *, since: Moment, until: Moment, **filters: OneOrMore) -> Query:
        """Check a question.

        Raises:
            ConfigError: A time or a filter is wrong; says what is allowed.
        """
        now = time.time()
        start, end = moment(since, name="since", now=now), moment(until, name="until", now=now)
        if start is not None and end is not None and start > end:
            raise ConfigError(f"since={since!r} is later than until={until!r}; nothing can lie between them")
        wanted = {name: _values(name, value) for name, value in filters.items() if value is not None}
        for name, values in wanted.items():
            known = _known_values(event_class, name, values)
            if known is not None:
                _check(name, values, known)
        return cls(event_class, start, end, wanted)

    def about_run(self, run_id: str | None) -> Query:
        """The same question with ``"last"`` replaced by that run; by none where there is no run."""
        named = self.filters["run_id"] - {LAST}
        return replace(self, filters={**self.filters, "run_id": named | ({run_id} if run_id else set())})

    def key_filter(self) -> Callable[[bytes], bool] | None:
        """A test of a record's key that passes all that can match, before anything is decoded."""
        asked = self.filters.get("run_id", ())
        runs = tuple((run if is_begin_of_id(run) else f"{run}/").encode() for run in asked)
        tasks = tuple(f"/{task}".encode() for task in self.filters.get("task_id", ()))
        if tasks and self.event_class is ResourceSample:
            return lambda key: (not runs or key.startswith(runs)) and (key.endswith(tasks) or _OF_A_NODE in key)
        if runs and tasks:
            return lambda key: key.startswith(runs) and key.endswith(tasks)
        if runs:
            return lambda key: key.startswith(runs)
        if tasks:
            return lambda key: key.endswith(tasks)
        return None

    def select(self, events: Iterable[Event]) -> list[Any]:
        """Those of the events that the filters take, in their order; the reader has seen to the times."""
        chosen: list[Any] = [event for event in events if type(event) is self.event_class]
        for name, values in self.filters.items():
            get = _getter(self.event_class, name)
            begins = tuple(filter(is_begin_of_id, values)) if name == "run_id" else ()
            chosen = [event for event in chosen if get(event) in values or (begins and get(event).startswith(begins))]
        return chosen

    def __str__(self) -> str:
        parts = [f"{name}={', '.join(sorted(values))}" for name, values in self.filters.items()]
        for name, seconds in (("since", self.since), ("until", self.until)):
            if seconds is not None:
                parts.append(f"{name}={datetime.fromtimestamp(seconds).isoformat(' ', 'seconds')}")
        return ", ".join(parts)


def is_begin_of_id(run_id: str) -> bool:
    """Whether this is the beginning of a run's id, eight characters or more."""
    return _BEGIN_OF_ID.fullmatch(run_id) is not None


def _values(name: str, value: OneOrMore) -> frozenset[str]:
    several: Collection[Any] = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not several:
        raise ConfigError(f"{name} is an empty collection, which nothing matches", remedy="leave it out to ask for all")
    for item in several:
        if not isinstance(item, (str, int)) or isinstance(item, bool):
            raise ConfigError(f"{name}={item!r} is no text", remedy="give one value or a collection of them")
    return frozenset(str(item.value) if isinstance(item, Enum) else str(item) for item in several)


def _known_values(event_class: type[Event], name: str, wanted: frozenset[str]) -> Collection[str] | None:
    """The values that a filter may have, or None where any will do."""
    if name == "state" and hasattr(event_class, "task_id"):
        return TASK_STATES
    if name == "action" and event_class is Decision:
        return ("retry", "terminate", "deny", "allow")
    if name == "layer":
        from octopus_plugins.wrath import Layer

        return [layer.value for layer in Layer]
    if name == "category":
        from octopus_plugins.wrath import Category

        builtin = [category.value for category in Category]
        # Plugins are loaded only for a category that is not ours.
        return builtin if wanted <= set(builtin) else [*builtin, *_plugin_categories()]
    return None


def _plugin_categories() -> list[str]:
    from octopus_plugins.plugins import load_plugins

    return [str(rule.category.value) for rule in load_plugins().rules()]


def _check(name: str, values: frozenset[str], known: Collection[str]) -> None:
    for value in sorted(values - set(known)):
        close = difflib.get_close_matches(value.lower().replace("-", "_"), known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
        raise ConfigError(f"{name}={value!r} is unknown", remedy=hint)
