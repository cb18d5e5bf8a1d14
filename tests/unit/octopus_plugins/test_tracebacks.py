"""Tracebacks read as Python prints them."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from octopus_plugins import tracebacks
from octopus_plugins.tracebacks import MAX_LINKS, traceback_text


def plain() -> None:
    raise ValueError("no such\nplanet")


def caused() -> None:
    try:
        plain()
    except ValueError as error:
        raise RuntimeError("cannot land") from error


def in_context() -> None:
    try:
        caused()
    except RuntimeError:
        {}["fuel"]


def without_context() -> None:
    try:
        plain()
    except ValueError:
        raise KeyError("quiet") from None


def deep(left: int = 50) -> None:
    if left:
        deep(left - 1)
    plain()


def syntax() -> None:
    compile("a = = 1", "script.py", "exec")


def circle() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def without_source() -> None:
    exec(compile("def run():\n    raise OSError(5, 'gone')\nrun()", "/no/such/file.py", "exec"), {})


def unreadable() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise TypeError

    raise Mute


def raised(run: Callable[[], None]) -> BaseException:
    try:
        run()
    except Exception as error:  # noqa: BLE001 - whatever it raises
        return error
    raise AssertionError("nothing was raised")


def as_python(error: BaseException) -> str:
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join(re.sub(r"^ +[~^]+\n", "", line, flags=re.MULTILINE) for line in lines)


@pytest.mark.parametrize(
    "run", [plain, caused, in_context, without_context, deep, syntax, circle, without_source, unreadable]
)
def test_reads_as_python_prints_it_but_for_carets(run: Callable[[], None]) -> None:
    error = raised(run)
    text = traceback_text(type(error), error, error.__traceback__)
    text = re.sub(r"^ +\^+\n", "", text, flags=re.MULTILINE)  # a syntax error has one of its own
    assert text == as_python(error)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_a_group_shows_its_members() -> None:
    group = ExceptionGroup("several", [ValueError("one"), OSError("two")])  # noqa: F821
    outer = RuntimeError("outer")
    outer.__cause__ = group
    text = traceback_text(RuntimeError, outer, None)
    assert "ValueError: one" in text and "OSError: two" in text and text.endswith("RuntimeError: outer\n")


def test_only_the_innermost_frames_are_told() -> None:
    error = raised(deep)
    text = traceback_text(type(error), error, error.__traceback__, frames=2)
    assert text.count("  File ") == 2
    assert "in plain" in text


def test_a_chain_without_end_is_cut() -> None:
    error = outermost = ValueError(0)
    for number in range(1, 3 * MAX_LINKS):
        error.__cause__ = ValueError(number)
        error = error.__cause__
    text = traceback_text(ValueError, outermost, None)
    assert text.count("ValueError") == MAX_LINKS
    assert text.endswith("ValueError: 0\n")


def test_a_file_that_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "changing.py"

    def text_of(source: str) -> str:
        file.write_text(source)
        space: dict[str, Callable[[], None]] = {}
        exec(compile(source, str(file), "exec"), space)
        error = raised(space["run"])
        return traceback_text(type(error), error, error.__traceback__)

    assert "raise OSError('old')" in text_of("def run():\n    raise OSError('old')\n")
    monkeypatch.setattr(tracebacks, "SOURCE_SECONDS", -1.0)
    assert "raise OSError('newer')" in text_of("def run():\n    raise OSError('newer')\n")
