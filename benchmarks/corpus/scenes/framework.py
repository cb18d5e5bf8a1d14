"""What Parsl itself reports: dependencies, joins, executors that give up, cancelled and halted tasks, monitoring."""

# ruff: noqa: F821 - as users write it
from __future__ import annotations

from typing import Any

from benchmarks.corpus.cases import Cases, Place, Scene
from octopus_plugins.wrath import Category

NEEDS, JOINS = Category.dependency_failed, Category.join_failed
CASES = Cases()


def breaks(*_: Any) -> Any:
    """Fail as a bug does."""
    return {}["missing"]


def passes(*values: Any, **_: Any) -> Any:
    """Give back the arguments."""
    return values


def needs_memory(*_: Any) -> Any:
    """Fail for want of memory."""
    return bytearray(1 << 62)


def _named(function: Any, name: str) -> Any:
    def run(*values: Any, **options: Any) -> Any:
        return function(*values)

    run.__name__ = name
    return run


@CASES.workflow(NEEDS)
def needs_a_failed_task(lab: Any) -> Any:
    """Depends on a task that failed by a bug."""
    return lab.python(_named(passes, "needs_a_failed_task"), lab.python(breaks))


@CASES.workflow(NEEDS)
def needs_a_starved_task(lab: Any) -> Any:
    """Depends on a task that ran out of memory."""
    return lab.python(_named(passes, "needs_a_starved_task"), lab.python(needs_memory))


@CASES.workflow(NEEDS)
def end_of_a_chain(lab: Any) -> Any:
    """The end of a chain of three, of which the first failed."""
    middle = lab.python(_named(passes, "middle"), lab.python(breaks))
    return lab.python(_named(passes, "end_of_a_chain"), middle)


@CASES.workflow(NEEDS)
def needs_two_failed_tasks(lab: Any) -> Any:
    """Depends on two tasks that failed in different ways."""
    return lab.python(_named(passes, "needs_two_failed_tasks"), lab.python(breaks), lab.python(needs_memory))


@CASES.workflow(NEEDS)
def needs_a_missing_file(lab: Any) -> Any:
    """A bash app whose input file is the output of an app that failed."""
    from parsl.data_provider.files import File

    made = lab.bash("makes_no_file", "exit 2", outputs=[File(str(lab.scratch / "made.dat"))])
    return lab.bash("needs_a_missing_file", "cat made.dat", inputs=[made.outputs[0]])


@CASES.workflow(Category.serialization)
def needs_a_list(lab: Any) -> Any:
    """Is called with a list of futures, into which Parsl's default resolver does not look: futures cannot be sent."""
    return lab.python(_named(passes, "needs_a_list"), [lab.python(passes), lab.python(breaks)])


def _join(lab: Any, name: str, start: Any) -> Any:
    from parsl.app.app import join_app

    def run() -> Any:
        return start()

    run.__name__ = name
    return join_app(run)()


@CASES.workflow(JOINS)
def joins_a_failed_task(lab: Any) -> Any:
    """A join app whose task fails by a bug."""
    return _join(lab, "joins_a_failed_task", lambda: lab.python(breaks))


@CASES.workflow(JOINS)
def joins_a_list(lab: Any) -> Any:
    """A join app of three tasks, of which one fails."""
    return _join(lab, "joins_a_list", lambda: [lab.python(passes), lab.python(breaks), lab.python(passes)])


@CASES.workflow(JOINS)
def joins_a_dependent(lab: Any) -> Any:
    """A join app whose task depends on a failed one."""
    return _join(lab, "joins_a_dependent", lambda: lab.python(passes, lab.python(needs_memory)))


@CASES.workflow(JOINS)
def joins_a_join(lab: Any) -> Any:
    """A join app whose task is a join app that fails."""
    return _join(lab, "joins_a_join", lambda: _join(lab, "inner_join", lambda: lab.python(breaks)))


@CASES.workflow(NEEDS)
def needs_a_failed_join(lab: Any) -> Any:
    """Depends on a join app that failed."""
    return lab.python(_named(passes, "needs_a_failed_join"), _join(lab, "joined", lambda: lab.python(breaks)))


@CASES.workflow(Category.code_error)
def join_app_raises(lab: Any) -> Any:
    """A join app whose own body has a bug."""
    return _join(lab, "join_app_raises", lambda: undefined)  # type: ignore[name-defined]


@CASES.python(Category.lost_task)
def cancelled_inside() -> Any:
    """Waits for a future that was cancelled under it."""
    import concurrent.futures

    future: Any = concurrent.futures.Future()
    future.cancel()
    return future.result()


def _attempt(lab: Any, name: str) -> tuple[Any, Any]:
    import time

    def run() -> Any:
        time.sleep(3)

    run.__name__ = name
    future = lab.python(run)
    end = time.monotonic() + 90
    while time.monotonic() < end:
        attempt = lab.dfk.monitoring.attempts.of_task(str(future.tid))
        if attempt is not None and attempt.place:
            return future, attempt
        time.sleep(0.05)
    raise TimeoutError("no worker reported the task")


@CASES.workflow(Category.lost_task)
def cancelled_by_its_executor(lab: Any) -> Any:
    """The executor's own future of a running task is cancelled."""
    future, attempt = _attempt(lab, "cancelled_by_its_executor")
    attempt.outer.cancel()
    attempt.outer.set_running_or_notify_cancel()
    return future


@CASES.workflow(Category.halted)
def halted_by_a_person(lab: Any) -> Any:
    """A running task is ended with the error that a halted run gives it."""
    from parsl_monitor.errors import RunHaltedError

    future, attempt = _attempt(lab, "halted_by_a_person")
    attempt.outer.set_exception(RunHaltedError("a person stopped the run: wrong parameters"))
    return future


@CASES.workflow(Category.node_down)
def straggler(lab: Any) -> Any:
    """A running task is ended with the error that a straggler on a silent node gets."""
    from parsl_monitor.errors import StragglerError

    future, attempt = _attempt(lab, "straggler")
    attempt.outer.set_exception(StragglerError(attempt.place["host"], 600.0, 20.0, 90.0))
    return future


@CASES.python(Category.monitoring_lost)
def asks_topics_without_a_broker() -> Any:
    """Asks the topics for failures where no broker listens."""
    from octopus_plugins import failures
    from octopus_plugins.config import OctopusConfig

    config = OctopusConfig.load(profile="local", bootstrap_servers="127.0.0.1:9", namespace="corpus")
    return list(failures(config=config))


@CASES.python(Category.unknown)
def parsls_own_riddle() -> Any:
    """An exception of Parsl's own that says nothing of a cause."""
    from parsl.errors import InternalConsistencyError

    raise InternalConsistencyError("task in an impossible state")


@CASES.python(Category.unknown)
def computes_own_riddle() -> Any:
    """An exception of Globus Compute's own that says nothing of a cause."""
    from globus_compute_sdk.errors import ComputeError

    raise ComputeError("unexpected response")


GIVES_UP = Cases()


@GIVES_UP.workflow(Category.executor_bad_state)
def every_job_fails(lab: Any) -> Any:
    """Every job of the pool ends at once with exit code 3: Parsl gives the executor up, and its tasks with it."""
    return lab.python(_named(passes, "every_job_fails"))


NO_SCHEDULER = Cases()


@NO_SCHEDULER.workflow(Category.executor_bad_state)
def scheduler_is_not_there(lab: Any) -> Any:
    """SlurmProvider on a machine without sbatch: no job can be had, and Parsl gives the executor up."""
    from parsl.providers import SlurmProvider

    from parsl_monitor import OctopusHighThroughputExecutor

    provider = SlurmProvider(partition="debug", init_blocks=1, min_blocks=1, max_blocks=1, cmd_timeout=3)
    lab.dfk.add_executors([OctopusHighThroughputExecutor(label="slurm", address="127.0.0.1", provider=provider)])
    return lab.python(_named(passes, "scheduler_is_not_there"), executor="slurm")


POISONED = Cases()


@POISONED.workflow(Category.executor_bad_state)
def pool_was_poisoned(lab: Any) -> Any:
    """The only block of a pool died; Parsl gives the executor up, and refuses what is submitted after that."""
    import time

    executor = lab.dfk.executors[lab.executor]
    executor.provider.end(executor.blocks_to_job_id["0"], _failed(), 9)
    end = time.monotonic() + 30
    while not executor.bad_state_is_set and time.monotonic() < end:
        time.sleep(0.1)
    return [lab.python(_named(passes, f"pool_was_poisoned_{number}")) for number in range(2)]


def _failed() -> Any:
    from parsl.jobs.states import JobState

    return JobState.FAILED


RADIO = Cases()


@RADIO.workflow(Category.monitoring_lost)
def radio_without_a_hub(lab: Any) -> Any:
    """Parsl's own UDP monitoring radio, in the worker, cannot resolve the hub's name."""
    return lab.python(_named(passes, "radio_without_a_hub"), executor="udp")


@RADIO.workflow(Category.monitoring_lost)
def radio_without_a_directory(lab: Any) -> Any:
    """Parsl's own file-system monitoring radio, in the worker, cannot write into its directory."""
    return lab.python(_named(passes, "radio_without_a_directory"), executor="files")


def _hub(octopus: Any, plugins: Any) -> Any:
    from parsl_monitor import OctopusMonitoringHub

    return OctopusMonitoringHub(
        octopus=octopus,
        plugins=plugins,
        logging_endpoint="sqlite://",
        resource_monitoring_enabled=True,
        resource_monitoring_interval=1,
    )


def _radios(*_: Any) -> list[Any]:
    from parsl.executors import HighThroughputExecutor
    from parsl.monitoring.radios.filesystem import FilesystemRadio
    from parsl.monitoring.radios.udp import UDPRadio
    from parsl.providers import LocalProvider

    class Unwritable(FilesystemRadio):
        def create_sender(self) -> Any:
            from parsl.monitoring.radios.filesystem import FilesystemRadioSender

            return FilesystemRadioSender(run_dir="/proc/1/octopus")

    def executor(label: str, radio: Any) -> Any:
        return HighThroughputExecutor(
            label=label,
            address="127.0.0.1",
            loopback_address="127.0.0.1",
            max_workers_per_node=1,
            remote_monitoring_radio=radio,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
        )

    return [executor("udp", UDPRadio(address="octopus.invalid")), executor("files", Unwritable())]


STRICT = {"block_error_handler": True}
SCENES = [
    Scene("framework", CASES),
    Scene(
        "every_job_fails", GIVES_UP, [Place("broken", options=STRICT, provider={"worker_init": "exit 3"})], wait=False
    ),
    Scene("no_scheduler", NO_SCHEDULER),
    Scene("poisoned", POISONED, [Place("batch", options=STRICT)]),
    Scene("radios", RADIO, config={"monitoring": _hub, "executors": _radios}),
]
