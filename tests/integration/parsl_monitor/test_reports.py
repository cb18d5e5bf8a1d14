"""What the interchange reports: with a Parsl that does not encrypt it, and in Parsl's own database."""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import pytest
import workflow_apps as apps
from parsl.config import Config
from parsl.executors.high_throughput import interchange as parsls_interchange
from parsl.monitoring import MonitoringHub

from octopus_plugins.htex import encrypted_reports
from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler

from . import processes

Make = Callable[..., Any]

pytestmark = [pytest.mark.slow]


def configured(pool: Any, octopus: Any) -> Config:
    return Config(
        executors=[pool],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retry_handler=WrathRetryHandler(),
        retries=1,
        strategy="none",
        initialize_logging=False,
    )


def workflow() -> dict[str, Any]:
    return {"double": apps.double(4), "bug": apps.look_up("not there")}


@pytest.fixture
def clear_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Parsl whose interchange reports in clear text, as from 2026.5.18 to 2026.7.27."""
    monkeypatch.setattr(encrypted_reports, "parsl_encrypts_reports", lambda: False)


def test_reports_are_encrypted_and_arrive_where_parsl_does_not_encrypt_them(
    run: Make, executor: Make, settings: Make, clear_text: None
) -> None:
    octopus = settings()
    pool = executor("small")
    told = run(configured(pool, octopus), workflow, octopus=octopus)
    assert told.outcomes["double"] == 8
    assert isinstance(told.outcomes["bug"], ValueError)
    assert encrypted_reports.__file__ in pool.interchange_launch_cmd
    assert {beat.component for beat in told.heartbeats()} >= {"manager", "node"}
    assert told.messages == []


def test_behind_an_interchange_of_the_user_s_tasks_then_run_unobserved_with_one_warning(
    run: Make, executor: Make, settings: Make, clear_text: None
) -> None:
    octopus = settings()
    pool = executor("small", interchange_launch_cmd=[sys.executable, parsls_interchange.__file__])
    told = run(configured(pool, octopus), workflow, octopus=octopus)
    assert told.outcomes["double"] == 8
    assert isinstance(told.outcomes["bug"], ValueError)
    assert [message for message in told.messages if "unobserved" in message] == told.messages
    assert len(told.messages) == 1


def rows_of_nodes(hub: MonitoringHub, pool: Any, run_dir: Path, tasks: int) -> Counter[bool]:
    """Run tasks one by one; the rows of Parsl's table of nodes, by whether the node was active."""
    config = Config(executors=[pool], monitoring=hub, strategy="none", run_dir=str(run_dir), initialize_logging=False)
    with parsl.load(config):
        for number in range(tasks):
            assert apps.double(number).result(timeout=120) == 2 * number
    processes.wait_until_gone(run_dir)
    with sqlite3.connect(run_dir / "monitoring.db") as database:
        return Counter(bool(active) for (active,) in database.execute("select active from node"))


def test_parsl_s_database_has_the_rows_of_nodes_that_it_has_without_us(
    executor: Make, settings: Make, tmp_path: Path
) -> None:
    from parsl.executors import HighThroughputExecutor

    found = []
    for name, kind in (("stock", HighThroughputExecutor), ("ours", None)):
        options = {
            "logging_endpoint": f"sqlite:///{tmp_path / name}/monitoring.db",
            "resource_monitoring_enabled": False,
        }
        (tmp_path / name).mkdir()
        hub = MonitoringHub(**options) if kind else OctopusMonitoringHub(**options, octopus=settings())
        pool = executor("small", kind=kind) if kind else executor("small")
        found.append(rows_of_nodes(hub, pool, tmp_path / name, 6))
    stock, ours = found
    assert ours == stock
    assert stock[True] >= 1 + 2 * 6
