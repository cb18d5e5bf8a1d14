"""Which Globus Compute endpoint this is, and whether it has what we build on."""

from __future__ import annotations

from octopus_plugins.frameworks.compatibility import Seam, check_seams


def check_endpoint() -> None:
    """Check what the engine builds on.

    Raises:
        UnsupportedHostError: Something is missing or another; names it and what to do.
    """
    from globus_compute_endpoint.engines import GlobusComputeEngine, helper
    from globus_compute_endpoint.version import __version__
    from parsl.executors.high_throughput.executor import HighThroughputExecutor

    task = ("task_f", "packed_task", "resource_specification", "result_serializers")
    seams: tuple[Seam, ...] = (
        (GlobusComputeEngine, "submit", task),
        (GlobusComputeEngine, "_submit", ("resource_specification", "func", "packed_task", "args", "kwargs")),
        (
            GlobusComputeEngine,
            "_invoke_submission",
            ("task_fut", "submission_partial", "retry_count", "exception_history"),
        ),
        (GlobusComputeEngine, "_handle_task_exception", ("task_id", "execution_begin", "exception_history")),
        (GlobusComputeEngine, "monitor_watcher", ()),
        (GlobusComputeEngine, "get_status_report", ()),
        (helper, "execute_task", ("task_body", "task_id", "endpoint_id")),
        (HighThroughputExecutor, "submit_payload", ("context", "buffer")),
    )
    check_seams(f"globus-compute-endpoint {__version__}", seams)


def check_sdk() -> None:
    """Check what the executor builds on.

    Raises:
        UnsupportedHostError: Something is missing or another; names it and what to do.
    """
    from globus_compute_sdk import Executor
    from globus_compute_sdk.sdk import executor as sdk
    from globus_compute_sdk.version import __version__

    batch = (
        "taskgroup_uuid",
        "endpoint_uuid",
        "resource_specification",
        "user_endpoint_config",
        "result_serializers",
        "futs",
        "tasks",
    )
    seams: tuple[Seam, ...] = (
        (Executor, "submit_to_registered_function", ("function_id", "args", "kwargs")),
        (Executor, "register_function", ("fn", "function_id")),
        (Executor, "register_source_code", ("source", "function_name")),
        (Executor, "shutdown", ("wait", "cancel_futures")),
        (Executor, "_submit_tasks", batch),
        (Executor, "_task_submitter_impl", ()),
        (sdk._ResultWatcher, "watch_for_task_results", ("executor", "futures")),
        (sdk._ResultWatcher, "get_open_futures", ("executor",)),
    )
    check_seams(f"globus-compute-sdk {__version__}", seams)
