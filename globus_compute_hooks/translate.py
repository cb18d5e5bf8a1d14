"""Globus Compute's words into ours: what an engine hears becomes events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from globus_compute_hooks.endpoint.attempts import Attempt
from globus_compute_hooks.endpoint.observation import Observation
from octopus_plugins.events import ExceptionInfo, Failure, Heartbeat, Limits, NodeState, Run, Task
from octopus_plugins.events.exceptions import details_from, failure_details
from octopus_plugins.events.failure import MAX_MESSAGE, MAX_TRACEBACK
from octopus_plugins.htex.reports import usage

FRAMEWORK = "globus_compute"

USERS_OWN = frozenset({"application", "unknown"})
"""Layers of which nothing is tried again that a function itself raised: Globus Compute promises as much."""

OPAQUE = "globus_compute_sdk.errors.error_types.TaskExecutionFailed"
"""The type that stands for an exception of which there is text only."""

_REPORTED = ("managers", "active_managers", "total_workers", "idle_workers", "pending_tasks", "outstanding_tasks")
"""What of the engine's status report goes into a heartbeat of the endpoint, beside its queue and its account."""


def subject(run_id: str, executor: str, attempt: Attempt, app: str | None) -> dict[str, Any]:
    """What every event about a try says of it."""
    return {
        "run_id": run_id,
        "framework": FRAMEWORK,
        "task_id": attempt.task_id,
        "try_id": attempt.try_id,
        "app": app,
        "executor": executor,
        **attempt.place,
    }


def run_ended(run_id: str, host: str, done: int, failed: int, now: float) -> Run:
    """The end of a run.

    Args:
        run_id: The run.
        host: Where it was.
        done: How many of its tasks ended well.
        failed: How many did not.
        now: Unix seconds.
    """
    return Run(
        run_id=run_id,
        framework=FRAMEWORK,
        time=now,
        state="ended",
        host=host,
        tasks_done=done,
        tasks_failed=failed,
    )


def task_event(about: Mapping[str, Any], state: str, time: float, **more: Any) -> Task:
    """A task's change of state, in the names that Parsl has for them."""
    return Task(**{**about, "state": state, "time": time, **more})


def failure_event(
    about: Mapping[str, Any],
    attempt: Attempt,
    now: float,
    *,
    error: BaseException | None = None,
    seen: Observation | None = None,
    text: str = "",
) -> Failure:
    """A failed try, with all that is known of it.

    Args:
        about: Its `subject`.
        attempt: The try.
        now: Unix seconds.
        error: What the engine failed with; None where a worker returned a failed result.
        seen: What the worker saw, if it could.
        text: What the failed result says, for a worker that saw nothing.
    """
    if error is not None:
        details = failure_details(error)
        told = seen.post_mortem if seen is not None else {}
        details |= {key: told[key] for key in ("exit_code", "signal") if key in told and details[key] is None}
    elif seen is not None and seen.failure is not None:
        details = details_from(seen.failure)
    else:
        details = {
            "exception": ExceptionInfo(type=OPAQUE, mro=(OPAQUE,), message=text[-MAX_MESSAGE:]),
            "traceback": text[-MAX_TRACEBACK:],
        }
    found = seen.post_mortem if seen is not None else {}
    last = {**(attempt.usage or {}), **found.get("usage", {}), **(seen.usage if seen is not None else {})}
    return Failure(
        **about,
        **details,
        time=now,
        resources={key: value for key, value in attempt.resources.items() if isinstance(value, (str, int, float))},
        submitted=attempt.submitted,
        launched=attempt.launched,
        started=attempt.started,
        ended=attempt.ended,
        usage=usage(last),
        limits=msgspec.convert(found["limits"], Limits) if "limits" in found else None,
        node=msgspec.convert(found["node"], NodeState) if "node" in found else None,
        versions=found.get("versions", {}),
    )


def endpoint_heartbeat(
    run_id: str, executor: str, host: str, pid: int, period: float, now: float, report: Mapping[str, Any]
) -> Heartbeat:
    """The endpoint with what its engine's status report knows.

    Args:
        run_id: The run.
        executor: The endpoint.
        host: Where the endpoint runs.
        pid: Its process.
        period: Seconds until the next one.
        now: Unix seconds.
        report: ``global_state`` of the report; empty where it could not be had.
    """
    known = {name: str(report[name]) for name in (*_REPORTED, "queue", "account") if report.get(name) is not None}
    return Heartbeat(
        run_id=run_id,
        framework=FRAMEWORK,
        time=now,
        host=host,
        component="endpoint",
        period=period,
        executor=executor,
        pid=pid,
        worker_count=report.get("total_workers"),
        labels=known,
    )
