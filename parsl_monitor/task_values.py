"""What tasks are given and give stays out of Parsl's reports on them.

With a monitoring hub Parsl turns ``inputs`` and ``outputs`` of a task into text at each of its states, in the user's
call and in its own threads; without one it never does. A ``__repr__`` that raises would raise there, or leave a
finished task pending for ever, and a long one takes its time again and again. Nothing of ours reads that text. Parsl's
own database does: where one is kept, Parsl goes on as with its own hub.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from parsl.dataflow.dflow import DataFlowKernel

from octopus_plugins.frameworks.caller import find_caller

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = ("inputs", "outputs")


def leave_alone(hub: Any) -> None:
    """Have the DataFlowKernel that is just starting a hub report without values; no hub is told whose it is."""
    dfk = find_caller(DataFlowKernel, lambda caller: caller.monitoring is hub)
    if dfk is not None:
        dfk._create_task_log_info = partial(_without_values, dfk._create_task_log_info)


def _without_values(report: Callable[[dict[str, Any]], dict[str, Any]], record: dict[str, Any]) -> dict[str, Any]:
    given = record["kwargs"]
    if any(name in given for name in VALUES):
        record = {**record, "kwargs": {name: value for name, value in given.items() if name not in VALUES}}
    return report(record)
