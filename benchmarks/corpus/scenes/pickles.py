"""What cannot be sent between processes."""

from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Scene
from octopus_plugins.wrath import Category

CASES = Cases()
SENT = Category.serialization


@CASES.python(SENT)
def returns_a_generator() -> Any:
    """Returns a generator."""
    return (n for n in range(3))


@CASES.python(SENT)
def returns_a_running_frame() -> Any:
    """Returns a frame of its own call stack."""
    import sys

    return sys._getframe()


@CASES.python(SENT)
def returns_a_socket() -> Any:
    """Returns an open socket."""
    import socket

    return socket.socket()


@CASES.python(SENT)
def returns_a_connection() -> Any:
    """Returns a database connection, inside a dict."""
    import sqlite3

    return {"database": sqlite3.connect(":memory:")}


@CASES.python(SENT)
def returns_a_view() -> Any:
    """Returns a memoryview."""
    return memoryview(b"abc")


class Unreadable:
    """Can be pickled, and not unpickled."""

    def __setstate__(self, state: Any) -> None:
        raise RuntimeError("this state is of another kind")

    def __getstate__(self) -> Any:
        return {"a": 1}


@CASES.python(SENT)
def returns_the_unreadable() -> Any:
    """Returns an object that cannot be unpickled on the submit side."""
    return Unreadable()


@CASES.python(SENT)
def raises_with_a_generator() -> Any:
    """Raises an exception that holds a generator: the exception cannot be sent."""
    error = ValueError("inside")
    error.rest = (n for n in range(3))  # type: ignore[attr-defined]
    raise error


@CASES.python(SENT)
def pickles_a_local_function() -> Any:
    """The task itself pickles a local function with the standard library."""
    import pickle

    def local() -> None:
        return None

    return pickle.dumps(local)


@CASES.python(SENT)
def sends_a_lambda_to_a_pool() -> Any:
    """The task itself sends a lambda to a process pool."""
    import concurrent.futures
    import multiprocessing

    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(lambda: 1).result()


@CASES.workflow(SENT)
def takes_a_view(lab: Any) -> Any:
    """Is called with a memoryview."""
    return lab.python(_named("takes_a_view"), memoryview(b"abc"))


@CASES.workflow(SENT)
def takes_a_generator(lab: Any) -> Any:
    """Is called with a generator."""
    return lab.python(_named("takes_a_generator"), (n for n in range(3)))


@CASES.workflow(SENT)
def takes_a_file(lab: Any) -> Any:
    """Is called with a socket, inside a list."""
    import socket

    return lab.python(_named("takes_a_file"), [socket.socket()])


@CASES.workflow(SENT)
def takes_the_unreadable(lab: Any) -> Any:
    """Is called with an object that cannot be unpickled on the worker."""
    return lab.python(_named("takes_the_unreadable"), Unreadable())


def _named(name: str) -> Any:
    def run(value: Any) -> Any:
        return value

    run.__name__ = name
    return run


SCENES = [Scene("pickles", CASES)]
