"""Takes the steps one after the other, each within its time, and leaves out those that another one has spoilt."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from octopus_plugins.config import OctopusConfig
from octopus_plugins.doctor.case import Case
from octopus_plugins.doctor.findings import Finding, not_tried, trouble
from octopus_plugins.errors import OctopusError

log = logging.getLogger("octopus_plugins")

SECONDS = 60.0
"""Default for how long it may take in all."""

_LOCAL_SECONDS = 2.0  # for a step that asks nobody, also when the time is over
_STEPS_THAT_HANG = 4  # at most, on one way through: whatever a step that hangs is needed for is not tried


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        name: As people see it, and as codes begin.
        home: Module and function, such as ``octopus_plugins.doctor.disk:spool``; takes a `Case` and returns a
            `Finding`.
        needs: Steps that must not have failed, nor been left out.
        spoilt_by: Steps that must not have failed.
        slow: The diagnosis where it takes too long.
        local: Whether it asks nobody, and is taken also when the time is over.
    """

    name: str
    home: str
    needs: tuple[str, ...] = ("settings",)
    spoilt_by: tuple[str, ...] = ()
    slow: str = "slow"
    local: bool = False


_HERE = "octopus_plugins.doctor"

STEPS = (
    Step("settings", f"{_HERE}.settings:settings", needs=(), local=True),
    Step("login", f"{_HERE}.access:login", slow="login.globus_away"),
    Step("key", f"{_HERE}.access:key", local=True),
    Step("service", f"{_HERE}.access:service", slow="service.slow"),
    Step("clock", f"{_HERE}.access:clock", local=True),
    Step("address", f"{_HERE}.network:address", needs=("settings", "key"), slow="address.unknown_host"),
    Step("connect", f"{_HERE}.network:connect", needs=("address",), slow="connect.silent"),
    Step("tls", f"{_HERE}.network:tls", needs=("connect",), slow="tls.silent"),
    Step("auth", f"{_HERE}.brokers:auth", needs=("tls",), spoilt_by=("clock",), slow="auth.silent"),
    Step("brokers", f"{_HERE}.brokers:brokers", needs=("auth",)),
    Step("topics", f"{_HERE}.brokers:topics", needs=("auth",)),
    Step("produce", f"{_HERE}.probe:produce", needs=("topics",), spoilt_by=("brokers",), slow="produce.silent"),
    Step("consume", f"{_HERE}.probe:consume", needs=("produce",), slow="consume.lost"),
    Step("spool", f"{_HERE}.disk:spool", local=True),
    Step("counts", f"{_HERE}.disk:counts", local=True),
)
"""The steps of `octopus doctor`, in order."""


def diagnose(
    load: Callable[[], OctopusConfig] | OctopusConfig = OctopusConfig.load,
    *,
    timeout: float = SECONDS,
    steps: Sequence[Step] = STEPS,
) -> Iterator[Finding]:
    """Look at each step of the way between this machine and the topics.

    Never raises on account of what it finds. Changes nothing, but for one small record in the topic ``heartbeats`` that
    every reader passes over, and a spool's directory that was missing.

    Args:
        load: The settings, or what gets them: that is the first step.
        timeout: Seconds that it may take in all; a step may take a quarter of it.
        steps: What to look at; more may follow those of `STEPS`.

    Yields:
        A finding for each step, in order.
    """
    case = Case(load if callable(load) else lambda: load, timeout / _STEPS_THAT_HANG)
    deadline = time.monotonic() + timeout
    spoilt: dict[str, str] = {}  # step: which one spoilt it
    broken: set[str] = set()
    for step in steps:
        failed = next((spoilt[name] for name in step.needs if name in spoilt), None)
        failed = failed or next((name for name in step.spoilt_by if name in broken), None)
        if failed is not None:
            spoilt[step.name] = failed
            yield not_tried(step.name, failed)
            continue
        left = deadline - time.monotonic()
        if left <= 0 and not step.local:
            spoilt[step.name] = step.name
            yield Finding(step.name, "not_tried", "not tried, because the time is over; give more by --timeout")
            continue
        finding = _take(step, case, min(case.seconds, max(left, _LOCAL_SECONDS) if step.local else left))
        if finding.state == "failed":
            broken.add(step.name)
        if finding.state in {"failed", "not_tried"}:
            spoilt[step.name] = str(finding.details.get("because", step.name))
        yield finding


def _take(step: Step, case: Case, seconds: float) -> Finding:
    """Take a step, in a thread that is left behind where it hangs: not every library can be told to stop."""
    found: list[Finding] = []
    began = time.monotonic()
    thread = threading.Thread(
        target=lambda: found.append(_examine(step, case)), name=f"doctor-{step.name}", daemon=True
    )
    thread.start()
    thread.join(seconds)
    if found:
        finding = found[0]
    else:
        finding = trouble(step.slow, f"no answer within {seconds:.1f} s", _texts(case), step=step.name)
    return replace(finding, seconds=round(time.monotonic() - began, 3))


def _examine(step: Step, case: Case) -> Finding:
    module, _, function = step.home.partition(":")
    try:
        examine: Callable[[Case], Finding] = getattr(importlib.import_module(module), function)
        return examine(case)
    except Exception as error:  # the border: whatever a step meets is a finding, too
        log.debug("the step %s failed", step.name, exc_info=True)
        # Other libraries' messages may have anything in them.
        text = str(error) if isinstance(error, OctopusError) else f"{type(error).__name__} in the step {step.name}"
        return trouble("unforeseen", text, step=step.name)


def _texts(case: Case) -> dict[str, Any]:
    """What the texts of diagnoses made here may need."""
    return case.texts() if case.loaded else {"twice": 2 * _STEPS_THAT_HANG * case.seconds}
