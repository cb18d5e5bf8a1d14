"""Which Parsl this is, and whether it has what we build on."""

from __future__ import annotations

import inspect

from octopus_plugins.errors import UnsupportedHostError


def check_parsl() -> None:
    """Check the seams, not the number: Parsl releases weekly.

    Raises:
        UnsupportedHostError: Something that we build on is missing; names it and what to do.
    """
    from parsl.executors import HighThroughputExecutor
    from parsl.executors.high_throughput.interchange import Interchange
    from parsl.monitoring import MonitoringHub
    from parsl.version import VERSION

    seams = (
        (MonitoringHub, "start", ("dfk_run_dir", "config_run_dir", "log_config")),
        (MonitoringHub, "close", ()),
        (HighThroughputExecutor, "submit_payload", ("context", "buffer")),
        (HighThroughputExecutor, "submit", ("func", "resource_specification")),
        (Interchange, "_send_monitoring_info", ("monitoring_radio", "manager")),
        (Interchange, "expire_bad_managers", ("interesting_managers", "monitoring_radio")),
        (Interchange, "get_tasks", ("count",)),
    )
    for owner, name, expected in seams:
        function = inspect.unwrap(getattr(owner, name, None) or (lambda: None))
        present = tuple(inspect.signature(function).parameters)[1:]
        if present[: len(expected)] != expected:
            raise UnsupportedHostError(
                f"Parsl {VERSION} has another {owner.__name__}.{name} than octopus-plugins knows"
                f" (expected arguments {expected}, found {present});"
                " install the version in octopus-plugins' constraints.txt, or run without octopus-plugins"
            )
