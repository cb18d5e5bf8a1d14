"""Exceptions in Parsl's logs: the same to the byte as Python writes them."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from parsl.app.errors import RemoteExceptionWrapper
from parsl.serialize import deserialize, serialize

from octopus_plugins.htex import log_traceback
from octopus_plugins.htex.log_traceback import exception_text

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]


def as_python(info: ExcInfo) -> str:
    return logging.Formatter().formatException(info)


def raised(run: Callable[[], Any]) -> ExcInfo:
    try:
        run()
    except BaseException:  # noqa: BLE001 - whatever it raises
        kind, error, trace = sys.exc_info()
        assert kind is not None and error is not None and trace is not None
        return kind, error, trace
    raise AssertionError("nothing was raised")


class OwnError(Exception):
    """A class of a module."""


def plain() -> None:
    raise ValueError("no such\nplanet")


def wordless() -> None:
    raise OwnError


def nested() -> None:
    [plain() for _ in range(1)]


def in_a_line_of_many() -> None:
    _ = {"a": 1}["a"] + [1, 2][0] + {"b": 2}["c"] + len("no")


def from_none() -> None:
    try:
        plain()
    except ValueError:
        raise KeyError("quiet") from None


def without_source() -> None:
    exec(compile("def run():\n    raise OSError(5, 'gone')\nrun()", "/no/such/file.py", "exec"), {})


def remote() -> None:
    """What a worker raised, as it comes back."""
    try:
        nested()
    except ValueError:
        wrapped = RemoteExceptionWrapper(*sys.exc_info())
    deserialize(serialize(wrapped)).reraise()


def local() -> type[BaseException]:
    class LocalError(RuntimeError):
        pass

    return LocalError


def of_a_local_class() -> None:
    raise local()("here")


class NotedError(Exception):
    """Has notes, as Python 3.11 lets any exception have."""

    def __init__(self) -> None:
        super().__init__("x")
        self.__notes__ = ["a note", "of two\nlines"]


def noted() -> None:
    raise NotedError


QUICK = [plain, wordless, nested, in_a_line_of_many, from_none, without_source, remote, of_a_local_class, noted]


@pytest.mark.parametrize("run", QUICK)
def test_it_is_written_as_python_does(run: Callable[[], Any]) -> None:
    for _ in range(3):
        info = raised(run)
        assert exception_text(*info) == as_python(info)


def test_what_is_known_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = raised(remote)
    expected = exception_text(*first)
    monkeypatch.setattr(log_traceback, "_learn", None)
    assert exception_text(*raised(remote)) == expected


def test_an_exception_is_asked_once_what_it_says() -> None:
    class CountingError(Exception):
        asked = 0

        def __str__(self) -> str:
            CountingError.asked += 1
            return "one"

    def run() -> None:
        raise CountingError

    for number in range(1, 4):
        assert "CountingError: one" in str(exception_text(*raised(run)))
        assert CountingError.asked == number


def caused() -> None:
    try:
        plain()
    except ValueError as error:
        raise OwnError("then") from error


def in_context() -> None:
    try:
        plain()
    except ValueError:
        {}["fuel"]


def recursive(left: int = 20) -> None:
    if left:
        recursive(left - 1)
    plain()


def misspelt() -> None:
    sys.argz  # type: ignore[attr-defined]  # noqa: B018


def unreadable() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise TypeError

    raise MuteError


def speechless(what: type[BaseException]) -> Callable[[], None]:
    class SpeechlessError(Exception):
        def __str__(self) -> str:
            raise what(3)

    def run() -> None:
        raise SpeechlessError

    return run


def in_a_text_of_its_own() -> None:
    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "its text"

        def __format__(self, form: str) -> str:
            return "its format"

    class OwnTextError(Exception):
        def __str__(self) -> str:
            return Text("plain")

    raise OwnTextError


ODD = [unreadable, in_a_text_of_its_own, *map(speechless, (SystemExit, asyncio.CancelledError, KeyboardInterrupt))]


class OddlyNotedError(Exception):
    """Has notes of a form of its own."""

    def __init__(self) -> None:
        self.__notes__ = ("a note", 7)


def oddly_noted() -> None:
    raise OddlyNotedError


def lazily_noted() -> None:
    class LazyError(Exception):
        def __getattr__(self, name: str) -> Any:
            if name == "__notes__":
                return ["made up"]
            raise AttributeError(name)

    raise LazyError("x")


def program() -> None:
    compile("a = = 1", "script.py", "exec")


def many() -> None:
    group = getattr(__builtins__, "ExceptionGroup", None) or OwnError
    raise group("both", [ValueError(1), KeyError(2)])


LEFT = [caused, in_context, recursive, misspelt, oddly_noted, lazily_noted, program]


@pytest.mark.parametrize("run", LEFT)
def test_what_python_says_more_of_is_left_to_python(run: Callable[[], Any]) -> None:
    assert exception_text(*raised(run)) is None


@pytest.mark.parametrize("run", [*QUICK, *LEFT, *ODD, many])
def test_a_log_has_the_same_bytes(run: Callable[[], Any], tmp_path: Path) -> None:
    from parsl.log_utils import DEFAULT_FORMAT

    from octopus_plugins.htex import fast_log

    handler = logging.FileHandler(tmp_path / "log", encoding="utf-8")
    handler.setFormatter(logging.Formatter(DEFAULT_FORMAT, datefmt="%Y-%m-%d %H:%M:%S"))
    info = raised(run)
    expected = b""
    for message in ("failed", "failed\n"):
        record = logging.LogRecord("parsl.x", logging.ERROR, "/x.py", 1, message, (), info, "f")
        handler.handle(record)
        expected = (tmp_path / "log").read_bytes()
    handler.emit = fast_log._quick_emit(handler)  # type: ignore[method-assign, assignment]
    for message in ("failed", "failed\n"):
        again = logging.LogRecord("parsl.x", logging.ERROR, "/x.py", 1, message, (), info, "f")
        again.created = record.created
        handler.handle(again)
    handler.close()
    lines = (tmp_path / "log").read_bytes()[len(expected) :]
    assert _untimed(lines) == _untimed(expected)


def _untimed(text: bytes) -> list[bytes]:
    """Without the beginning of each record's line, which says when it was made."""
    return [line.partition(b" MainProcess-")[2] or line for line in text.splitlines(keepends=True)]


def test_a_source_that_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "changing.py"
    script.write_text("def run():\n    raise ValueError('x')  # before\n")
    spec = importlib.util.spec_from_file_location("changing", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert "# before" in str(exception_text(*raised(module.run)))
    script.write_text("def run():\n    raise ValueError('x')  # changed since\n")
    os.utime(script, (time.time() + 10,) * 2)
    later = time.monotonic() + log_traceback.SOURCE_SECONDS + 1
    monkeypatch.setattr(log_traceback.time, "monotonic", lambda: later)
    info = raised(module.run)
    assert exception_text(*info) == as_python(info)
    assert "# changed since" in as_python(info)


def test_no_more_frames_than_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_traceback, "MAX_FRAMES", 5)
    for number in range(50):
        scope: dict[str, Any] = {}
        exec(compile(f"def run_{number}():\n    raise OSError({number})", f"/none/{number}.py", "exec"), scope)
        info = raised(scope[f"run_{number}"])
        assert exception_text(*info) == as_python(info)
    assert len(log_traceback._texts) <= 5 + 2


def test_a_limit_of_the_user_s_is_python_s_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", 1, raising=False)
    assert exception_text(*raised(nested)) is None
