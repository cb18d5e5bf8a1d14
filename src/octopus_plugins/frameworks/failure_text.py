"""What whoever submitted a task reads when it failed: what broke, where, what was decided and why, then the traceback.

Globus Compute carries a failure to its user as text. The first line is for people, the last one for programs: whatever
submitted the task, an executor of the SDK or Parsl, finds there what the endpoint knows. What it says comes from
elsewhere, and is taken as far as it has the types that it should have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from octopus_plugins.events import Categorization, Decision, Failure
from octopus_plugins.exception_description import own_attributes
from octopus_plugins.wrath.decisions.budget import what_failed

MARK = "octopus-failure: "
"""Begins the line for programs; JSON follows."""

NOTE = "Octopus: "
"""Begins the line for people."""

COMPUTE_TASK = "compute_task_id"
"""Label of events about a task that runs at an endpoint: its id there, by which the endpoint tells of it."""

MAX_REASON = 1_000


def first_line(failure: Failure, decision: Decision) -> str:
    """Category, host, decision and reason, for people."""
    where = f" on {failure.host}" if failure.host else ""
    reason = " ".join(decision.reason.split())[:MAX_REASON]
    return f"{NOTE}{decision.category}{where}, {decision.action}: {reason}"


def note(error: BaseException, text: str) -> None:
    """Put what was found and decided beside an exception that its user gets, once. Python shows it from 3.11 on.

    Args:
        error: The exception; whatever its class makes of it, nothing is raised.
        text: A line.
    """
    try:
        notes = own_attributes(error).get("__notes__", [])
        if type(notes) is list and not any(type(one) is str and one.startswith(NOTE) for one in notes):
            _KEPT.__get__(error)["__notes__"] = [*notes, text]  # by no means of its class
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a stranger's class, in Parsl's thread
        return


_KEPT: Any = BaseException.__dict__["__dict__"]


def last_line(failure: Failure, decision: Decision) -> str:
    """The same and more, for programs: one line, `MARK` and a JSON object."""
    found = failure.categorization
    told: dict[str, Any] = {
        "run_id": failure.run_id,
        "task_id": failure.task_id,
        "try_id": failure.try_id,
        "endpoint_id": failure.executor,
        "app": failure.app,
        "layer": decision.layer,
        "category": decision.category,
        "scope": found.scope if found else None,
        "resolvable": found.resolvable if found else None,
        "confidence": found.confidence if found else None,
        "host": failure.host,
        "block": failure.block,
        "manager": failure.manager,
        "pid": failure.pid,
        "exit_code": failure.exit_code,
        "signal": failure.signal,
        "exception": failure.exception.type,
        "action": decision.action,
        "rule": decision.rule,
        "reason": decision.reason[:MAX_REASON],
        "found": what_failed(failure, found)[:MAX_REASON],
        "stop": decision.stop or None,
    }
    plain = {key: value for key, value in told.items() if value is not None}
    return MARK + msgspec.json.encode(plain).decode()


def told(text: str, failure: Failure, decision: Decision) -> str:
    """The text of a failed result with both lines around it."""
    return f"{first_line(failure, decision)}\n{text.rstrip()}\n{last_line(failure, decision)}"


def read(text: str) -> dict[str, Any] | None:
    """What the line for programs says; None where there is none. Never raises: the text comes from elsewhere."""
    for line in reversed(text.splitlines()):
        _, found, rest = line.partition(MARK)
        if found:
            try:
                value = msgspec.json.decode(rest)
            except msgspec.DecodeError:
                return None
            return value if isinstance(value, dict) else None
    return None


def place(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Where the endpoint says it failed, and how its worker ended: keyword arguments of Failure."""
    return {key: machine[key] for key, kind in _PLACE.items() if isinstance(machine.get(key), kind)}


def categorization(machine: Mapping[str, Any]) -> Categorization | None:
    """What the endpoint found; None where it says nothing that can be read."""
    if "category" not in machine or "layer" not in machine:
        return None
    found = {name: machine[name] for name in _FOUND if name in machine}
    # An older endpoint tells the decision's reason only, which ends with what became of a retry there.
    reason = str(machine.get("found", machine.get("reason", "")))
    evidence = {"endpoint_rule": str(machine.get("rule", ""))}
    try:
        return msgspec.convert({**found, "rule": "endpoint", "reason": reason, "evidence": evidence}, Categorization)
    except msgspec.ValidationError:
        return None


_PLACE: dict[str, type] = {
    "host": str,
    "block": str,
    "manager": str,
    "pid": int,
    "exit_code": int,
    "signal": int,
}
_FOUND = ("layer", "category", "scope", "resolvable", "confidence")
