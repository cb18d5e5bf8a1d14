"""A small run as its events, for the tests of questions and of the command line."""

from __future__ import annotations

from typing import Any

from octopus_plugins.events import (
    Block,
    Categorization,
    Decision,
    Event,
    ExceptionInfo,
    Failure,
    Heartbeat,
    NodeState,
    Placement,
    ResourceSample,
    Run,
    Rung,
    Task,
    Usage,
)

RUN = "0b9a5c52-8a4e-4d4c-9f4e-5b6f1f6f2c11"
LONG = "a long reason that must not be cut short, because people read the end of it too " * 4


def old_run(now: float) -> list[Event]:
    """A run of yesterday, with one failure."""
    then = now - 86_400
    return [
        Run(run_id="old", time=then, state="started", name="yesterday", host="login"),
        failure("old", "1", then, "code_error", "application", host="n9", app="old_app"),
    ]


def new_run(now: float) -> list[Event]:
    """A run in which task 1 runs out of memory on a small node and ends well on a large one; task 2 is a bug."""
    at = {"run_id": RUN, "framework": "parsl"}
    one: dict[str, Any] = {**at, "task_id": "1", "app": "simulate"}
    two: dict[str, Any] = {**at, "task_id": "2", "app": "plot"}
    small: dict[str, Any] = {"executor": "small", "host": "small-0", "block": "0", "worker_id": 3, "pid": 4711}
    large: dict[str, Any] = {"executor": "large", "host": "large-0", "block": "0", "worker_id": 0, "pid": 4712}
    begin = now - 60
    return [
        Run(**at, time=begin, state="started", name="story", host="login", retries=5),
        Block(**at, time=begin + 0.5, executor="small", block="0", state="RUNNING"),
        Task(**one, time=begin + 1, state="pending"),
        Task(**one, time=begin + 2, state="running", **small),
        ResourceSample(**one, time=begin + 2.5, **small, usage=Usage(time=begin + 2.5, rss=900_000_000)),
        Heartbeat(**at, time=begin + 2.6, host="small-0", executor="small", node=NodeState(time=begin, load=0.5)),
        failure(RUN, "1", begin + 3, "memory_exhausted", "runtime", app="simulate", **small),
        Decision(
            **one,
            **small,
            time=begin + 3.1,
            action="retry",
            layer="runtime",
            category="memory_exhausted",
            reason="ran out of memory; retried on executor 'large'",
            rule="memory_exhausted.other_executor",
            placement=Placement(rung="other_executor", executor="large", avoid_hosts=("small-0",)),
            delay=2.0,
            considered=(
                Rung(name="same_node", reason="it has no more memory than before"),
                Rung(name="other_executor", taken=True, reason="its workers have 4 GB each", executor="large"),
            ),
            deny_hosts={"small-0": now + 600},
        ),
        Task(**one, time=begin + 5.5, try_id=1, state="running", **large),
        Task(**one, time=begin + 9, try_id=1, state="exec_done", **large),
        Task(**two, time=begin + 4, state="running", **small),
        failure(RUN, "2", begin + 6, "code_error", "application", app="plot", **small),
        Decision(
            **two,
            **small,
            time=begin + 6.1,
            action="terminate",
            layer="application",
            category="code_error",
            reason=LONG,
        ),
        Task(**two, time=begin + 7, state="failed"),
        Run(**at, time=begin + 10, state="ended", name="story", host="login", tasks_done=1, tasks_failed=1),
    ]


def failure(run_id: str, task_id: str, time: float, category: str, layer: str, **place: Any) -> Failure:
    """A failed try."""
    return Failure(
        run_id=run_id,
        task_id=task_id,
        time=time,
        exception=ExceptionInfo(type="MemoryError", message="Unable to allocate 1.2 GB", location="app.py:7 in f"),
        causes=(ExceptionInfo(type="OSError", message="no memory"),),
        traceback="Traceback (most recent call last):\nMemoryError",
        usage=Usage(time=time, rss=900_000_000),
        categorization=Categorization(
            layer=layer,
            category=category,
            scope="task",
            resolvable="yes",
            confidence=0.95,
            rule=f"{category}.type",
            reason=f"{category.replace('_', ' ')} on {place.get('host')}",
            evidence={"rss": 900_000_000},
        ),
        **place,
    )
