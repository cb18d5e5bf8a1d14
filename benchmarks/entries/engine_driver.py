"""An engine of Globus Compute with its workers, given no-op tasks as an endpoint gives them; a process of its own.

The command line says which engine, and how many tasks warm it up and how many count; the Octopus settings come from
``OCTOPUS_*``. Prints the seconds of both, and the CPU seconds that this process took, as JSON. With ``BENCH_PROFILE``
the process is profiled into that file.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Task
from globus_compute_endpoint.engines import GlobusComputeEngine
from globus_compute_endpoint.engines.base import GCFuture
from globus_compute_sdk.serialize import ComputeSerializer
from parsl.providers import LocalProvider

WORKERS = 2
PATIENCE = 240.0
"""Seconds for one task, of all that wait before it."""


def no_op() -> None:
    """What the tasks do."""


def main(variant: str, run_dir: str, amounts: list[int]) -> None:
    """Start the engine, give it tasks, and wait for their results.

    Args:
        variant: ``none`` or ``octopus``.
        run_dir: Where the engine writes.
        amounts: How many tasks, round by round.
    """
    engine = _engine(variant)
    engine.start(endpoint_id=uuid.uuid4(), run_dir=run_dir)
    try:
        print(json.dumps([_seconds(engine, amount) for amount in amounts]))
    finally:
        engine.shutdown()


def _engine(variant: str) -> Any:
    options: dict[str, Any] = {
        "address": "127.0.0.1",
        "max_workers_per_node": WORKERS,
        "max_retries_on_system_failure": 3,
        "provider": LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    }
    if variant == "none":
        return GlobusComputeEngine(**options)
    from globus_compute_hooks import OctopusEngine

    return OctopusEngine(**options, octopus={"sample_period": 1.0, "heartbeat_period": 10.0})


def _seconds(engine: Any, amount: int) -> tuple[float, float]:
    """How long the tasks took, and how much CPU this process."""
    tasks = [_task() for _ in range(amount)]
    function = str(uuid.uuid4())
    begin, cpu = time.perf_counter(), time.process_time()
    futures = []
    for task_id, packed in tasks:
        future = GCFuture(task_id, function_id=function)
        engine.submit(future, packed, resource_specification={})
        futures.append(future)
    results = [future.result(PATIENCE) for future in futures]
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    failed = [result for result in map(messagepack.unpack, results) if result.is_error]
    if failed:
        raise RuntimeError(f"{len(failed)} tasks failed, as in: {failed[0].data}")
    return seconds, cpu


def _task() -> tuple[uuid.UUID, bytes]:
    """A task as an endpoint receives it."""
    serializer, task_id = ComputeSerializer(), uuid.uuid4()
    body = serializer.pack_buffers([serializer.serialize(part) for part in (no_op, (), {})])
    return task_id, messagepack.pack(Task(task_id=task_id, task_buffer=body))


if __name__ == "__main__":
    _variant, _run_dir, *_amounts = sys.argv[1:]
    Path(_run_dir).mkdir()
    if profile := os.environ.get("BENCH_PROFILE"):
        import cProfile

        cProfile.run("main(_variant, _run_dir, [int(amount) for amount in _amounts])", profile)
    else:
        main(_variant, _run_dir, [int(amount) for amount in _amounts])
