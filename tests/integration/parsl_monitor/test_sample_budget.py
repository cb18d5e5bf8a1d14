"""Samples that would be more than the run's budget: nodes take them further apart, and nothing else is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import workflow_apps as apps
from confluent_kafka import Consumer, TopicPartition
from parsl.config import Config

from octopus_plugins.config import OctopusConfig
from octopus_plugins.events import Event, ResourceSamples, decode
from octopus_plugins.fabric.produce.budget import BURST_SECONDS
from parsl_monitor import OctopusMonitoringHub

Make = Callable[..., Any]

pytestmark = pytest.mark.slow

BUDGET = 1_000
STATES = ["pending", "launched", "running", "running_ended", "exec_done"]


def records(config: OctopusConfig) -> Iterator[tuple[int, Event]]:
    """What stands in the topic, record by record, with its bytes."""
    reader = Consumer({"bootstrap.servers": config.servers, "group.id": "budget", "enable.partition.eof": True})
    try:
        reader.assign([TopicPartition(f"{config.namespace}.task-metrics", 0, 0)])
        while True:
            message = reader.poll(30)
            assert message is not None
            if message.error() is not None:
                return  # the end
            event = decode(message.value())
            assert event is not None
            yield len(message.key()) + len(message.value()), event
    finally:
        reader.close()


@pytest.mark.parametrize("direct", [False, True], ids=["by the submit side", "by the nodes"])
def test_nodes_sample_further_apart_where_the_budget_asks(
    run: Make, executor: Make, settings: Make, direct: bool
) -> None:
    octopus = settings(sample_budget=BUDGET)
    options = {"direct": True, "encrypted": True} if direct else {}
    hub = OctopusMonitoringHub(octopus=octopus)
    config = Config(
        executors=[executor("small", workers=2, **options)],  # ten samples a second of each worker
        monitoring=hub,
        strategy="none",
        initialize_logging=False,
    )

    def workflow() -> dict[str, Any]:
        naps = {f"nap-{number}": apps.host_name(20.0) for number in range(2)}
        budget = hub._emitter.budget
        assert budget is not None
        deadline = time.monotonic() + 150
        # As set they would come to five times as much or so, where the machine is not too busy to look that often.
        while budget.stretch < 2.0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return naps

    told = run(config, workflow, octopus=octopus)
    found = list(records(octopus))
    samples = [(size, event) for size, event in found if isinstance(event, ResourceSamples)]
    stretched = [event for _, event in samples if event.stretch > 1.0]
    assert stretched
    assert all(event.period == pytest.approx(0.1 * event.stretch) for event in stretched)
    seconds = samples[-1][1].time - samples[0][1].time
    if not direct:  # what a node sends by itself is its own; the budget has it sample less often, later
        assert sum(size for size, _ in samples) < BUDGET * (seconds + BURST_SECONDS) + 2_000
    # In the end no longer ten times a second.
    late = sorted(sample.usage.time for sample in told.samples("nap-0"))[-4:]
    assert (late[-1] - late[0]) / 3 > 0.15
    for name in ("nap-0", "nap-1"):
        assert told.states(name) == STATES
        numbers = sorted(sample.sequence for sample in told.samples(name))
        assert numbers == sorted(set(numbers)), "each once"


def test_without_a_bound_none_is_left_out(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings(sample_budget=0)
    config = Config(
        executors=[executor("small", workers=2)],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        strategy="none",
        initialize_logging=False,
    )
    told = run(config, lambda: {f"nap-{number}": apps.host_name(3.0) for number in range(2)}, octopus=octopus)
    for name in ("nap-0", "nap-1"):
        numbers = sorted(sample.sequence for sample in told.samples(name))
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > 5
    # The two of the node in one record.
    assert any(len(event.tries) == 2 for _, event in records(octopus) if isinstance(event, ResourceSamples))


def test_a_pool_of_parsls_own_is_sampled_by_its_workers(run: Make, executor: Make, settings: Make) -> None:
    octopus = settings()
    config = Config(
        executors=[executor("small", workers=1, node_agent=False)],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        strategy="none",
        initialize_logging=False,
    )
    told = run(config, lambda: {"nap": apps.host_name(2.0)}, octopus=octopus)
    samples = sorted(told.samples("nap"), key=lambda sample: sample.sequence)
    assert len(samples) > 5
    assert samples[0].usage.rss and samples[0].period is None
    assert told.states("nap") == STATES
    assert not any(isinstance(event, ResourceSamples) for _, event in records(octopus))
