"""A node that fails every task at once would take them all: it must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import workflow_apps as apps
from parsl.config import Config

from parsl_monitor import OctopusMonitoringHub, WrathRetryHandler
from parsl_monitor.demo.nodes import Node, NodeLauncher, nodes_have_names

Make = Callable[..., Any]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TASKS = 60
"""So many that those that fail before anything can be done about it, also by a machine that stalls, are the fewer."""


@pytest.fixture(scope="module", autouse=True)
def nodes_with_names() -> None:
    if not nodes_have_names():
        pytest.skip("needs UTS namespaces: Linux, as root or with kernel.unprivileged_userns_clone=1")


@pytest.mark.parametrize("fault", ["file_descriptors", "anything"])
def test_a_node_that_fails_fast_gets_a_handful_of_the_tasks_and_all_succeed(
    run: Make, executor: Make, settings: Make, fault: str
) -> None:
    octopus = settings()
    pair = executor("pair", nodes=2, workers=1, launcher=NodeLauncher("pair", {"*": Node()}))
    config = Config(
        executors=[pair],
        monitoring=OctopusMonitoringHub(octopus=octopus),
        retry_handler=WrathRetryHandler(),
        retries=3,
        strategy="none",
        initialize_logging=False,
    )

    def workflow() -> dict[str, Any]:
        hosts: set[str] = set()
        while not {"pair-0", "pair-1"} <= hosts:
            hosts |= {future.result(timeout=150) for future in [apps.host_name(0.05) for _ in range(4)]}
        return {f"task-{number}": apps.work_unless_on("pair-0", 0.2, fault) for number in range(TASKS)}

    told = run(config, workflow, octopus=octopus)
    assert {str(outcome) for outcome in told.outcomes.values()} == {"pair-1"}
    failed = told.failures()
    assert {failure.host for failure in failed} == {"pair-0"}
    assert Counter(failure.task_id for failure in failed).most_common(1)[0][1] <= 3
    if fault == "file_descriptors":
        # Parsl alone has it fail four in five of the sixty, most of them more than once. Until there is something to
        # compare with it gets its share; most tasks fail there once at the most.
        assert len(failed) <= TASKS, Counter(failure.categorization.category for failure in failed)
