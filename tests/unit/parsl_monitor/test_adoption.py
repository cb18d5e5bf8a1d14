"""Executors that are added to a run later."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from parsl.config import Config
from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import HighThroughputExecutor

from parsl_monitor.activation import disable, enable
from parsl_monitor.adoption import Additions, Adoption
from parsl_monitor.executor import ObservedExecutor
from parsl_monitor.radio import OctopusRadio


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches Parsl's own method."""
    reached: list[Any] = []
    monkeypatch.setattr(DataFlowKernel, "add_executors", lambda dfk, executors: reached.extend(executors))
    return reached


def make() -> HighThroughputExecutor:
    return HighThroughputExecutor(label="later", address="127.0.0.1")


def test_while_a_run_goes_on_an_executor_that_is_added_is_adopted_before_parsl_starts_it(added: list[Any]) -> None:
    config = enable(Config(executors=[HighThroughputExecutor(label="first", address="127.0.0.1")]), revive=False)
    dfk: Any = SimpleNamespace(monitoring=config.monitoring)
    later, additions, parsls = make(), Additions(), DataFlowKernel.add_executors
    additions.begin()
    additions.begin()
    DataFlowKernel.add_executors(dfk, [later])
    assert added == [later]
    assert isinstance(later, ObservedExecutor)
    assert later.revive is False
    additions.end()
    assert DataFlowKernel.add_executors is not parsls
    additions.end()
    assert DataFlowKernel.add_executors is parsls
    disable(config)
    assert type(later) is HighThroughputExecutor


@pytest.mark.parametrize("monitoring", [None, SimpleNamespace()])
def test_runs_without_enable_are_left_alone(added: list[Any], monitoring: Any) -> None:
    later, additions = make(), Additions()
    additions.begin()
    DataFlowKernel.add_executors(SimpleNamespace(monitoring=monitoring), [later])
    additions.end()
    assert type(later) is HighThroughputExecutor
    assert added == [later]


def test_one_that_cannot_be_adopted_runs_without_a_hub_and_one_warning_says_so(
    added: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Final(HighThroughputExecutor):
        def __init_subclass__(cls, **_: Any) -> None:
            raise TypeError("no children")

    class Bare:
        """An executor of the user's own that knows nothing of radios."""

        label = "bare"

    later, bare, additions = Final(label="later", address="127.0.0.1"), Bare(), Additions()
    hub = SimpleNamespace(logging_endpoint=None)
    hub.adoption = Adoption(hub, OctopusRadio())  # type: ignore[arg-type]
    additions.begin()
    DataFlowKernel.add_executors(SimpleNamespace(monitoring=hub), [later, bare])
    additions.end()
    assert added == [later, bare]
    assert type(later) is Final
    for executor in (later, bare):
        assert executor.remote_monitoring_radio is None  # type: ignore[union-attr]
        assert len([record for record in caplog.records if f"Executor {executor.label}" in record.message]) == 1
