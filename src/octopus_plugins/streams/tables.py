"""Events as tables: one flat column for each field, the same ones whether or not there are rows.

Nested fields are columns with dotted names, such as ``categorization.category``; a field that has no value is null.

========================================  =========================  ==============================
field                                     pandas                     Arrow
========================================  =========================  ==============================
text                                      ``string``                 ``string``
whole number                              ``Int64``                  ``int64``
number                                    ``Float64``                ``float64``
true or false                             ``boolean``                ``bool``
time (Unix seconds in the event)          ``datetime64[us, UTC]``    ``timestamp[us, UTC]``
list of texts                             ``object``: list of str    ``list<string>``
mapping, list of records                  ``object``: dict, list     ``string``: JSON text
========================================  =========================  ==============================
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from octopus_plugins.errors import ConfigError, MissingDependencyError
from octopus_plugins.events import Decision, Event, Failure

if TYPE_CHECKING:
    import pandas
    import pyarrow

_TIMES = frozenset({"time", "submitted", "launched", "started", "ended"})


class Kind(Enum):
    """What a column holds."""

    text = "text"
    integer = "integer"
    number = "number"
    boolean = "boolean"
    time = "time"
    texts = "texts"
    nested = "nested"


_PANDAS_TYPES = {
    Kind.text: "string",
    Kind.integer: "Int64",
    Kind.number: "Float64",
    Kind.boolean: "boolean",
    Kind.time: "datetime64[us, UTC]",
    Kind.texts: "object",
    Kind.nested: "object",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        path: The names of the fields that lead to the value.
        kind: What it holds.
    """

    path: tuple[str, ...]
    kind: Kind

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.path)


@cache
def columns(event_class: type[msgspec.Struct]) -> tuple[Column, ...]:
    """The columns of a table of such events, in the order of the class's fields."""
    return tuple(_columns(event_class, ()))


def _columns(struct: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[Column]:
    for field in msgspec.structs.fields(struct):
        inner = _plain_type(field.type)
        here = (*path, field.name)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from _columns(inner, here)
        else:
            yield Column(here, _kind(field.name, inner))


def _plain_type(annotation: Any) -> Any:
    """A field's type without its bounds, and without None."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _plain_type(annotation.__origin__)
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return _plain_type(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def _kind(name: str, annotation: Any) -> Kind:
    if annotation is float:
        return Kind.time if name in _TIMES else Kind.number
    if typing.get_origin(annotation) is tuple and _plain_type(typing.get_args(annotation)[0]) is str:
        return Kind.texts
    return {str: Kind.text, int: Kind.integer, bool: Kind.boolean}.get(annotation, Kind.nested)


def to_columns(wanted: Iterable[Column], batches: Iterable[Sequence[Event]]) -> dict[Column, list[Any]]:
    """Turn events into lists of values, column by column, because that is many times quicker than row by row."""
    table: dict[Column, list[Any]] = {column: [] for column in wanted}
    for batch in batches:
        parents: dict[tuple[str, ...], Sequence[Any]] = {(): batch}
        for column, values in table.items():
            values.extend(_values(column.path, parents))
    return table


def _values(path: tuple[str, ...], parents: dict[tuple[str, ...], Sequence[Any]]) -> list[Any]:
    *above, name = path
    parent = tuple(above)
    if parent not in parents:
        parents[parent] = _values(parent, parents)
    if not parent:
        return [getattr(item, name) for item in parents[parent]]
    return [None if item is None else getattr(item, name) for item in parents[parent]]


def to_pandas(event_class: type[Event], batches: Iterable[Sequence[Event]]) -> pandas.DataFrame:
    """Make a DataFrame.

    Raises:
        MissingDependencyError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingDependencyError(_missing("to_pandas()", "pandas")) from error
    data: dict[str, Any] = {}
    for column, values in to_columns(columns(event_class), batches).items():
        if column.kind is Kind.time:
            micros = pandas.array([_micros(value) for value in values], dtype="Int64")
            data[column.name] = pandas.to_datetime(micros, unit="us", utc=True).astype(_PANDAS_TYPES[column.kind])
        else:
            cells = [plain(value) for value in values] if _PANDAS_TYPES[column.kind] == "object" else values
            data[column.name] = pandas.Series(cells, dtype=_PANDAS_TYPES[column.kind])
    frame: pandas.DataFrame = pandas.DataFrame(data)
    return frame


def to_arrow(event_class: type[Event], batches: Iterable[Sequence[Event]]) -> pyarrow.Table:
    """Make an Arrow table.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingDependencyError(_missing("to_arrow()", "pyarrow")) from error
    arrow_types = {
        Kind.text: pyarrow.string(),
        Kind.integer: pyarrow.int64(),
        Kind.number: pyarrow.float64(),
        Kind.boolean: pyarrow.bool_(),
        Kind.time: pyarrow.timestamp("us", tz="UTC"),
        Kind.texts: pyarrow.list_(pyarrow.string()),
        Kind.nested: pyarrow.string(),
    }
    arrays = {}
    for column, values in to_columns(columns(event_class), batches).items():
        cells = values
        if column.kind is Kind.time:
            cells = [_micros(value) for value in values]
        elif column.kind is Kind.nested:
            cells = [None if value is None else msgspec.json.encode(plain(value)).decode() for value in values]
        arrays[column.name] = pyarrow.array(cells, type=arrow_types[column.kind])
    return pyarrow.table(arrays)


def _micros(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000_000)


def _missing(call: str, package: str) -> str:
    return f"{call} needs {package}; install it with: pip install 'octopus-plugins[pandas]'"


def plain(value: Any) -> Any:
    """Structs as dicts and tuples as lists, with every field in them (the JSON form leaves defaults out)."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value  # the dicts of events hold plain values only


# What people call the fields that lie deeper than the first level.
_SHORT_NAMES: dict[type[Event], dict[str, str]] = {
    Failure: {
        "category": "categorization.category",
        "layer": "categorization.layer",
        "scope": "categorization.scope",
        "resolvable": "categorization.resolvable",
        "rule": "categorization.rule",
        "exception": "exception.type",
    },
    Decision: {"rung": "placement.rung"},
}


def column_named(event_class: type[Event], name: str) -> Column:
    """Find a column by its dotted name, or by a short one (``category`` for ``categorization.category``).

    Raises:
        ConfigError: There is no such column, or its values cannot be counted.
    """
    short = _SHORT_NAMES.get(event_class, {})
    countable = {column.name: column for column in columns(event_class) if column.kind not in {Kind.nested, Kind.texts}}
    column = countable.get(short.get(name, name))
    if column is None:
        known = ", ".join([*short, *countable])
        raise ConfigError(f"{event_class.__name__} has no field {name!r} to count by", remedy=f"it has: {known}")
    return column
