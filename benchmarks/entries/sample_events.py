"""Events like those of a real run, to measure with."""

from __future__ import annotations

from octopus_plugins.events import ExceptionInfo, Failure, ResourceSample, Task, Usage

RUN_ID = "7f3c9d9e-3c1b-4d53-9d0b-1f6f0a5b8f11"
BEGIN = 1_760_000_000.0
"""Unix seconds of the first event."""


def task_events(count: int) -> list[Task]:
    """Ends of tries as their workers report them."""
    return [task_event(number) for number in range(count)]


def task_event(number: int) -> Task:
    """The end of a try as its worker reports it."""
    return Task(
        run_id=RUN_ID,
        time=BEGIN + number / 1000,
        task_id=str(number),
        state="running_ended",
        app="simulate",
        executor="htex",
        block="0",
        manager="b2f1c6d0a9e4",
        host=f"node{number % 64:03}.cluster.example",
        worker_id=number % 32,
        pid=10_000 + number % 2048,
        usage=_usage(number),
    )


def sample(number: int) -> ResourceSample:
    """What a worker's sampler measured of a running try."""
    return ResourceSample(
        run_id=RUN_ID, time=BEGIN + number / 1000, task_id=str(number), sequence=1, usage=_usage(number)
    )


def _usage(number: int) -> Usage:
    return Usage(time=BEGIN + number / 1000, cpu_user=0.731204, cpu_system=0.020311, peak_rss=183_500_800 + number)


def failure(number: int) -> Failure:
    """A failed try: every third one ran out of memory, every third lacks a module, every third is a bug."""
    exception, app = _KINDS[number % len(_KINDS)]
    return Failure(
        run_id=RUN_ID,
        time=BEGIN + number / 1000,
        task_id=str(number),
        app=app,
        executor="small",
        host=f"node{number % 64:03}.cluster.example",
        pid=10_000 + number % 2048,
        submitted=BEGIN + number / 1000 - 3,
        launched=BEGIN + number / 1000 - 2,
        started=BEGIN + number / 1000 - 1,
        exception=exception,
        traceback=_TRACEBACK,
    )


_KINDS = (
    (
        ExceptionInfo(
            type="MemoryError",
            message="Unable to allocate 8.00 GiB for an array",
            mro=("MemoryError", "Exception", "BaseException"),
        ),
        "factorise",
    ),
    (
        ExceptionInfo(
            type="ModuleNotFoundError",
            message="No module named 'gptiles'",
            mro=("ModuleNotFoundError", "ImportError", "Exception", "BaseException"),
            attributes={"name": "gptiles"},
        ),
        "load_tiles",
    ),
    (
        ExceptionInfo(
            type="KeyError",
            message="'temperature'",
            mro=("KeyError", "LookupError", "Exception", "BaseException"),
            location="analysis.py:42 in summarise",
        ),
        "summarise",
    ),
)

_TRACEBACK = "Traceback (most recent call last):\n" + "".join(
    f'  File "/home/user/analysis.py", line {40 + depth}, in step_{depth}\n    return step(values)\n'
    for depth in range(8)
)
