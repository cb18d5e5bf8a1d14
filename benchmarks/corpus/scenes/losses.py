"""Managers, nodes and blocks that go away, and nodes that fail what succeeds elsewhere."""

from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category


def sits(seconds: float = 40.0) -> Any:
    """Run for a while."""
    import time

    time.sleep(seconds)


def _job(lab: Any, label: str, block: str = "0") -> tuple[Any, Any]:
    executor = lab.dfk.executors[label]
    return executor.provider, executor.blocks_to_job_id[block]


def _when_running(lab: Any, future: Any) -> None:
    """Wait until a worker has the task."""
    import time

    end = time.monotonic() + 90
    while time.monotonic() < end:
        attempt = lab.dfk.monitoring.attempts.of_task(str(future.tid))
        if attempt is not None and attempt.place:
            return
        time.sleep(0.05)
    raise TimeoutError("no worker reported the task")


def _ended_by_scheduler(lab: Any, name: str, state: str, number: int) -> Any:
    from parsl.jobs.states import JobState

    def run() -> Any:
        return sits()

    run.__name__ = name
    future = lab.python(_sits_as(name))
    _when_running(lab, future)
    provider, job = _job(lab, lab.executor)
    provider.end(job, JobState[state], number)
    return future


def _sits_as(name: str) -> Any:
    def run() -> Any:
        import time

        time.sleep(120)

    run.__name__ = name
    return run


PREEMPTED = Cases()


@PREEMPTED.workflow(Category.preempted)
def preempted_by_sigterm(lab: Any) -> Any:
    """The scheduler takes the node away: SIGTERM to every process of the job, which it then reports as cancelled."""
    return _ended_by_scheduler(lab, "preempted_by_sigterm", "CANCELLED", 15)


KILLED = Cases()


@KILLED.workflow(Category.preempted)
def preempted_by_sigkill(lab: Any) -> Any:
    """The scheduler takes the node away without warning: SIGKILL, and the job is reported as cancelled."""
    return _ended_by_scheduler(lab, "preempted_by_sigkill", "CANCELLED", 9)


HELD = Cases()


@HELD.workflow(Category.preempted)
def held_by_the_scheduler(lab: Any) -> Any:
    """The scheduler stops the job and holds it."""
    return _ended_by_scheduler(lab, "held_by_the_scheduler", "HELD", 15)


FAILED = Cases()


@FAILED.workflow(Category.block_failed)
def block_fails(lab: Any) -> Any:
    """The scheduler ends the job and reports it as failed."""
    return _ended_by_scheduler(lab, "block_fails", "FAILED", 9)


MISSING = Cases()


@MISSING.workflow(Category.block_failed)
def block_is_missing(lab: Any) -> Any:
    """The job dies, and the scheduler knows nothing of it any more."""
    return _ended_by_scheduler(lab, "block_is_missing", "MISSING", 9)


SCALED = Cases()


@SCALED.workflow(Category.preempted)
def scaled_in_under_a_task(lab: Any) -> Any:
    """The run's own scaling takes the block away while a task runs there."""
    future = lab.python(_sits_as("scaled_in_under_a_task"))
    _when_running(lab, future)
    lab.dfk.executors[lab.executor].scale_in_facade(1)
    return future


def kills_its_manager() -> Any:
    """Kill the worker pool above this worker, and go on."""
    import os
    import signal
    import time

    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


SHARED = Cases()


@SHARED.workflow(Category.manager_lost)
def manager_killed(lab: Any) -> Any:
    """The worker pool is killed; the node lives on, as the pool of another executor on it tells."""
    warm = [lab.python(_named(_nothing, f"nothing_{label}"), executor=label) for label in ("first", "second")]
    for future in warm:
        future.result(timeout=30)
    return lab.python(_named(kills_its_manager, "manager_killed"), executor="first")


SHARED_STOPPED = Cases()


@SHARED_STOPPED.workflow(Category.manager_lost)
def manager_stopped(lab: Any) -> Any:
    """The worker pool is stopped by SIGSTOP; the node lives on, as the pool of another executor on it tells."""
    for label in ("first", "second"):
        lab.python(_named(_nothing, f"nothing_{label}"), executor=label).result(timeout=30)
    return lab.python(_named(stops_its_manager, "manager_stopped"), executor="first")


def stops_its_manager() -> Any:
    """Stop the worker pool above this worker, for a while."""
    import os
    import signal
    import time

    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(60)
    os.kill(os.getppid(), signal.SIGCONT)


UNSEEN = Cases()


@UNSEEN.workflow(Category.manager_lost, structured=False)
def manager_killed_unseen(lab: Any) -> Any:
    """The worker pool is killed, and nothing else tells of the node: it looks like a node that went down."""
    lab.python(_named(_nothing, "nothing"), executor=lab.executor).result(timeout=30)
    return lab.python(_named(kills_its_manager, "manager_killed_unseen"))


def _nothing() -> int:
    return 1


def _named(function: Any, name: str) -> Any:
    def run() -> Any:
        return function()

    run.__name__ = name
    return run


def _node_goes(lab: Any, name: str, number: int) -> Any:
    import psutil

    future = lab.python(_sits_as(name))
    _when_running(lab, future)
    place = lab.dfk.monitoring.attempts.of_task(str(future.tid)).place
    worker = psutil.Process(place["pid"])
    manager = worker.parent()
    for process in [manager, *manager.children(recursive=True)]:
        process.send_signal(number)
    return future


DOWN = Cases()


@DOWN.workflow(Category.node_down)
def node_goes_down(lab: Any) -> Any:
    """Every process of a node is killed at once; its job goes on, with another node's pool in it."""
    return _node_goes(lab, "node_goes_down", 9)


FROZEN = Cases()


@FROZEN.workflow(Category.node_down)
def node_freezes(lab: Any) -> Any:
    """Every process of a node is stopped at once: it falls silent, and its job goes on."""
    return _node_goes(lab, "node_freezes", 19)


UNHEALTHY = Cases()
SICK = {"0": {"environment": {"OCTOPUS_SICK": "1"}}, "1": {}}


def reduces(number: int) -> Any:
    """Fails on the sick node only, as with a broken memory module."""
    import os
    import time

    if os.environ.get("OCTOPUS_SICK"):
        time.sleep(0.1)
        raise ValueError(f"checksum of part {number % 3} does not match")
    time.sleep(0.05)
    return number


@UNHEALTHY.workflow(Category.node_unhealthy)
def sick_node(lab: Any) -> Any:
    """One of two nodes fails every task of an app that ends well on the other; those after its third in a row."""
    failed: list[Any] = []
    for _ in range(40):
        futures = [lab.python(reduces, number) for number in range(12)]
        failed += [future for future in futures if future.exception() is not None]
        if len(failed) >= 8:
            break
    return sorted(failed, key=lambda future: future.task_record["time_returned"])[3:9]


BESIDE = {"*": {"beside": 150}}
SAME = {"*": {"name": "shared-0", "beside": 150}}
SCENES = [
    Scene("preempted_term", PREEMPTED, [Place("batch")]),
    Scene("preempted_kill", KILLED, [Place("batch")]),
    Scene("preempted_held", HELD, [Place("batch")]),
    Scene("block_failed", FAILED, [Place("batch")]),
    Scene("block_missing", MISSING, [Place("batch")]),
    Scene("scaled_in", SCALED, [Place("batch")]),
    Scene("manager_killed", SHARED, [Place("first", SAME), Place("second", SAME)]),
    Scene("manager_stopped", SHARED_STOPPED, [Place("first", SAME), Place("second", SAME)]),
    Scene("manager_unseen", UNSEEN, [Place("batch", BESIDE)]),
    Scene("node_down", DOWN, [Place("batch", BESIDE, threshold=35)]),
    Scene("node_frozen", FROZEN, [Place("batch", BESIDE, threshold=35)]),
    Scene("sick_node", UNHEALTHY, [Place("pair", SICK, blocks=2)]),
]
