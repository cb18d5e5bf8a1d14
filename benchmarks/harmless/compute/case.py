"""What a case is: tasks, and what is done to whom at which moment."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Target(enum.Enum):
    """A process of an endpoint."""

    USER_ENDPOINT = "user endpoint"
    INTERCHANGE = "interchange"
    MANAGER = "manager"
    WORKER = "worker"
    """The one whose task began last."""

    ENDPOINT = "endpoint"
    """All of its processes."""


class Moment(enum.Enum):
    """When something is done."""

    SUBMITTED = "submitted"
    """At once."""

    TAKEN = "taken"
    """The user endpoint has taken all tasks from its queue, and has not acknowledged them."""

    ACKNOWLEDGED = "acknowledged"
    """Two of the host's periods of acknowledging (0.5 s) after that."""

    BEGUN = "begun"
    """As many tasks as there are workers have begun since the last step, or the first one has, where none is idle."""

    RUNNING = "running"
    """Half of a task's time after that."""

    ANSWERED = "answered"
    """The first result has reached the web service."""

    SERVING = "serving"
    """A user endpoint that started after the last step has run something."""


class Deed(enum.Enum):
    """What is done."""

    KILL = "kill"
    FREEZE = "freeze"
    """SIGSTOP, and SIGCONT after so many seconds."""

    RESTART = "restart"
    """Stop the endpoint by SIGTERM, and start it again."""

    CUT_ENDPOINT = "cut endpoint"
    """The endpoint's way to RabbitMQ, for so many seconds."""

    CUT_CLIENT = "cut client"
    """The SDK's way to RabbitMQ, for so many seconds."""

    CUT_BROKER = "cut broker"
    """Everybody's way to the broker that ours reports to, for so many seconds; stock has none."""

    FILL_DISK = "fill disk"
    """The endpoint's, for so many seconds."""

    SUBMIT = "submit"
    """As many tasks again."""


class Raised(enum.Enum):
    """What a task raises that fails by itself."""

    VALUE = "ValueError"
    DISK_FULL = "OSError"
    MEMORY = "MemoryError"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done, after the step before it.

    Attributes:
        at: When.
        deed: What.
        target: To whom, of ``KILL`` and ``FREEZE``.
        after: So many seconds after the moment.
        seconds: For how long.
    """

    at: Moment
    deed: Deed
    target: Target | None = None
    after: float = 0.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if (self.deed in {Deed.KILL, Deed.FREEZE}) is (self.target is None):
            raise ValueError(f"{self.deed} needs a target where it is done to a process, and has none elsewhere")


@dataclass(frozen=True, slots=True)
class Case:
    """A case.

    Attributes:
        name: Of it.
        title: What happens, for the page; no full stop.
        steps: What is done, in this order.
        tasks: How many are submitted.
        seconds: How long each runs.
        raised: What every second task raises; None where all end well.
        blocks: Of one node each.
        workers: Of each block.
        named_nodes: Whether the blocks are nodes with names of their own, as on a cluster.
        retries: ``max_retries_on_system_failure``.
        executor_retries: ``retries`` of OctopusExecutor; None leaves its default. Executor has no such option.
        idle: ``idle_heartbeats_soft``; a heartbeat comes every 5 s.
        worker_init: Shell commands that each block begins with.
        disk: MiB of a disk of the endpoint's own; None where it has the machine's.
        broker: Whether the broker of ours is there at all.
        warm: Whether every worker has run something before the first submission.
        limit: Seconds after the last step for which answers are awaited.
        ladder: Whether OctopusExecutor has a second endpoint to climb to. The SDK's Executor knows one endpoint only.
        short: Whether the case belongs to the short form.
    """

    name: str
    title: str
    steps: Sequence[Step] = ()
    tasks: int = 6
    seconds: float = 2.0
    raised: Raised | None = None
    blocks: int = 1
    workers: int = 2
    named_nodes: bool = False
    retries: int = 0
    executor_retries: int | None = None
    idle: int = 0
    worker_init: str = ""
    disk: int | None = None
    broker: bool = True
    warm: bool = True
    limit: float = 60.0
    ladder: bool = False
    short: bool = False

    @property
    def harmful(self) -> bool:
        """Whether a step ends a process under its tasks; otherwise the endpoint was merely silent."""
        return any(step.deed in {Deed.KILL, Deed.RESTART} for step in self.steps)
