"""Rules for the framework layer: Parsl and Globus Compute themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octopus_plugins.events import Failure
from octopus_plugins.wrath.rules.rule import Match, Rule, Trust, first_line, in_serializer, place, quote
from octopus_plugins.wrath.rules.statements import line_with
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

# What Python says when one version reads the bytecode or the pickles of another.
_VERSION_WORDS = (
    "unsupported pickle protocol",
    "bad magic number",
    "unknown opcode",
    "bad marshal data",
    "code() takes",
    "code() argument",
    "code expected at",
    "does not match interchange version",
    "python version mismatch",
    "different versions of python",
)

_PICKLE_WORDS = (
    *_VERSION_WORDS,
    "an integer is required (got type bytes)",
    "_make_skeleton_class",
    "_fill_function",
    "_make_function",
    "numpy._core",
    "numpy.core.multiarray",
    "incompatible version",
)
"""What speaks of versions where a pickle was being read, and means nothing elsewhere."""


def _root(failure: Failure) -> str:
    return quote(failure.causes[-1]) if failure.causes else "an unknown cause"


def _dependency(failure: Failure, history: History | None) -> Match:
    tasks = ", ".join(failure.dependencies[:5])
    which = f"task {tasks}" if tasks else "a task that it needs"
    evidence = {"dependencies": tasks or None, "root": _root(failure)}
    return Match(f"{which} failed ({_root(failure)})", evidence, 1.0)


def _join(failure: Failure, history: History | None) -> Match:
    tasks = ", ".join(failure.dependencies[:5])
    which = f"joined task {tasks}" if tasks else "a joined task"
    return Match(f"{which} failed ({_root(failure)})", {"joins": tasks or None, "root": _root(failure)}, 1.0)


def _monitoring(failure: Failure, history: History | None) -> Match:
    return Match(f"the monitoring broke: {quote(failure.exception)}", confidence=0.9)


def _radio(failure: Failure, history: History | None) -> Match | None:
    if "/parsl/monitoring/radios/" not in (failure.traceback or ""):
        return None
    return Match(f"Parsl's monitoring broke on the worker{place(failure)}: {quote(failure.exception)}", confidence=0.9)


_OF_BLOCK = ("EXIT CODE:", "STDOUT:", "STDERR:")
"""What Parsl says of a block that died at its start, beside the provider's message."""


def _bad_state(failure: Failure, history: History | None) -> Match:
    name = f"executor {failure.executor!r}" if failure.executor else "the executor"
    return Match(f"{name} has given up: {_why(failure)}", {"root": _why(failure)}, 0.95)


def _why(failure: Failure) -> str:
    """What Parsl says that broke the executor: it numbers its blocks' errors, each with what is known, one a line."""
    message = failure.exception.message.partition(" failed due to: ")[2] or failure.exception.message
    lines = [line.strip() for line in message.splitlines()]
    told = [line for line in lines if line and not (line.startswith("Error ") and line.endswith(":"))]
    if not told:
        return first_line(message)
    known: dict[str, str] = {}
    for line in told:
        label = next((label for label in _OF_BLOCK if line.startswith(label)), None)
        if label is not None:
            known.setdefault(label, line.removeprefix(label).strip())
    words = [] if told[0].startswith(_OF_BLOCK) else [told[0]]
    if code := known.get("EXIT CODE:"):
        words.append(f"exit code {code}")
    if said := known.get("STDERR:") or known.get("STDOUT:"):
        words.append(said)
    return first_line(", ".join(words) or told[0])


def _versions(failure: Failure, history: History | None) -> Match:
    return Match(f"versions do not fit{place(failure)}: {first_line(failure.exception.message)}", confidence=0.95)


def _version_words(failure: Failure, history: History | None) -> Match:
    return Match(f"versions do not fit{place(failure)}: {line_with(failure, _VERSION_WORDS)}", confidence=0.7)


_UNPICKLERS = ("/dill/_dill.py", "/cloudpickle/", "/pickle.py", "/parsl/serialize/", "/globus_compute_sdk/serialize/")


def _reading(failure: Failure) -> bool:
    """Whether a pickle was being read."""
    trace = failure.traceback or ""
    return any(path in trace for path in _UNPICKLERS) and ("load" in trace or "deserialize" in trace)


def _version_read(failure: Failure, history: History | None) -> Match | None:
    if not (in_serializer(failure) or _reading(failure)):
        return None
    return Match(f"versions do not fit{place(failure)}: {line_with(failure, _PICKLE_WORDS)}", confidence=0.7)


def _version_records(failure: Failure, history: History | None) -> Match | None:
    """Something that cannot be read, where it says why or the two sides run different Pythons."""
    message = failure.exception.message.lower()
    if any(word in message for word in _VERSION_WORDS):
        return _versions(failure, history)
    run = history.run(failure.run_id) if history else None
    if run is None:
        return None
    here, there = run.versions.get("python"), failure.versions.get("python")
    if not here or not there or here.split(".")[:2] == there.split(".")[:2]:
        return None
    evidence = {"submit_python": here, "worker_python": there}
    return Match(f"Python {there}{place(failure)} cannot read what Python {here} sent", evidence, 0.85)


def _other_bytecode(failure: Failure, history: History | None) -> Match | None:
    return _versions(failure, history) if "bad magic number" in failure.exception.message else None


def _lost(failure: Failure, history: History | None) -> Match:
    return Match(f"the framework gave up the task: {quote(failure.exception)}", confidence=0.8)


def _halted(failure: Failure, history: History | None) -> Match:
    return Match(first_line(failure.exception.message) or "it was stopped on purpose", confidence=1.0)


RULES = (
    Rule(
        "halted.type",
        Category.halted,
        Trust.exact_type,
        _halted,
        types=("parsl_monitor.errors.RunHaltedError",),
        doc="`RunHaltedError`: a person or the run's circuit breaker stopped it",
    ),
    Rule(
        "dependency_failed.type",
        Category.dependency_failed,
        Trust.exact_type,
        _dependency,
        types=("parsl.dataflow.errors.DependencyError",),
        doc="`DependencyError`",
    ),
    Rule(
        "join_failed.type",
        Category.join_failed,
        Trust.exact_type,
        _join,
        types=("parsl.dataflow.errors.JoinError",),
        doc="`JoinError`",
    ),
    Rule(
        "monitoring_lost.type",
        Category.monitoring_lost,
        Trust.exact_type,
        _monitoring,
        types=(
            "parsl.monitoring.errors.RadioRequiredError",
            "parsl.monitoring.errors.MonitoringRouterStartError",
            "octopus_plugins.errors.FabricError",
        ),
        doc="errors of Parsl's monitoring or of this one",
    ),
    Rule(
        "monitoring_lost.radio",
        Category.monitoring_lost,
        Trust.exact_type,
        _radio,
        types=("OSError", "FileNotFoundError", "PermissionError", "ConnectionError", "socket.gaierror", "TimeoutError"),
        doc="an `OSError` from Parsl's monitoring radio in the worker",
    ),
    Rule(
        "executor_bad_state.type",
        Category.executor_bad_state,
        Trust.exact_type,
        _bad_state,
        types=(
            "parsl.executors.errors.BadStateException",
            "parsl.jobs.errors.TooManyJobFailuresError",
            "parsl.executors.high_throughput.errors.CommandClientTimeoutError",
            "parsl.executors.high_throughput.errors.CommandClientBadError",
            "globus_compute_hooks.errors.EndpointUnusableError",
        ),
        doc="`BadStateException`, `TooManyJobFailuresError`, a dead command channel, an unusable endpoint",
    ),
    Rule(
        "version_mismatch.type",
        Category.version_mismatch,
        Trust.exact_type,
        _versions,
        types=(
            "parsl.executors.high_throughput.errors.VersionMismatch",
            "globus_compute_sdk.errors.error_types.VersionMismatch",
        ),
        doc="`VersionMismatch` of Parsl or Globus Compute",
    ),
    Rule(
        "version_mismatch.records",
        Category.version_mismatch,
        Trust.exact_type,
        _version_records,
        types=(
            "parsl.serialize.errors.DeserializationError",
            "globus_compute_sdk.errors.error_types.DeserializationError",
            "pickle.UnpicklingError",
            "_pickle.UnpicklingError",
            "SystemError",
        ),
        doc="something that cannot be read, and different Python versions on the two sides",
    ),
    Rule(
        "version_mismatch.bytecode",
        Category.version_mismatch,
        Trust.exact_type,
        _other_bytecode,
        types=("ImportError",),
        doc="an `ImportError` of a module that another Python compiled",
    ),
    Rule(
        "version_mismatch.text",
        Category.version_mismatch,
        Trust.text,
        _version_words,
        words=_VERSION_WORDS,
        doc="`unsupported pickle protocol`, `unknown opcode`, …",
    ),
    Rule(
        "version_mismatch.serializer",
        Category.version_mismatch,
        Trust.structured,
        _version_read,
        words=_PICKLE_WORDS,
        types=("Exception",),
        doc="the same words of what Parsl or Globus Compute reads",
    ),
    Rule(
        "lost_task.type",
        Category.lost_task,
        Trust.exact_type,
        _lost,
        types=(
            "concurrent.futures._base.CancelledError",
            "asyncio.exceptions.CancelledError",
            "globus_compute_hooks.errors.TaskLostError",
            "globus_compute_hooks.errors.ResultsUnheardError",
        ),
        doc="a future that was cancelled under the task, `TaskLostError` of an endpoint, an SDK that no longer listens",
    ),
)
