"""Rules for the environment layer: modules, libraries and programs that a node has, and may use."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import (
    EXIT_TYPES,
    Match,
    Rule,
    Scalar,
    Trust,
    exit_status,
    first_line,
    place,
    quote,
)
from octopus_plugins.wrath.rules.statements import line_with, said, spoken, stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

_NO_MODULE = re.compile(r"No module named '?([\w.]+)")
_LIBRARY_WORDS = (
    "cannot open shared object",
    "error while loading shared libraries",
    "undefined symbol",
    "image not found",
    "library not loaded",
    "dll load failed",
    "glibc_",
    "glibcxx_",
    "cxxabi_",
    "wrong elf class",
    "invalid elf header",
    "file too short",
)
_MODULE_WORDS = ("no module named", "cannot find module", "in @inc", "there is no package called")
_NO_DESCRIPTOR = "error 24"  # EMFILE, in the words of glibc's loader

_LIBRARY = re.compile(r"([\w.+-]{1,128}\.(?:so|dylib|dll)[\w.]{0,32})")
_MISSING_PROGRAM_WORDS = ("command not found", "no such file or directory", "not found")
_PROGRAM = re.compile(r"(?:^|: )([\w./+-]+): (?:command not found|No such file or directory|not found)", re.MULTILINE)
_DENIED_WORDS = ("permission denied", "operation not permitted")


def _missing_name(failure: Failure, history: History | None) -> Match | None:
    """A name that a module of Python's own library lacks: no node has another one."""
    message, module = failure.exception.message, str(failure.exception.attributes.get("name") or "")
    if not message.startswith("cannot import name") or module.partition(".")[0] not in sys.stdlib_module_names:
        return None
    return Match(f"the code is wrong: {quote(failure.exception)}", {"module": module}, 0.85, resolvable="no")


def _module(failure: Failure, history: History | None) -> Match | None:
    name = failure.exception.attributes.get("name")
    if not name:
        found = _NO_MODULE.search(failure.exception.message)
        name = found.group(1) if found else None
    message = failure.exception.message.lower()
    if any(word in message for word in _LIBRARY_WORDS):
        return None
    what = f"module {name!r}" if name else "a module"
    confidence = 0.95 if "ModuleNotFoundError" in failure.exception.mro else 0.8
    evidence: dict[str, Scalar] = {"subject": name, "module": name}
    elsewhere = ""
    if history is not None and history.succeeded_elsewhere(failure.run_id, failure.app, failure.host):
        # One node of many lacks it. Whether all of them do is for the policy's `confirm` to find out.
        evidence["succeeded_elsewhere"] = True
        elsewhere = f", and {failure.app} succeeded on another node"
    return Match(f"{what} cannot be imported{place(failure)}{elsewhere}", evidence, confidence)


def _module_to_read(failure: Failure, history: History | None) -> Match | None:
    """Parsl wraps what goes wrong when the submit side reads an exception: its own modules lack the class."""
    found = _NO_MODULE.search(failure.exception.message)
    if not found:
        return None
    name = found.group(1)
    reason = f"what the task sent needs module {name!r}, which the reading side lacks"
    return Match(reason, {"subject": name, "module": name}, 0.85, scope="run", resolvable="unknown")


def _library(failure: Failure, history: History | None) -> Match | None:
    message = failure.exception.message
    if not any(word in message.lower() for word in _LIBRARY_WORDS):
        return None
    found = _LIBRARY.search(message)
    name = found.group(1) if found else None
    what = f"library {name!r}" if name else "a shared library"
    return Match(f"{what} cannot be loaded{place(failure)}: {first_line(message)}", {"subject": name}, 0.9)


def _library_of_program(failure: Failure, history: History | None) -> Match | None:
    if exit_status(failure)[0] != 127:
        return None
    line = line_with(failure, _LIBRARY_WORDS)
    if not line or _NO_DESCRIPTOR in line.lower():
        return None
    found = _LIBRARY.search(line)
    evidence = {"subject": found.group(1) if found else None, "exit_code": 127, "text": line}
    return Match(f"a shared library of a program cannot be loaded{place(failure)}: {line}", evidence, 0.9)


def _library_said(failure: Failure, history: History | None) -> Match | None:
    line = line_with(failure, _LIBRARY_WORDS)
    if not line or _NO_DESCRIPTOR in line.lower():
        return None
    found = _LIBRARY.search(line)
    evidence = {"subject": found.group(1) if found else None, "text": line}
    return Match(f"a shared library cannot be loaded{place(failure)}: {line}", evidence, 0.75)


_NO_EXECUTABLE = Phrases(
    r"\b(?:unable|failed|could not|cannot|can't) (?:to )?(?:find|locate) the (?:specified |requested )?executable\b",
    r"\bexecve?\(\)?:? [^\n]{0,160}: no such file or directory\b",
)
_NOT_FOUND_WORDS = (
    ": command not found",
    ": not found",
    "executable not found",
    "not found in path",
    "not on the path",
)


def _not_found(failure: Failure, history: History | None) -> Match:
    line = line_with(failure, _NOT_FOUND_WORDS)
    found = _PROGRAM.search(line)
    name = found.group(1) if found else None
    what = f"program {name!r}" if name else "a program"
    return Match(f"{what} was not found{place(failure)}: {line}", {"subject": name, "text": line}, 0.65)


def _program_started(failure: Failure, history: History | None) -> Match | None:
    location = failure.exception.location or ""
    if "_execute_child" not in location and "subprocess.py" not in location:
        return None
    name = failure.exception.attributes.get("filename")
    return Match(f"program {name!r} is not there{place(failure)}", {"subject": name}, 0.85)


def _exit_127(failure: Failure, history: History | None) -> Match | None:
    if exit_status(failure)[0] != 127 or _NO_DESCRIPTOR in spoken(failure).lowered:
        return None
    line = line_with(failure, _MISSING_PROGRAM_WORDS)
    found = _PROGRAM.search(line)
    name = found.group(1) if found else None
    what = f"program {name!r}" if name else "a program"
    evidence = {"subject": name, "exit_code": 127, "text": line or None}
    return Match(f"{what} was not found{place(failure)} (exit code 127)", evidence, 0.9)


def _exit_126(failure: Failure, history: History | None) -> Match | None:
    if exit_status(failure)[0] != 126:
        return None
    evidence = {"exit_code": 126, "text": line_with(failure, _DENIED_WORDS) or None}
    return Match(f"a program may not be executed{place(failure)} (exit code 126)", evidence, 0.9)


def _denied(failure: Failure, history: History | None) -> Match:
    name = failure.exception.attributes.get("filename")
    return Match(f"access was refused{place(failure)}: {quote(failure.exception)}", {"subject": name}, 0.9)


RULES = (
    Rule(
        "library_missing.type",
        Category.library_missing,
        Trust.exact_type,
        _library,
        types=("ImportError", "OSError", "AttributeError"),
        doc="`ImportError` or `OSError` of the loader: `cannot open shared object file`, `undefined symbol`, …",
    ),
    Rule(
        "code_error.import_name",
        Category.code_error,
        Trust.exact_type,
        _missing_name,
        types=("ImportError",),
        doc="an `ImportError` of a name that a module of the standard library does not have",
    ),
    Rule(
        "module_missing.type",
        Category.module_missing,
        Trust.exact_type,
        _module,
        types=("ImportError",),
        doc="`ModuleNotFoundError`, `ImportError`",
    ),
    Rule(
        "module_missing.deserialization",
        Category.module_missing,
        Trust.exact_type,
        _module_to_read,
        types=("parsl.serialize.errors.DeserializationError",),
        doc="`DeserializationError` that names a module",
    ),
    Rule(
        "executable_missing.subprocess",
        Category.executable_missing,
        Trust.exact_type,
        _program_started,
        types=("FileNotFoundError",),
        doc="`FileNotFoundError` from `subprocess`",
    ),
    Rule(
        "permission_denied.type",
        Category.permission_denied,
        Trust.exact_type,
        _denied,
        types=("PermissionError",),
        doc="`PermissionError` (`EACCES`, `EPERM`)",
    ),
    Rule(
        "library_missing.exit_code",
        Category.library_missing,
        Trust.exit_status,
        _library_of_program,
        types=EXIT_TYPES,
        doc="exit code 127, and the loader's message",
    ),
    Rule(
        "executable_missing.exit_code",
        Category.executable_missing,
        Trust.exit_status,
        _exit_127,
        types=EXIT_TYPES,
        doc="exit code 127",
    ),
    Rule(
        "permission_denied.exit_code",
        Category.permission_denied,
        Trust.exit_status,
        _exit_126,
        types=EXIT_TYPES,
        doc="exit code 126",
    ),
    Rule(
        "module_missing.text",
        Category.module_missing,
        Trust.text,
        said("a module is missing", _MODULE_WORDS),
        types=EXIT_TYPES,
        words=_MODULE_WORDS,
        doc="a program's `No module named`, `Cannot find module`, `Can't locate … in @INC`, …",
    ),
    Rule(
        "library_missing.text",
        Category.library_missing,
        Trust.statement,
        _library_said,
        words=_LIBRARY_WORDS,
        doc="`error while loading shared libraries`, ``version `GLIBC_2.34' not found``, `undefined symbol`, …",
    ),
    stated(
        "executable_missing.stated",
        Category.executable_missing,
        "a program was not found",
        _NO_EXECUTABLE,
        confidence=0.75,
        doc="`unable to find the specified executable file`, …",
    ),
    Rule(
        "executable_missing.text",
        Category.executable_missing,
        Trust.text,
        _not_found,
        types=EXIT_TYPES,
        words=_NOT_FOUND_WORDS,
        doc="a program's `command not found`, whatever its exit code",
    ),
    Rule(
        "permission_denied.text",
        Category.permission_denied,
        Trust.text,
        said("access was refused", _DENIED_WORDS),
        types=EXIT_TYPES,
        words=_DENIED_WORDS,
        doc="`permission denied` on a program's standard error",
    ),
)
