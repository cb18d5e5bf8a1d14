"""Which Parsl this is, and whether it has what we build on.

Parsl's documented seams (its monitoring hub, ``submit_payload``, retry handlers, manager selectors, launch commands)
are looked at for their arguments only. The private ones, and what happens where one is missing:

- ``Interchange._send_monitoring_info``, ``expire_bad_managers``, ``get_tasks``, ``process_tasks_to_send``: refused. The
  reports of nodes and the placement of retries hang on them.
- ``Interchange.process_manager_socket_message``: slots whose worker is being started get tasks, as in stock Parsl.
- ``DataFlowKernel._complete_task_exception``: refused. Stopping a task that no executor has needs it.
- ``DataFlowKernel._create_task_log_info``: refused. It would turn what tasks are given into text.
- ``DataFlowKernel.add_executors``: refused. An executor that is added later would start a process of Parsl's, which
  hangs in a script without a ``__main__`` guard.
- ``HighThroughputExecutor._task_counter`` and ``outgoing_q``: refused. They tie what a worker reports to its task.
- ``error_handlers._get_error``: refused. The error of an executor that is given up is Parsl's own.
- ``ZMQRadioSender(cert_dir)``: before 2026.8.10 the interchange reports in clear text. Ours is started with a sender
  that encrypts (`octopus_plugins.htex.encrypted_reports`); behind an ``interchange_launch_cmd`` of the user's, an
  encrypted executor runs unobserved, with one warning.
- ``DEFAULT_LAUNCH_CMD`` and the arguments of ``Manager``: the worker pool is Parsl's own, without a node agent
  (docs/workers.md).
"""

from __future__ import annotations

from octopus_plugins.frameworks.compatibility import Seam, check_names, check_seams


def check_parsl() -> None:
    """Check the seams, not the number: Parsl releases weekly.

    Raises:
        UnsupportedHostError: Something that we build on is missing; names it and what to do.
    """
    from parsl.dataflow.dflow import DataFlowKernel
    from parsl.executors import HighThroughputExecutor
    from parsl.executors.high_throughput.interchange import Interchange
    from parsl.executors.high_throughput.manager_selector import ManagerSelector
    from parsl.executors.high_throughput.zmq_pipes import CommandClient, TasksOutgoing
    from parsl.jobs import error_handlers
    from parsl.monitoring import MonitoringHub
    from parsl.version import VERSION

    seams: tuple[Seam, ...] = (
        (MonitoringHub, "start", ("dfk_run_dir", "config_run_dir", "log_config")),
        (MonitoringHub, "close", ()),
        (DataFlowKernel, "_complete_task_exception", ("task_record", "new_state", "exception")),
        (DataFlowKernel, "add_executors", ("executors",)),
        (DataFlowKernel, "_create_task_log_info", ("task_record",)),
        (HighThroughputExecutor, "submit_payload", ("context", "buffer")),
        (HighThroughputExecutor, "submit", ("func", "resource_specification")),
        (HighThroughputExecutor, "outstanding", ()),
        (HighThroughputExecutor, "connected_blocks", ()),
        (HighThroughputExecutor, "connected_managers", ()),
        (HighThroughputExecutor, "handle_errors", ("status",)),
        (HighThroughputExecutor, "scale_out_facade", ("n",)),
        (HighThroughputExecutor, "set_bad_state_and_fail_all", ("exception",)),
        (CommandClient, "run", ("message",)),
        (TasksOutgoing, "put", ("message",)),
        (error_handlers, "simple_error_handler", ("executor", "status")),
        (error_handlers, "_get_error", ("status",)),
        (ManagerSelector, "sort_managers", ("ready_managers", "manager_list")),
        (Interchange, "_send_monitoring_info", ("monitoring_radio", "manager")),
        (Interchange, "expire_bad_managers", ("interesting_managers", "monitoring_radio")),
        (Interchange, "process_tasks_to_send", ("interesting_managers", "monitoring_radio")),
        (Interchange, "get_tasks", ("count",)),
    )
    check_seams(f"Parsl {VERSION}", seams)
    check_names(f"Parsl {VERSION}", HighThroughputExecutor, "submit_payload", ("_task_counter", "outgoing_q"))
