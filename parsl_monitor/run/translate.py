"""Parsl's words into ours: its monitoring messages and exceptions become events. Pure, but for stderr's tail."""

from __future__ import annotations

import ast
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from octopus_plugins.events import (
    ExceptionInfo,
    Failure,
    Limits,
    NodeState,
    ResourceSample,
    Run,
    Task,
)
from octopus_plugins.events.exceptions import details_from, exception_info, failed_dependencies, failure_details
from octopus_plugins.events.failure import MAX_STDERR, MAX_TRACEBACK
from octopus_plugins.events.task import Earlier
from octopus_plugins.frameworks import failure_text
from octopus_plugins.htex import reports
from octopus_plugins.htex.reports import usage
from octopus_plugins.redaction import without_secrets
from parsl_monitor.run import globus_compute
from parsl_monitor.run.attempts import Attempt

# Parsl reports some failures in words only; the classes behind those words.
_REPORTED_TYPES = {
    "JoinError": ("parsl.dataflow.errors.JoinError", "parsl.dataflow.errors.PropagatedException"),
    "RunHaltedError": ("parsl_monitor.errors.RunHaltedError",),
    "DependencyError": ("parsl.dataflow.errors.DependencyError", "parsl.dataflow.errors.PropagatedException"),
}


@dataclass(frozen=True, slots=True)
class Try:
    """What the submit side knows of one try.

    Attributes:
        run_id: The run.
        task_id: Parsl's task.
        try_id: Parsl's try.
        app: Name of the app.
        executor: Label of the executor.
        submitted: When the app was called, Unix seconds.
        launched: When the try went to its executor, Unix seconds.
        stderr: Where the app's standard error goes, as Parsl takes it.
        place: Where it ran, as far as it is known.
        resources: The task's resource specification: its plain values.
    """

    run_id: str
    task_id: str
    try_id: int
    app: str | None = None
    executor: str | None = None
    submitted: float | None = None
    launched: float | None = None
    stderr: Any = None
    place: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)


def task_event(
    message: Mapping[str, Any],
    now: float,
    place: Mapping[str, Any],
    attempt: Attempt | None = None,
    *,
    settles: bool = False,
) -> Task:
    """A task's change of state, from the DataFlowKernel's TASK_INFO.

    Args:
        message: Parsl's.
        now: Unix seconds.
        place: Where it ran, as far as that is known.
        attempt: What was seen of the try.
        settles: Whether it is to tell, with the end, what the worker reported before it.
    """
    seen = attempt if settles else None
    return Task(
        run_id=message["run_id"],
        time=now,
        task_id=str(message["task_id"]),
        try_id=message["try_id"],
        state=message["task_status_name"],
        app=message["task_func_name"],
        executor=message["task_executor"],
        depends=_ids(message["task_depends"]),
        joins=_ids(message["task_joins"]),
        fail_count=message["task_fail_count"],
        fail_cost=message["task_fail_cost"],
        from_memo=bool(message["from_memo"]),
        stdout=_path(message["task_stdout"]),
        stderr=_path(message["task_stderr"]),
        labels=globus_compute.labels_of(attempt),
        earlier=_worker_states(seen) if seen is not None else (),
        usage=usage(seen.usage) if seen is not None else None,
        **place,
    )


def _worker_states(attempt: Attempt) -> tuple[Earlier, ...]:
    assert attempt.ended is not None
    ended = Earlier("running_ended", attempt.ended)
    if attempt.started is None or attempt.announced:
        return (ended,)
    return (Earlier("running", attempt.started), ended)


def worker_events(subject: Try, attempt: Attempt) -> list[Task]:
    """One record of ``running`` (unless it was said before) and ``running_ended`` of a try that its worker reported."""
    if attempt.ended is None:
        return []
    return [
        Task(
            state="running_ended",
            time=attempt.ended,
            run_id=subject.run_id,
            task_id=subject.task_id,
            try_id=subject.try_id,
            app=subject.app,
            executor=attempt.executor,
            earlier=_worker_states(attempt)[:-1],
            usage=usage(attempt.usage),
            **attempt.place,
        )
    ]


def run_event(message: Mapping[str, Any], now: float, *, done: int = 0, failed: int = 0) -> Run:
    """A run's begin or end, from WORKFLOW_INFO.

    Args:
        message: Parsl's message.
        now: Unix seconds.
        done: Tasks that ended well, for the end.
        failed: Tasks that failed, for the end.
    """
    if "time_completed" in message:
        return Run(
            run_id=message["run_id"],
            time=now,
            state="ended",
            host=platform.node(),
            run_dir=message.get("rundir"),
            tasks_done=done,
            tasks_failed=failed,
        )
    return Run(
        run_id=message["run_id"],
        time=now,
        state="started",
        name=message.get("workflow_name"),
        version=message.get("workflow_version"),
        host=message.get("host"),
        user=message.get("user"),
        run_dir=message.get("rundir"),
        versions={"python": message["python_version"], "parsl": message["parsl_version"]},
    )


def sample_event(subject: Try, attempt: Attempt, message: Mapping[str, Any]) -> ResourceSample:
    """A resource sample that a worker sent while the try ran."""
    about = {"run_id": subject.run_id, "task_id": subject.task_id, "try_id": subject.try_id, "app": subject.app}
    return reports.sample_event({**about, "executor": attempt.executor, **attempt.place}, message)


def failure_event(subject: Try, error: BaseException, attempt: Attempt | None, now: float) -> Failure:
    """A failed try, with all that is known of it.

    Args:
        subject: The try.
        error: What it failed with.
        attempt: What was seen of it on its worker, if anything.
        now: Unix seconds.
    """
    details = {**_details(error, attempt), "dependencies": failed_dependencies(error)}
    machine = globus_compute.explained(error)
    if machine:
        # Its endpoint has seen what happened, and knows where and why.
        details |= {**failure_text.place(machine), "labels": globus_compute.labels_told(machine)}
        details |= {"exception": _told(details["exception"], machine), "traceback": str(error)[-MAX_TRACEBACK:]}
        details["categorization"] = failure_text.categorization(machine)
    return _failure(subject, attempt, now, details)


def _details(error: BaseException, attempt: Attempt | None) -> dict[str, Any]:
    """What the exception tells: as its worker saw it, where it did; pickling loses causes and whole classes."""
    seen = ((attempt.post_mortem or {}).get("error") if attempt is not None else None) or {}
    try:
        details = details_from(seen)
    except (KeyError, msgspec.ValidationError):
        return failure_details(error)  # no worker described it, or one of another version
    info = details["exception"]
    if seen["exception"].get("incomplete") and (here := exception_info(error)).type == info.type:
        details["exception"] = msgspec.structs.replace(info, message=here.message)
    return details


def _told(info: ExceptionInfo, machine: Mapping[str, Any]) -> ExceptionInfo:
    """The exception as the endpoint had it; of its text the line for people, as the rest is the traceback."""
    kind = machine.get("exception")
    message = info.message.strip().partition("\n")[0]
    if not isinstance(kind, str) or kind == info.type:
        return msgspec.structs.replace(info, message=message)
    return msgspec.structs.replace(info, type=kind, mro=(kind, *info.mro), message=message)


def awaited_tasks(message: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks that one depends on or joins, from its TASK_INFO."""
    return _ids(message["task_depends"]) + _ids(message["task_joins"])


def reported_failure(
    subject: Try,
    report: str,
    attempt: Attempt | None,
    now: float,
    dependencies: tuple[str, ...] = (),
    roots: tuple[ExceptionInfo, ...] = (),
) -> Failure:
    """A failed try of which Parsl keeps only ``repr(exception)``.

    Args:
        subject: The try.
        report: What Parsl keeps.
        attempt: What was seen of it on its worker, if anything.
        now: Unix seconds.
        dependencies: The failed tasks that it waited for.
        roots: What these failed with.
    """
    name, bracket, rest = report.partition("(")
    known = _REPORTED_TYPES.get(name.strip())
    argument = rest.removesuffix(")")
    info = ExceptionInfo(
        type=known[0] if known else name.strip() or "unknown",
        mro=known or (),
        message=(_unquoted(argument) if known else argument) if bracket else report,
    )
    return _failure(subject, attempt, now, {"exception": info, "dependencies": dependencies, "causes": roots})


def _unquoted(argument: str) -> str:
    """A text as it was before ``repr``; anything else as it is."""
    try:
        value = ast.literal_eval(argument)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return argument
    return value if isinstance(value, str) else argument


def plain_resources(record: Mapping[str, Any]) -> dict[str, str | int | float | bool | None]:
    """The resource specification in a task's record, without what executors and plugins keep there for themselves."""
    specification = record["resource_specification"] or {}
    return {
        str(key): value
        for key, value in specification.items()
        if value is None or isinstance(value, (str, int, float, bool))
    }


def _failure(subject: Try, attempt: Attempt | None, now: float, details: dict[str, Any]) -> Failure:
    seen = (attempt.post_mortem if attempt is not None else None) or {}
    last_usage = {**((attempt.usage if attempt is not None else None) or {}), **seen.get("usage", {})}
    # How the worker ended, where its pool saw it.
    details |= {key: seen[key] for key in ("exit_code", "signal") if key in seen and details.get(key) is None}
    labels = {**details.pop("labels", {}), **globus_compute.labels_of(attempt)}
    return Failure(
        run_id=subject.run_id,
        time=now,
        labels=labels,
        task_id=subject.task_id,
        try_id=subject.try_id,
        app=subject.app,
        executor=subject.executor,
        resources=dict(subject.resources),
        submitted=subject.submitted,
        launched=subject.launched,
        started=attempt.started if attempt is not None else None,
        ended=attempt.ended if attempt is not None else None,
        usage=usage(last_usage),
        limits=msgspec.convert(seen["limits"], Limits) if "limits" in seen else None,
        node=msgspec.convert(seen["node"], NodeState) if "node" in seen else None,
        versions=seen.get("versions", {}),
        stderr_tail=stderr_tail(subject.stderr),
        **{**subject.place, **details},
    )


def stderr_tail(target: Any) -> str | None:
    """The end of a task's standard error without secrets, where it goes to a file that can be read here."""
    if isinstance(target, tuple) and target:
        target = target[0]
    if not isinstance(target, (str, os.PathLike)) or target == "":
        return None
    try:
        # A remote File of Parsl has no path here, and says so by ValueError.
        with open(target, "rb", opener=_open_without_waiting) as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - MAX_STDERR))
            return without_secrets(stream.read(MAX_STDERR).decode("utf-8", errors="replace"))
    except (OSError, ValueError):
        return None


def _open_without_waiting(path: str, flags: int) -> int:
    # A named pipe would hold up Parsl's thread until somebody writes to it.
    return os.open(path, flags | os.O_NONBLOCK)


def _ids(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _path(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, tuple):
        value = value[0]
    return os.fspath(value) if isinstance(value, (str, os.PathLike)) and os.fspath(value) else None
