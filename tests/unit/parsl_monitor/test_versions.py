from __future__ import annotations

from typing import Any

import pytest
from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.interchange import Interchange
from parsl.jobs import error_handlers
from parsl.monitoring import MonitoringHub

from octopus_plugins.errors import UnsupportedHostError
from parsl_monitor.versions import check_parsl


def test_the_installed_parsl_has_what_we_build_on() -> None:
    check_parsl()


def test_a_parsl_without_a_seam_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HighThroughputExecutor, "submit_payload")
    with pytest.raises(UnsupportedHostError, match=r"HighThroughputExecutor\.submit_payload.*constraints\.txt"):
        check_parsl()


def test_a_function_of_a_module_is_a_seam_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_handlers, "simple_error_handler", lambda pool, status: None)
    with pytest.raises(UnsupportedHostError, match=r"error_handlers\.simple_error_handler.*'pool'"):
        check_parsl()


def test_a_parsl_with_another_signature_is_refused_with_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: Any, place: str) -> None: ...

    monkeypatch.setattr(MonitoringHub, "start", start)
    with pytest.raises(UnsupportedHostError, match=r"MonitoringHub\.start.*'place'"):
        check_parsl()


def test_a_parsl_whose_executor_numbers_its_tasks_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def submit_payload(self: Any, context: Any, buffer: Any) -> None:
        self.outgoing_q.put(buffer)

    monkeypatch.setattr(HighThroughputExecutor, "submit_payload", submit_payload)
    with pytest.raises(UnsupportedHostError, match=r"submit_payload without '_task_counter'"):
        check_parsl()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (DataFlowKernel, "add_executors"),
        (error_handlers, "_get_error"),
        (HighThroughputExecutor, "connected_blocks"),
        (Interchange, "get_tasks"),
        (DataFlowKernel, "_complete_task_exception"),
    ],
)
def test_each_private_seam_is_looked_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    monkeypatch.delattr(owner, name)
    with pytest.raises(UnsupportedHostError, match=name):
        check_parsl()
