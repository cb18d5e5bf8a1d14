"""Rules for the application layer: the task's own code and programs (inputs and numbers have their own)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.rule import (
    EXIT_TYPES,
    LOST_TYPES,
    OPAQUE_TYPES,
    Match,
    Rule,
    Trust,
    ending,
    exit_status,
    first_line,
    in_serializer,
    is_a,
    place,
    quote,
)
from octopus_plugins.wrath.rules.signals import CRASHES, signal_name
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


def _likely_bug(failure: Failure, history: History | None) -> Match:
    return Match(f"the task's code raised {quote(failure.exception)}", confidence=0.6)


def _own_exception(failure: Failure, history: History | None) -> Match | None:
    module = failure.exception.type.partition(".")[0]
    if module in ("parsl", "globus_compute_sdk", "globus_compute_endpoint") or failure.exception.type in OPAQUE_TYPES:
        return None  # the framework's own, and none that we know: that is not the task's code
    if any(is_a(cause, EXIT_TYPES + LOST_TYPES) for cause in failure.causes):
        return None  # a wrapper around what says more
    return Match(f"the task's code raised {quote(failure.exception)}", confidence=0.4)


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
    stderr = last_line(failure.stderr_tail)
    return Match(f"the program {end}{place(failure)}" + (f" ({stderr})" if stderr else ""), evidence, 0.8)


def last_line(stderr: str | None) -> str:
    """The last line of standard error that says something, at most 160 characters."""
    lines = (stderr or "").rstrip().rsplit("\n", 1)
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
        ),
        doc="other exceptions that mostly bugs raise: `ValueError`, `TypeError`, `KeyError`, …",
    ),
    Rule(
        "code_error.exception",
        Category.code_error,
        Trust.symptom,
        _own_exception,
        types=("Exception",),
        doc="any other exception that the task's code raised",
    ),
)
