"""Bugs."""

# ruff: noqa: PTH123, SIM115, F821, PLE0643 - as users write it
from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category

CASES = Cases()
BUG = Category.code_error


@CASES.python(BUG)
def undefined_name() -> Any:
    """Uses a name that is not defined."""
    return undefined  # type: ignore[name-defined]


@CASES.python(BUG)
def unbound_local() -> Any:
    """Uses a local variable before it has a value."""
    if len("x") > 1:
        value = 1
    return value  # pyright: ignore


@CASES.python(BUG)
def syntax_error() -> Any:
    """Executes source text that is no Python."""
    exec("def f(:\n  pass")


@CASES.python(BUG)
def missing_argument() -> Any:
    """Calls a function with too few arguments."""
    return (lambda a, b: a + b)(1)  # type: ignore[call-arg]


@CASES.python(BUG, unexpected=1)
def unexpected_keyword() -> Any:
    """Is itself called with a keyword that it does not have."""


@CASES.python(BUG)
def not_implemented() -> Any:
    """Calls a method that a class left to its children."""
    raise NotImplementedError("solve() of an abstract solver")


@CASES.python(BUG)
def missing_key() -> Any:
    """Looks up a key that a dict does not have."""
    return {"alpha": 1}["beta"]


@CASES.python(BUG)
def index_out_of_range() -> Any:
    """Indexes past a list's end."""
    return [1, 2, 3][7]


@CASES.python(BUG)
def attribute_of_none() -> Any:
    """Uses a function's missing return value as an array."""
    return [].sort().shape  # type: ignore[func-returns-value]


@CASES.python(BUG)
def adds_text_and_number() -> Any:
    """Adds text and a number."""
    return "3" + 4  # type: ignore[operator]


@CASES.python(BUG)
def assertion() -> Any:
    """Asserts what does not hold."""
    assert sum([1, 2]) == 4, "mass is not conserved"


@CASES.python(BUG)
def endless_recursion() -> Any:
    """Recurses without end."""

    def deeper(n: int) -> int:
        return deeper(n + 1)

    return deeper(0)


@CASES.python(BUG)
def unpacks_too_many() -> Any:
    """Unpacks three values into two."""
    first, second = (1, 2, 3)  # type: ignore[misc]
    return first, second


@CASES.python(Category.unknown)
def own_exception() -> Any:
    """Raises an exception class of its own."""

    class ModelError(Exception):
        pass

    raise ModelError("negative absorption")


class PickyError(Exception):
    """Cannot be unpickled: its constructor takes two arguments, and only one is kept."""

    def __init__(self, cell: int, why: str) -> None:
        super().__init__(f"cell {cell}: {why}")


@CASES.python(Category.unknown)
def exception_without_pickling() -> Any:
    """Raises an exception whose class cannot be unpickled."""
    raise PickyError(7, "diverged")


@CASES.python(BUG)
def exception_group() -> Any:
    """Raises an exception group of two bugs."""
    raise ExceptionGroup("two parts failed", [ValueError("a"), KeyError("b")])


@CASES.python(BUG)
def bug_below_a_wrapper() -> Any:
    """A KeyError, wrapped in a RuntimeError by the library around it."""
    try:
        return {}["x"]
    except KeyError as error:
        raise RuntimeError("cannot set up the kernel") from error


@CASES.python(BUG)
def bug_while_handling() -> Any:
    """A NameError in the handler of a FileNotFoundError that was expected."""
    try:
        open("/no/such/cache")
    except FileNotFoundError:
        return fallback  # type: ignore[name-defined]


@CASES.python(BUG)
def pandas_column() -> Any:
    """Asks a DataFrame for a column that it does not have."""
    import pandas as pd

    return pd.DataFrame({"a": [1]})["b"]


@CASES.python(BUG)
def numpy_shapes() -> Any:
    """Adds arrays whose shapes do not fit."""
    import numpy as np

    return np.zeros((2, 3)) + np.zeros((4, 5))


@CASES.python(BUG)
def numpy_axis() -> Any:
    """Sums over an axis that is not there."""
    import numpy as np

    return np.zeros(3).sum(axis=2)


@CASES.python(BUG)
def sql_syntax() -> Any:
    """Sends SQLite a statement that is no SQL."""
    import sqlite3

    return sqlite3.connect(":memory:").execute("SELEC 1")


@CASES.python(BUG)
def sqlalchemy_table() -> Any:
    """Asks SQLAlchemy for a table that does not exist."""
    import sqlalchemy

    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        return connection.execute(sqlalchemy.text("SELECT * FROM nowhere"))


@CASES.python(BUG)
def bad_pattern() -> Any:
    """Compiles a regular expression that is none."""
    import re

    return re.compile("(unclosed")


@CASES.python(BUG)
def frozen_instance() -> Any:
    """Assigns to a field of a frozen dataclass."""
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Cell:
        size: int = 1

    Cell().size = 2  # type: ignore[misc]


@CASES.python(BUG)
def generator_ended() -> Any:
    """Takes one item too many from an iterator."""
    return next(iter([]))


@CASES.python(BUG)
def changed_while_iterating() -> Any:
    """Changes a dict while it iterates over it."""
    items = {1: 1, 2: 2}
    for key in items:
        items[key + 10] = 0


@CASES.python(BUG)
def missing_attribute_of_module() -> Any:
    """Calls a function that NumPy no longer has."""
    import numpy as np

    return np.float(1.0)  # type: ignore[attr-defined]


@CASES.python(BUG)
def imports_a_missing_name() -> Any:
    """Imports a name that the standard library's module does not have, on any node."""
    from math import no_such_function  # type: ignore[attr-defined]

    return no_such_function


@CASES.workflow(BUG)
def bash_app_returns_nothing(lab: Any) -> Any:
    """A bash app that returns None in place of a command."""
    from parsl.app.app import bash_app

    def forgets_to_return(**_: Any) -> None:
        return None

    return bash_app(forgets_to_return, executors=[lab.executor])(stderr=str(lab.scratch / "none.stderr"))


@CASES.workflow(BUG)
def bash_app_raises(lab: Any) -> Any:
    """A bash app that fails while it builds its command."""
    from parsl.app.app import bash_app

    def builds_badly(**_: Any) -> str:
        return f"run {[][0]}"

    return bash_app(builds_badly, executors=[lab.executor])()


SCENES = [Scene("code", CASES, [Place("plain", workers=2)])]
