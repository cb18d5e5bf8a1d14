"""Samples that the nodes produce by themselves."""

from __future__ import annotations

import platform
import time
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

    def workflow() -> dict[str, Any]:
        deadline = time.monotonic() + 120
        while not parsl.dfk().monitoring.granting.delivered:  # the node has begun to produce, and has said so
            assert time.monotonic() < deadline
            apps.host_name(0.5).result(timeout=150)
        return {f"nap-{number}": apps.host_name(4.0) for number in range(2)}

    told = run(config, workflow, octopus=octopus)
    for name in ("nap-0", "nap-1"):
        # Each once, whichever way it went; of two ways one may be slower.
        samples = sorted(told.samples(name), key=lambda sample: sample.sequence)
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
