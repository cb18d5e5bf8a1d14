"""Nothing is done to the endpoint: the tasks end well or fail by themselves."""

from __future__ import annotations

from benchmarks.harmless.compute.case import Case, Raised

CASES = (
    Case("no-op", "200 tasks that do nothing", tasks=200, seconds=0.0, short=True),
    Case("one-second", "tasks of 1 s", tasks=20, seconds=1.0),
    *(
        Case(
            f"raise-{raised.value}" + (f"-retries-{retries}" if retries else ""),
            f"every second task raises {raised.value}" + (f", with {retries} retries" if retries else ""),
            tasks=20,
            seconds=0.5,
            raised=raised,
            retries=retries,
            short=raised is Raised.VALUE and not retries,
        )
        for raised in Raised
        for retries in (0, 3)
    ),
    *(
        Case(
            "two-nodes-disk-full" + (f"-retries-{retries}" if retries else ""),
            "two nodes, every second task raises ENOSPC" + (f", with {retries} retries" if retries else ""),
            tasks=24,
            seconds=1.0,
            raised=Raised.DISK_FULL,
            blocks=2,
            workers=1,
            named_nodes=True,
            retries=retries,
        )
        for retries in (0, 3)
    ),
    Case(
        "two-nodes-disk-full-executor-retries-0",
        "two nodes, every second task raises ENOSPC, with OctopusExecutor(retries=0)",
        tasks=24,
        seconds=1.0,
        raised=Raised.DISK_FULL,
        blocks=2,
        workers=1,
        named_nodes=True,
        executor_retries=0,
    ),
)
