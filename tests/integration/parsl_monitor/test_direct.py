"""Samples that the nodes produce by themselves."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import parsl
import pytest
import workflow_apps as apps
from parsl.config import Config
from parsl.executors import HighThroughputExecutor

from parsl_monitor import OctopusMonitoringHub, enable

Make = Callable[..., Any]

pytestmark = pytest.mark.slow


def test_a_node_produces_its_samples_and_the_submit_side_the_rest(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()
    config = Config(
        executors=[executor("small", workers=2, direct=True, encrypted=True)],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        strategy="none",
        initialize_logging=False,
    )
    told = run(config, lambda: {f"nap-{number}": apps.host_name(4.0) for number in range(2)}, octopus=octopus)
    for name in ("nap-0", "nap-1"):
        samples = told.samples(name)
        # Each once, in order, whichever way it went.
        assert [sample.sequence for sample in samples] == list(range(len(samples)))
        by_node = [sample for sample in samples if sample.order == 0]
        assert samples[0] not in by_node
        assert len(by_node) > len(samples) / 2
        assert {(s.executor, s.host, s.app) for s in by_node} == {("small", samples[0].host, samples[0].app)}
        assert told.states(name) == ["pending", "launched", "running", "running_ended", "exec_done"]
    assert told.messages == []


def test_what_is_submitted_past_parsls_kernel_has_no_name_and_runs_all_the_same(
    run: Make, executor: Make, settings: Make
) -> None:
    octopus = settings()
    config = enable(
        Config(
            executors=[executor("small", kind=HighThroughputExecutor, encrypted=True)],
            strategy="none",
            initialize_logging=False,
        ),
        octopus=octopus,
        direct=True,
    )

    def workflow() -> dict[str, Any]:
        nameless = parsl.dfk().executors["small"].submit(apps.host_name.func, {}, 0.0)
        return {"named": apps.double(2), "nameless": nameless}

    told = run(config, workflow, octopus=octopus)
    assert told.outcomes == {"named": 4, "nameless": platform.node()}
