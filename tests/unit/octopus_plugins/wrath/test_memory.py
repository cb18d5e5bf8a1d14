from __future__ import annotations

import tracemalloc

import msgspec
import pytest

from octopus_plugins.events import Categorization, ExceptionInfo, Failure, Heartbeat, Run, Task
from octopus_plugins.wrath import History
from octopus_plugins.wrath.history.comparison import MAX_SPELLS

NOW = 1_700_000_000.0
BOUND = 500
"""Tasks that the histories under test remember."""


def failing(number):
    """A failure of a task of its own, with a message, an app and a host of its own."""
    return Failure(
        run_id="r",
        task_id=str(number),
        time=NOW + number / 100,
        app=f"app-{number}",
        executor="small",
        host=f"node-{number}",
        exception=ExceptionInfo(type="ModuleNotFoundError", message=f"No module named 'm{'x' * (number % 50)}'"),
        categorization=Categorization(
            layer="environment", category="module_missing", scope="node", evidence={"subject": f"m{number}"}
        ),
    )


def ending_well(number):
    place = {"run_id": "r", "task_id": str(number), "app": "app", "executor": "small", "host": f"node-{number % 100}"}
    for seconds, state in enumerate(("running", "running_ended", "exec_done")):
        yield Task(**place, time=NOW + number / 100 + seconds, state=state)


def growth(history, first, second):
    """Bytes that a history takes on for the first batch of events, and for the second."""
    sizes = []
    tracemalloc.start()
    try:
        for batch in (first, second):
            before = tracemalloc.get_traced_memory()[0]
            for event in batch:
                history.observe(event)
            sizes.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    return sizes


def test_tasks_that_end_well_leave_nothing_behind():
    def run(numbers):
        for number in numbers:
            yield from ending_well(number)

    history = History()
    first, second = growth(history, run(range(2_000)), run(range(2_000, 10_000)))
    assert first < 500_000
    assert second < 50_000
    assert history.run("r").done == 10_000


@pytest.mark.slow
def test_tasks_that_fail_and_are_never_heard_of_again_are_forgotten():
    history = History(maximum_tasks=BOUND)
    for recent in (history._hosts, history._apps, history._app_hosts, history._names):
        recent._size = BOUND
    first, second = growth(history, map(failing, range(1_500)), map(failing, range(1_500, 4_500)))
    assert first < 5_000_000
    # The nodes of a run are remembered by name, MAX_HOSTS at most; nothing else grows.
    assert second / 3_000 < 300
    assert history.run("r").failures == 4_500


@pytest.mark.slow
def test_the_nodes_of_many_apps_are_compared_in_bounded_memory():
    def story(apps):
        for app in apps:
            for number in range(MAX_SPELLS + 50):
                task = f"{app}-{number}"
                yield msgspec.structs.replace(failing(number), task_id=task, app=f"app-{app}")
                yield Task(run_id="r", task_id=task, time=NOW, state="failed", app=f"app-{app}")

    history = History(maximum_tasks=BOUND)
    for recent in (history._hosts, history._apps, history._app_hosts, history._names):
        recent._size = BOUND
    history.observe(Run(run_id="r", time=NOW, state="started", retries=3))
    history.run("r").comparisons._size = 20
    first, second = growth(history, story(range(20)), story(range(20, 60)))
    assert first / (20 * MAX_SPELLS) < 800, "bytes per app and node, with all else that is remembered of them"
    assert second < first / 10
    assert max(len(one.nodes) for one in history.run("r").comparisons.values()) == MAX_SPELLS


@pytest.mark.slow
def test_runs_are_forgotten_with_all_that_belongs_to_them():
    def story(numbers):
        for number in numbers:
            name = f"run-{number}"
            yield Run(run_id=name, time=NOW, state="started", retries=3)
            yield Heartbeat(run_id=name, time=NOW, host="node", executor="small")
            yield failing(number)
            yield Run(run_id=name, time=NOW + 1, state="ended")

    history = History(maximum_tasks=BOUND)
    for recent in (history._hosts, history._apps, history._app_hosts, history._names):
        recent._size = 100
    growth(history, story(range(1_100)), story(range(1_100, 2_200)))
    assert [name for name, _ in history._runs.items()] == ["r"]
