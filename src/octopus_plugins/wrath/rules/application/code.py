"""Rules for the application layer: the task's own code and programs (inputs and numbers have their own)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.application.data import NUMBERS
from octopus_plugins.wrath.rules.environment.node import fails_here_only
from octopus_plugins.wrath.rules.origin import raised_by_own_code
from octopus_plugins.wrath.rules.phrases import Phrases
from octopus_plugins.wrath.rules.rule import (
    EXIT_TYPES,
    LOST_TYPES,
    Match,
    Rule,
    Trust,
    ending,
    exit_status,
    first_line,
    in_serializer,
    place,
    quote,
    stderr,
)
from octopus_plugins.wrath.rules.signals import CRASHES, signal_name
from octopus_plugins.wrath.rules.statements import stated
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

# What Python says when a call does not fit the function: no other input and no other node can change that.
_BAD_CALL = re.compile(
    r"missing \d+ required (?:positional|keyword-only) argument"
    r"|takes (?:from \d+ to )?(?:no|\d+) (?:positional )?arguments?"
    r"|got an unexpected keyword argument"
    r"|got multiple values for (?:keyword )?argument"
)
_PICKLE_WORDS = (
    "cannot pickle",
    "can't pickle",
    "can't get local object",
    "can't get attribute",
    "not the same object as",
)


def _certain_bug(failure: Failure, history: History | None) -> Match:
    return Match(f"the code is wrong: {quote(failure.exception)}", confidence=0.95, resolvable="no")


def _bad_call(failure: Failure, history: History | None) -> Match | None:
    if not _BAD_CALL.search(failure.exception.message):
        return None
    return Match(f"the app was called wrongly: {quote(failure.exception)}", confidence=0.9, resolvable="no")


def _likely_bug(failure: Failure, history: History | None) -> Match | None:
    own = raised_by_own_code(failure)
    if own is False:
        return None  # deep within somebody else's code: nothing says that the task's is wrong
    reason = f"the task's code raised {quote(failure.exception)}"
    return Match(reason, {"exception": failure.exception.type, "own_code": own}, 0.7 if own else 0.45)


_OF_BYTECODE = ("code() ", "code expected at")
"""What Python says of a function that another version of it wrote."""


def _own_bug(failure: Failure, history: History | None) -> Match | None:
    message = failure.exception.message
    if in_serializer(failure) or message.startswith(_OF_BYTECODE) or not raised_by_own_code(failure):
        return None
    if "ValueError" in failure.exception.mro:  # as C code raises it, too, with no frame of its own
        frames = failure.exception.frames
        if not frames or frames[-1].origin != "own" or NUMBERS.has(message):
            return None
    return _likely_bug(failure, history) if fails_here_only(failure, history) is None else None


_WRONG = Phrases(
    r"\bsyntax error\b",
    r"\bno such (?:table|column)\b",
    r"\b(?:relation|column|table)\b[^\n]{0,80}\bdoes not exist\b",
    r"\bchanged size during iteration\b",
    r"\bgenerator already executing\b",
)
_WRAPPED = Phrases(
    r"\breturned (?:an? )?(?:error|non-?zero)[^\n0-9-]{0,30}-?\d{1,3}\b",
    r"\b(?:returned|return(?:ed)? (?:with )?(?:a )?(?:code|status)|return ?code|exit(?:ed)? ?(?:with )?(?:code"
    r"|status|value)?"
    r"|exit ?code|exit ?status|error ?code|status)\b\W{0,6}(?:of |is |was )?\W{0,3}-?[1-9]\d{0,2}\b",
    r"\bnon-?zero (?:exit|return)(?: (?:status|code|value))?\b",
    r"\bterminated with (?:exit )?(?:code|status)\b",
    r"\b(?:command|process|program|subprocess|script|job|tool|executable)\b[^\n]{0,200}\b(?:failed|exited|died"
    r"|terminated) with\b",
)


def _unserializable(failure: Failure, history: History | None) -> Match:
    return Match(f"something cannot be sent between processes: {quote(failure.exception)}", confidence=0.9)


def _unpicklable(failure: Failure, history: History | None) -> Match | None:
    message = failure.exception.message.lower()
    if not any(word in message for word in _PICKLE_WORDS):
        return None
    return Match(f"something cannot be sent between processes: {quote(failure.exception)}", confidence=0.85)


def _unreadable(failure: Failure, history: History | None) -> Match | None:
    if not in_serializer(failure):
        return None
    reason = f"what was sent between processes cannot be read{place(failure)}: {quote(failure.exception)}"
    return Match(reason, {"raised_in": "the serializer"}, 0.8)


def _crash(failure: Failure, history: History | None) -> Match | None:
    code, signal = ending(failure, history)
    if signal not in CRASHES:
        return None
    what = signal_name(signal)
    return Match(f"compiled code crashed with {what}{place(failure)}", {"signal": what, "exit_code": code}, 0.85)


def _worker_exit(failure: Failure, history: History | None) -> Match | None:
    """A worker never ends by itself under a task: the task's code has ended it."""
    code, signal = ending(failure, history)
    if code is None or signal is not None:
        return None
    return Match(f"the task's code ended its worker with exit code {code}{place(failure)}", {"exit_code": code}, 0.75)


def _exit(failure: Failure, history: History | None) -> Match:
    code, signal = exit_status(failure)
    evidence = {"exit_code": code, "signal": signal_name(signal) if signal else None}
    end = f"was ended by {signal_name(signal)}" if signal else f"ended with exit code {code}"
    said = last_line(stderr(failure))
    return Match(f"the program {end}{place(failure)}" + (f" ({said})" if said else ""), evidence, 0.8)


def last_line(text: str) -> str:
    """The last line of standard error that says something, at most 160 characters."""
    lines = text.rstrip().rsplit("\n", 1)
    return first_line(lines[-1])


RULES = (
    Rule(
        "code_error.certain",
        Category.code_error,
        Trust.exact_type,
        _certain_bug,
        types=(
            "SyntaxError",
            "NameError",
            "NotImplementedError",
            "parsl.app.errors.AppBadFormatting",
            "parsl.app.errors.BashAppNoReturn",
        ),
        doc="an exception that only wrong code raises: `SyntaxError`, `NameError`, `NotImplementedError`",
    ),
    Rule(
        "code_error.call",
        Category.code_error,
        Trust.exact_type,
        _bad_call,
        types=("TypeError",),
        doc="a `TypeError` of a call that does not fit the function's signature",
    ),
    Rule(
        "serialization.pickle_text",
        Category.serialization,
        Trust.exact_type,
        _unpicklable,
        types=("TypeError", "AttributeError", "pickle.PicklingError", "_pickle.PicklingError"),
        doc="`cannot pickle …`, `Can't get attribute …`",
    ),
    Rule(
        "serialization.type",
        Category.serialization,
        Trust.exact_type,
        _unserializable,
        types=(
            "parsl.serialize.errors.SerializationError",
            "parsl.serialize.errors.DeserializationError",
            "parsl.serialize.errors.DeserializerPluginError",
            "pickle.PickleError",
            "_pickle.PickleError",
            "globus_compute_sdk.errors.error_types.SerializationError",
            "globus_compute_sdk.errors.error_types.DeserializationError",
            "globus_compute_sdk.errors.error_types.MaxResultSizeExceeded",
        ),
        doc="Parsl's and Globus Compute's (de)serialization errors, `PickleError`",
    ),
    Rule(
        "serialization.frames",
        Category.serialization,
        Trust.structured,
        _unreadable,
        types=("Exception",),
        doc="an exception raised while Parsl or Globus Compute reads or writes what is sent",
    ),
    Rule(
        "native_crash.signal",
        Category.native_crash,
        Trust.exit_status,
        _crash,
        doc="a process ended by SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT",
    ),
    Rule(
        "app_exit.worker",
        Category.app_exit,
        Trust.exit_status,
        _worker_exit,
        types=LOST_TYPES,
        doc="`WorkerLost` of a worker that a sibling saw end with an exit code: the task's code called `exit`",
    ),
    Rule(
        "code_error.own",
        Category.code_error,
        Trust.exact_type,
        _own_bug,
        types=("AttributeError", "LookupError", "TypeError", "UnboundLocalError", "ValueError"),
        doc="`AttributeError`, `KeyError`, `TypeError`, `ValueError`, … of the task's own code, whatever they say",
    ),
    stated(
        "code_error.text",
        Category.code_error,
        "the code is wrong",
        _WRONG,
        confidence=0.6,
        trust=Trust.symptom,
        types=("RuntimeError", "sqlite3.Error", "sqlalchemy.exc.DBAPIError", "psycopg2.Error", "psycopg.Error"),
        doc="what Python and databases say of wrong code: `changed size during iteration`, `no such table`, …",
    ),
    stated(
        "app_exit.wrapped",
        Category.app_exit,
        "a program that the task ran ended badly",
        _WRAPPED,
        confidence=0.5,
        trust=Trust.symptom,
        types=("Exception",),
        doc="a library's `returned an error: N`, `failed with exit code N`, …",
    ),
    Rule(
        "app_exit.type",
        Category.app_exit,
        Trust.symptom,
        _exit,
        types=EXIT_TYPES,
        doc="`BashExitFailure`, `CalledProcessError`, `SystemExit`, for want of a better explanation",
    ),
    Rule(
        "code_error.likely",
        Category.code_error,
        Trust.symptom,
        _likely_bug,
        types=(
            "ValueError",
            "TypeError",
            "LookupError",
            "AttributeError",
            "AssertionError",
            "RecursionError",
            "StopIteration",
            "StopAsyncIteration",
            "UnboundLocalError",
            "BufferError",
            "concurrent.futures._base.InvalidStateError",
            "re.error",
            "re.PatternError",
            "sqlite3.ProgrammingError",
            "sqlalchemy.exc.ProgrammingError",
        ),
        doc="what mostly bugs raise (`ValueError`, `TypeError`, `KeyError`, …), where it was raised in the task's own "
        "code or straight below it",
    ),
)
