"""The answer to a question: a lazily read stream of events of one class."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from octopus_plugins.config import OctopusConfig
from octopus_plugins.errors import ConfigError
from octopus_plugins.events import Event, Run
from octopus_plugins.streams import tables
from octopus_plugins.streams.query import LAST, Query

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from octopus_plugins.fabric.kafka.reader import Reader

T = TypeVar("T", bound=Event)


class Stream(Generic[T]):
    """The answer to a question: events of one class, read from their topic when they are asked for.

    Each iteration reads anew. ``close()``, also from another thread, ends the iterations under way, and with
    ``follow`` it is the way to end them.

    Every method that reads raises `BrokerUnreachableError`, `TopicMissingError`, `CredentialsError`, or
    `ConfigError` where no broker is known; the message says what to do.
    """

    def __init__(
        self,
        query: Query,
        *,
        follow: bool = False,
        limit: int | None = None,
        config: OctopusConfig | None = None,
        profile: str | None = None,
    ) -> None:
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ConfigError(f"limit={limit!r} is not a whole number of at least 1", remedy="leave it out to get all")
        if follow and query.until is not None:
            raise ConfigError("follow=True goes on until it is closed", remedy="leave out until, or follow")
        if config is not None and profile is not None and config.profile != profile:
            raise ConfigError(
                f"profile={profile!r} contradicts the config, which is of {config.profile!r}", remedy="give one"
            )
        self.query = query
        self.follow = follow
        self.limit = limit
        self.config = config if config is not None else OctopusConfig.load(profile=profile)
        self._closed = False
        self._readers: set[Reader] = set()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[T]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Generator[list[T], None, None]:
        """Iterate over lists of events, as they come from the broker; quicker than one by one."""
        query = self._resolve_last()
        if not query.filters.get("run_id", True):
            return
        left = self.limit
        reader = self._open(query)
        try:
            for events in reader.read_batches():
                batch = cast("list[T]", query.select(events))
                if left is not None:
                    batch = batch[:left]
                    left -= len(batch)
                if batch:
                    yield batch
                if left == 0 or self._closed:
                    return
        finally:
            with self._lock:
                self._readers.discard(reader)
            reader.close()

    def first(self) -> T | None:
        """The first event, or None."""
        with contextlib.closing(self.batches()) as batches:
            return next(batches, [None])[0]

    def to_dicts(self) -> list[dict[str, Any]]:
        """All events as dicts, with every field in them."""
        self._refuse_endless("to_dicts()")
        return [tables.plain(event) for event in self]

    def to_pandas(self) -> pandas.DataFrame:
        """All events as a DataFrame.

        The columns are those that `octopus_plugins.streams.tables` describes: one for each field, nested ones with
        dotted names (``categorization.category``), times as UTC datetimes; the same ones when there are no rows.

        Raises:
            MissingDependencyError: pandas is not installed.
            ConfigError: The stream follows without a limit, so that it has no end.
        """
        self._refuse_endless("to_pandas()")
        return tables.to_pandas(self.query.event_class, self.batches())

    def to_arrow(self) -> pyarrow.Table:
        """All events as an Arrow table, with the same columns as `to_pandas`.

        Raises:
            MissingDependencyError: pyarrow is not installed.
            ConfigError: The stream follows without a limit, so that it has no end.
        """
        self._refuse_endless("to_arrow()")
        return tables.to_arrow(self.query.event_class, self.batches())

    def count_by(self, *fields: str) -> dict[Any, int]:
        """Count the events by the values of one or several fields.

        Args:
            *fields: Names of columns of `to_pandas`; the ends of the common ones will do (``"category"``).

        Returns:
            For one field, value → number; for several, tuple of values → number. The most frequent come first.

        Raises:
            ConfigError: There is no such field, or the stream follows without a limit.
        """
        self._refuse_endless("count_by()")
        if not fields:
            raise ConfigError('count_by() needs a field to count by, such as count_by("host")')
        wanted = [tables.column_named(self.query.event_class, name) for name in fields]
        counts: Counter[Any] = Counter()
        for batch in self.batches():
            columns = tables.to_columns(wanted, [batch])
            counts.update(columns[wanted[0]] if len(wanted) == 1 else zip(*columns.values(), strict=True))
        return dict(counts.most_common())

    def close(self) -> None:
        """End the iterations under way, from whatever thread; later ones find nothing."""
        with self._lock:
            self._closed = True
            readers = list(self._readers)
        for reader in readers:
            reader.close()

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        words = [str(self.query)] if str(self.query) else []
        words += ["follow"] if self.follow else []
        words += [f"limit={self.limit}"] if self.limit is not None else []
        topic = f"{self.config.namespace}.{self.query.event_class.TOPIC}"
        asked = f" where {', '.join(words)}" if words else ""
        return f"<Stream of {self.query.event_class.__name__} from {topic} ({self.config.profile}){asked}>"

    def _open(self, query: Query) -> Reader:
        from octopus_plugins.fabric.kafka.reader import Reader

        reader = Reader(
            self.config,
            query.event_class.TOPIC,
            since=query.since,
            until=query.until,
            follow=self.follow,
            keep=query.key_filter(),
        )
        with self._lock:
            self._readers.add(reader)
            closed = self._closed
        if closed:
            reader.close()
        return reader

    def _resolve_last(self) -> Query:
        if LAST not in self.query.filters.get("run_id", ()):
            return self.query
        newest: Run | None = None
        for run in Stream[Run](Query(Run, filters={"state": frozenset({"started"})}), config=self.config):
            if newest is None or run.time >= newest.time:
                newest = run
        return self.query.about_run(newest.run_id if newest else None)

    def _refuse_endless(self, call: str) -> None:
        if self.follow and self.limit is None:
            raise ConfigError(
                f"{call} would wait forever on a stream that follows", remedy="give a limit, or leave out follow"
            )
