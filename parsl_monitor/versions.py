"""Which Parsl this is, and whether it has what we build on."""

from __future__ import annotations

from octopus_plugins.frameworks.seams import Seam, check_seams


def check_parsl() -> None:
    """Check the seams, not the number: Parsl releases weekly.

    Raises:
        UnsupportedHostError: Something that we build on is missing; names it and what to do.
    """
    from parsl.dataflow.dflow import DataFlowKernel
    from parsl.executors import HighThroughputExecutor
    from parsl.executors.high_throughput.interchange import Interchange
    from parsl.executors.high_throughput.manager_selector import ManagerSelector
    from parsl.jobs import error_handlers
    from parsl.monitoring import MonitoringHub
    from parsl.version import VERSION

    seams: tuple[Seam, ...] = (
        (MonitoringHub, "start", ("dfk_run_dir", "config_run_dir", "log_config")),
        (MonitoringHub, "close", ()),
        (DataFlowKernel, "_complete_task_exception", ("task_record", "new_state", "exception")),
        (HighThroughputExecutor, "submit_payload", ("context", "buffer")),
        (HighThroughputExecutor, "submit", ("func", "resource_specification")),
        (HighThroughputExecutor, "outstanding", ()),
        (HighThroughputExecutor, "handle_errors", ("status",)),
        (HighThroughputExecutor, "scale_out_facade", ("n",)),
        (HighThroughputExecutor, "set_bad_state_and_fail_all", ("exception",)),
        (error_handlers, "simple_error_handler", ("executor", "status")),
        (ManagerSelector, "sort_managers", ("ready_managers", "manager_list")),
        (Interchange, "_send_monitoring_info", ("monitoring_radio", "manager")),
        (Interchange, "expire_bad_managers", ("interesting_managers", "monitoring_radio")),
        (Interchange, "process_tasks_to_send", ("interesting_managers", "monitoring_radio")),
        (Interchange, "get_tasks", ("count",)),
    )
    check_seams(f"Parsl {VERSION}", seams)
