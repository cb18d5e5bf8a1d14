"""What happens to tasks, runs and blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from octopus_plugins.events.base import Event, Moment, Name, Topic, TryEvent, Whole
from octopus_plugins.events.resource import Usage

MAX_EARLIER = 4
"""States that one record may tell before its own."""


class Earlier(msgspec.Struct, frozen=True, array_like=True):
    """A state that a task had before, told together with a later one.

    Attributes:
        state: Its name.
        time: When the task got into it, Unix seconds.
    """

    state: Name
    time: Moment


class Task(TryEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A task changed its state.

    Attributes:
        state: Parsl's name of the state: ``pending``, ``launched``, ``running`` (its worker began),
            ``running_ended`` (its worker ended), ``exec_done``, ``memo_done``, ``joining``,
            ``fail_retryable``, ``failed``, ``dep_fail``.
        depends: Ids of the tasks this one waits for.
        joins: Ids of the tasks that a join app waits for.
        fail_count: Failed tries so far.
        fail_cost: What those failures were charged.
        from_memo: Whether the result came from a memo or checkpoint.
        stdout: Where standard output goes, if redirected.
        stderr: Where standard error goes, if redirected.
        usage: On ``running_ended``, what the try used in all; so also where that is among ``earlier``.
        earlier: States that the try had before this one, told with it: an event each, at the same place. Every reader
            of ours gives them one by one (`unfolded`).
    """

    TYPE: ClassVar[str] = "octopus.task/v1"
    TOPIC: ClassVar[Topic] = Topic.task_metrics

    state: Name
    depends: tuple[Name, ...] = ()
    joins: tuple[Name, ...] = ()
    fail_count: Whole = 0
    fail_cost: float = 0.0
    from_memo: bool = False
    stdout: str | None = None
    stderr: str | None = None
    usage: Usage | None = None
    earlier: Annotated[tuple[Earlier, ...], msgspec.Meta(max_length=MAX_EARLIER)] = ()

    @property
    def id(self) -> str:
        return f"{self.run_id}/{self.task_id}/{self.try_id}/task/{self.state}"

    @property
    def states(self) -> int:
        return 1 + len(self.earlier)

    def unfolded(self) -> tuple[Task, ...]:
        if not self.earlier:
            return (self,)
        first, usage = self.order - len(self.earlier), self.usage
        before = []
        for number, each in enumerate(self.earlier):
            measured = each.state == _MEASURED
            before.append(
                Task(
                    run_id=self.run_id,
                    time=each.time,
                    framework=self.framework,
                    labels=self.labels,
                    order=first + number if first > 0 else 0,
                    task_id=self.task_id,
                    try_id=self.try_id,
                    app=self.app,
                    executor=self.executor,
                    block=self.block,
                    manager=self.manager,
                    host=self.host,
                    worker_id=self.worker_id,
                    pid=self.pid,
                    state=each.state,
                    usage=self.usage if measured else None,
                )
            )
            if measured:
                usage = None
        return (*before, msgspec.structs.replace(self, earlier=(), usage=usage))


_MEASURED = "running_ended"


def with_earlier(last: Task, earlier: Sequence[Task]) -> Task:
    """A record that tells states of one try, at one place.

    Args:
        last: The last of them.
        earlier: Those before it, in order; of them state, time and usage are told.
    """
    if not earlier:
        return last
    told = tuple(Earlier(each.state, each.time) for each in earlier)
    usage = next((each.usage for each in earlier if each.usage is not None), last.usage)
    return msgspec.structs.replace(last, earlier=told, usage=usage)


class Pool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An executor as the run's configuration describes it.

    Attributes:
        label: Label of the executor, or id of the endpoint.
        kind: Class name of the executor.
        observed: Whether its workers report to us.
        steerable: Whether a retry can be delayed and kept off a node there.
        workers_per_node: Workers of each node.
        memory_per_worker: Bytes that a worker may use, where the configuration says so.
        walltime: Seconds that a block lives, where the configuration says so.
        maximum_nodes: Nodes that the pool can grow to, where known.
    """

    label: Name
    kind: Name = ""
    observed: bool = False
    steerable: bool = False
    workers_per_node: Whole | None = None
    memory_per_worker: Whole | None = None
    walltime: float | None = None
    maximum_nodes: Whole | None = None


class Run(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A run began or ended.

    Attributes:
        state: ``started``, ``configured`` or ``ended``.
        name: Name of the workflow.
        version: Version of the workflow.
        host: Host name of the submit side.
        user: Login name.
        run_dir: Run directory on the submit side.
        versions: Versions of Python, the framework and octopus-plugins.
        retries: The run's own number of retries per task (Parsl's ``Config.retries``).
        pools: The executors of the run.
        policy: The retry policy in force, whole, as data (on ``configured``); what lets the run be replayed.
        tasks_done: Tasks that ended well (on ``ended``).
        tasks_failed: Tasks that failed (on ``ended``).
    """

    TYPE: ClassVar[str] = "octopus.run/v1"
    TOPIC: ClassVar[Topic] = Topic.task_metrics

    state: Name
    name: str | None = None
    version: str | None = None
    host: Name | None = None
    user: str | None = None
    run_dir: str | None = None
    versions: dict[str, str] = {}
    retries: Whole | None = None
    pools: tuple[Pool, ...] = ()
    policy: dict[str, Any] = {}
    tasks_done: Whole | None = None
    tasks_failed: Whole | None = None

    @property
    def id(self) -> str:
        # A run may get more executors: what it then says is new.
        more = f"/{len(self.pools)}" if self.pools else ""
        return f"{self.run_id}/run/{self.state}{more}"

    @property
    def key(self) -> str:
        return f"{self.run_id}/run"


class Block(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A scheduler job changed its state.

    Attributes:
        executor: Label of the executor.
        block: The block's id within the executor.
        job_id: The scheduler's id of the job.
        state: Parsl's name of the state, such as ``PENDING``, ``RUNNING``, ``FAILED``.
    """

    TYPE: ClassVar[str] = "octopus.block/v1"
    TOPIC: ClassVar[Topic] = Topic.task_metrics

    executor: Name
    block: Name
    job_id: Name | None = None
    state: Name

    @property
    def id(self) -> str:
        return f"{self.run_id}/block/{self.executor}/{self.block}/{self.state}"

    @property
    def key(self) -> str:
        return f"{self.run_id}/block/{self.executor}/{self.block}"
