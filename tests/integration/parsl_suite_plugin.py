"""A pytest plugin: puts OctopusMonitoringHub in the place of MonitoringHub in Parsl's own tests.

``test_parsl_own_suite`` loads it with ``-p``, before any test is imported. With ``PARSL_SUITE_HUB=parsl`` the
tests keep Parsl's hub, which shows what passes anyway. What our packages complain of goes to ``octopus.log``.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl.monitoring
import parsl.tests.conftest
import pytest

from parsl_monitor import OctopusMonitoringHub

LIMIT = 2400.0
"""Seconds that the suite may take; it takes about 300 on an idle machine."""

# Parsl's conftest has this hook with an argument that pytest 9 no longer knows, and pytest refuses the file for it.
# It only leaves out directories that are not among those we run. The conftest is not imported a second time.
if hasattr(parsl.tests.conftest, "pytest_ignore_collect"):
    del parsl.tests.conftest.pytest_ignore_collect

PATIENCE = 120.0
"""Seconds that a process of Parsl's may take to start, where its tests give it five."""


@pytest.fixture
def try_assert() -> Callable[..., None]:
    """In the place of Parsl's fixture of this name: the same for a machine that others keep busy."""

    def wait(condition: Callable[[], object], message: str = "", timeout_ms: float = 0.0) -> None:
        deadline = time.monotonic() + max(timeout_ms / 1000, PATIENCE)
        while not condition():
            assert time.monotonic() < deadline, message
            time.sleep(0.02)

    return wait


parsl.tests.conftest.try_assert = try_assert

# Each worker of pytest-xdist is in a directory of its own: Parsl's tests write to the one that they are in.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) is not None:
    Path(worker).mkdir()
    os.chdir(worker)

complaints = logging.FileHandler("octopus.log", encoding="utf-8")
complaints.setLevel(logging.WARNING)
logging.getLogger("octopus_plugins").addHandler(complaints)


# Wherever this process hangs, after the last test too, it says so; to a copy, for pytest will capture the original.
faulthandler.dump_traceback_later(LIMIT, exit=True, file=os.fdopen(os.dup(2), "w"))


class SuiteHub(OctopusMonitoringHub):
    """OctopusMonitoringHub that keeps Parsl's database where MonitoringHub has it by default.

    Ours keeps none unless ``logging_endpoint`` names it; some of the tests read the default one.
    """

    logging_endpoint: str | None

    def start(self, dfk_run_dir: str, config_run_dir: str | os.PathLike[str], log_config: Any) -> None:
        if self.logging_endpoint is None:
            self.logging_endpoint = f"sqlite:///{os.fspath(config_run_dir)}/monitoring.db"
        super().start(dfk_run_dir, config_run_dir, log_config)


if os.environ.get("PARSL_SUITE_HUB") != "parsl":
    # Only the name that tests and their configurations import: the DataFlowKernel goes on checking for the real class.
    parsl.monitoring.MonitoringHub = SuiteHub
