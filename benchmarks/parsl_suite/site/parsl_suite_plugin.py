"""A pytest plugin for Parsl's own tests: runs them as they are, with our hub, or with everything under ``enable``.

Loaded with ``-p``, before any test is imported. It reads these variables:

- ``PARSL_SUITE``: ``stock`` (the default) changes nothing of Parsl, ``hub`` puts OctopusMonitoringHub in the place of
  MonitoringHub, ``enable`` does that and passes each Config through `parsl_monitor.enable`: one that a module holds
  before its tests begin, any other as it reaches the DataFlowKernel.
- ``PARSL_SUITE_OUTCOMES``: a file; a line of JSON for each phase of each test goes there as soon as it is over.
- ``PARSL_SUITE_ONLY``: a file with the ids of the tests, or of the modules, to run, one a line.
- ``PARSL_SUITE_PATIENCE``: seconds that a process of Parsl's may take to start, where its tests give it five.
- ``PARSL_SUITE_LIMIT``: seconds that all of it may take; then it ends with the stacks of all threads.

What our packages complain of goes to ``octopus.log`` in the working directory.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl.monitoring
import parsl.tests.conftest
import pytest
from parsl.dataflow.dflow import DataFlowKernel, DataFlowKernelLoader

MODE = os.environ.get("PARSL_SUITE", "stock")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script: else the processes that Parsl's tests interrupt would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Parsl's conftest has this hook with an argument that pytest 9 no longer knows, and pytest refuses the file for it.
# Whoever runs the suite leaves out the directories itself. The conftest is not imported a second time.
if hasattr(parsl.tests.conftest, "pytest_ignore_collect"):
    del parsl.tests.conftest.pytest_ignore_collect

# Each worker of pytest-xdist is in a directory of its own: Parsl's tests write to the one that they are in.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) is not None:
    Path(worker).mkdir()
    os.chdir(worker)

complaints = logging.FileHandler("octopus.log", encoding="utf-8")
complaints.setLevel(logging.WARNING)
logging.getLogger("octopus_plugins").addHandler(complaints)

# Wherever this process hangs, after the last test too, it says so; to a copy, for pytest will capture the original.
if limit := os.environ.get("PARSL_SUITE_LIMIT"):
    faulthandler.dump_traceback_later(float(limit), exit=True, file=os.fdopen(os.dup(2), "w"))

if patience := os.environ.get("PARSL_SUITE_PATIENCE"):

    @pytest.fixture
    def try_assert() -> Callable[..., None]:
        """In the place of Parsl's fixture of this name: the same for a machine that others keep busy."""

        def wait(
            condition: Callable[[], object], message: str = "", timeout_ms: float = 0.0, **_options: object
        ) -> None:
            deadline = time.monotonic() + max(timeout_ms / 1000, float(patience))
            while not condition():
                assert time.monotonic() < deadline, message
                time.sleep(0.02)

        return wait

    parsl.tests.conftest.try_assert = try_assert


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Have tests that draw their parameters at random, as they are imported, draw the same ones in each run."""
    random.seed(0)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for."""
    file = os.environ.get("PARSL_SUITE_ONLY")
    if file is None:
        return
    wanted = set(Path(file).read_text(encoding="utf-8").splitlines())
    chosen = [item for item in items if {item.nodeid, item.nodeid.partition("::")[0]} & wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def pytest_itemcollected(item: pytest.Item) -> None:
    """Enable the Config that a test's module holds, as its author would."""
    held = getattr(getattr(item, "module", None), "config", None)
    if MODE == "enable" and isinstance(held, parsl.Config):
        from parsl_monitor import enable

        enable(held)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """End what a test that failed left loaded: the next one would fail for it."""
    module = item.getparent(pytest.Module)
    begins = module is not None and module.nodeid not in _begun
    if module is not None:
        _begun.add(module.nodeid)
    holds = any(hasattr(getattr(module, "obj", None), name) for name in ("local_config", "local_setup"))
    left = DataFlowKernelLoader._dfk
    if left is None or item.config.getoption("config") != ["local"] or (holds and not begins):
        return
    DataFlowKernelLoader.clear()
    if not left.cleanup_called:
        left.cleanup()


_begun: set[str] = set()
"""The modules of which a test was begun."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down a phase of a test that is over: what is written stays, should this process hang or die."""
    file = os.environ.get("PARSL_SUITE_OUTCOMES")
    if file is None:
        return
    phase = {
        "test": report.nodeid,
        "phase": report.when,
        "outcome": report.outcome,
        "seconds": report.duration,
        "expected": hasattr(report, "wasxfail"),
        "text": report.longreprtext[-4000:] if report.outcome != "passed" else "",
    }
    with Path(file).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(phase) + "\n")


def _put_in_our_hub() -> None:
    from parsl_monitor import OctopusMonitoringHub

    class SuiteHub(OctopusMonitoringHub):
        """OctopusMonitoringHub that keeps Parsl's database where MonitoringHub has it by default.

        Ours keeps none unless ``logging_endpoint`` names it; some of the tests read the default one.
        """

        logging_endpoint: str | None

        def start(self, dfk_run_dir: str, config_run_dir: str | os.PathLike[str], log_config: Any) -> None:
            if self.logging_endpoint is None:
                self.logging_endpoint = f"sqlite:///{os.fspath(config_run_dir)}/monitoring.db"
            super().start(dfk_run_dir, config_run_dir, log_config)

    # Only the name that tests and their configurations import: the DataFlowKernel goes on checking for the real class.
    parsl.monitoring.MonitoringHub = SuiteHub


def _enable_every_config() -> None:
    from parsl_monitor import enable

    def new(cls: type[DataFlowKernel], config: Any) -> Any:
        enable(config)
        return object.__new__(cls)

    # Not its __init__: Parsl names a workflow by the first file on the stack that is not its own.
    DataFlowKernel.__new__ = new


if MODE in ("hub", "enable"):
    _put_in_our_hub()
if MODE == "enable":
    _enable_every_config()
